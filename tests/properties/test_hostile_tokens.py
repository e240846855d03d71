"""Whatever is called a token: a verdict comes out, and nothing of it.

Arbitrary bytes, arbitrary JSON under a good signature, and good tokens with
something changed. Only :class:`ApostilleError` may come out, with nothing of the
token in its text, its representation or its causes.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apostille import StaticKeys, Verifier
from apostille._issuers import unverified_issuer
from apostille._json import Malformed, decode_base64url, decode_text, load, load_distinct
from apostille._jwk import UnusableKey, parse_key
from apostille._keyring import InvalidKeySet, read_key_set
from apostille._signing import b64url
from apostille.clock import ManualClock
from apostille.errors import ApostilleError, InvalidToken
from apostille.principal import Principal
from apostille_contracts.claims import AccessTokenClaims
from support.minting import AUDIENCE, ISSUER, claims_at, key_of, mint

KEY = key_of("ES256")
CLOCK = ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
VERIFIER = Verifier(
    ISSUER, audience=AUDIENCE, keys=StaticKeys({"keys": [KEY.public_jwk()]}), clock=CLOCK
)
GOOD_CLAIMS = claims_at(CLOCK)
GOOD = mint(KEY, GOOD_CLAIMS)
GOOD_HEADER = {"typ": "at+jwt", "alg": "ES256", "kid": KEY.kid}

quick = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text()
    | st.sampled_from(["at+jwt", "ES256", "none", KEY.kid, ISSUER, AUDIENCE, "*"])
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def verdict(token: Any) -> Principal | None:
    """Return the principal, or check that the refusal is what refusals must be."""
    try:
        return VERIFIER.verify(token)
    except InvalidToken as error:
        told = f"{error!s}\n{error!r}\n{error.args!r}"
        parts = token.split(".") if isinstance(token, str) else []
        for part in (token, *parts):
            if isinstance(part, str) and len(part) > 12:
                assert part not in told
        cause: BaseException | None = error
        while cause is not None:
            assert isinstance(cause, ApostilleError)
            assert cause.__cause__ is None
            cause = None if cause.__suppress_context__ else cause.__context__
        return None


def dumps(value: object) -> bytes:
    """Return *value* as Python writes it, NaN and lone surrogates included."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


@quick
@given(st.text() | st.binary() | values)
@example("")
@example("..")
@example("a.b.c")
def test_anything_at_all(token: Any) -> None:
    assert verdict(token) is None


@quick
@given(st.lists(st.binary(max_size=80), min_size=1, max_size=6))
def test_any_octets_in_parts(parts: list[bytes]) -> None:
    assert verdict(".".join(map(b64url, parts))) is None


@quick
@given(st.text("ABCxyz019-_.=+/ \n", max_size=200))
def test_almost_base64url(token: str) -> None:
    assert verdict(token) is None


@quick
@given(st.dictionaries(st.sampled_from([*GOOD_HEADER, "crit", "jwk", "b64", "x"]), values))
def test_any_header_over_a_good_signature(header: dict[str, Any]) -> None:
    principal = verdict(KEY.token(dumps(header), GOOD_CLAIMS))
    if principal is not None:
        assert header["kid"] == KEY.kid
        assert header["alg"] == "ES256"
        assert not header.keys() & {"crit", "jwk", "b64"}


@quick
@given(st.binary(max_size=300))
def test_any_octets_as_header_under_a_good_signature(header: bytes) -> None:
    assert verdict(KEY.token(header, GOOD_CLAIMS)) is None


@quick
@given(st.binary(max_size=300) | values.map(dumps))
def test_anything_as_payload_under_a_good_signature(payload: bytes) -> None:
    assert verdict(KEY.token(dumps(GOOD_HEADER), payload)) is None


@quick
@given(st.dictionaries(st.sampled_from(AccessTokenClaims.__struct_encode_fields__), values))
def test_any_claims_under_a_good_signature(changes: dict[str, Any]) -> None:
    claims = {**GOOD_CLAIMS, **changes}
    principal = verdict(KEY.token(dumps(GOOD_HEADER), dumps(claims)))
    if principal is not None:
        assert principal.claims.iss == ISSUER
        assert AUDIENCE in claims["aud"]
        assert principal.subject == claims["sub"]
        assert principal.expires_at.timestamp() + 30 > CLOCK.time()
        # Whatever was accepted can be asked for everything it offers.
        assert isinstance(principal.has("inventory.read"), bool)
        assert [principal.authenticated_at, principal.scope, principal.actor, principal.plan]
        assert repr(principal)


@quick
@given(st.integers(0, len(GOOD) - 1), st.sampled_from("AB-_=. \n\u00e9\ud800\x00"))
def test_a_good_token_with_one_character_replaced(position: int, character: str) -> None:
    changed = GOOD[:position] + character + GOOD[position + 1 :]
    assert (verdict(changed) is None) == (changed != GOOD)


@quick
@given(st.integers(0, len(GOOD)), st.text("AB-_=. ", min_size=1, max_size=3))
def test_a_good_token_with_something_put_in(position: int, text: str) -> None:
    assert verdict(GOOD[:position] + text + GOOD[position:]) is None


@quick
@given(st.integers(0, len(GOOD)), st.integers(0, len(GOOD)))
def test_a_good_token_with_something_cut_out(start: int, end: int) -> None:
    cut = GOOD[:start] + GOOD[end:]
    assert (verdict(cut) is None) == (cut != GOOD)


@quick
@given(st.integers(1, 20_000), st.sampled_from("[{"), st.sampled_from([0, 1]))
def test_any_depth(depth: int, bracket: str, where: int) -> None:
    deep = (bracket if bracket == "[" else '{"a":').encode() * min(depth, 2_500)
    header, payload = (dumps(GOOD_HEADER), deep) if where else (deep, dumps(GOOD_CLAIMS))
    assert verdict(KEY.token(header, payload)) is None


@quick
@given(st.text() | st.binary() | values)
def test_the_issuer_of_anything(token: Any) -> None:
    with suppress(InvalidToken):
        assert isinstance(unverified_issuer(token), str)


@quick
@given(st.binary(max_size=200))
def test_base64url_reads_what_it_writes_and_only_that(octets: bytes) -> None:
    assert decode_base64url(b64url(octets).encode()) == octets
    try:
        decoded = decode_base64url(octets)
    except Malformed:
        return
    assert b64url(decoded).encode() == octets


@quick
@given(st.binary(max_size=200) | values.map(dumps))
def test_json_readers_agree_with_each_other(octets: bytes) -> None:
    try:
        text = decode_text(octets)
        value = load_distinct(text)
    except Malformed:
        return
    assert load(text) == value
    json.loads(text)


members = st.sampled_from(
    ["kty", "crv", "x", "y", "n", "e", "alg", "use", "kid", "key_ops", "d", "k"]
)


@quick
@given(st.dictionaries(members, values | st.sampled_from(list(KEY.public_jwk().values()))))
def test_any_key(changes: dict[str, Any]) -> None:
    for algorithm in ("ES256", "RS256", "EdDSA"):
        try:
            key = parse_key({**key_of(algorithm).public_jwk(), **changes})
        except UnusableKey:
            continue
        assert key.algorithm_names <= {"ES256", "RS256", "PS256", "EdDSA", "Ed25519"}


@quick
@given(
    st.binary(max_size=300) | values.map(dumps) | st.lists(values).map(lambda k: dumps({"keys": k}))
)
def test_any_key_set(document: bytes) -> None:
    try:
        keyring = read_key_set(document)
    except InvalidKeySet:
        return
    assert len(keyring) == 0
