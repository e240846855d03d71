"""Known weaknesses of JOSE libraries, one test each: STANDARDS, last section."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apostille import StaticKeys, Verifier
from apostille._signing import SigningKey, b64url
from apostille.clock import ManualClock
from apostille.errors import (
    AlgorithmNotAllowed,
    ApostilleError,
    ConfigurationError,
    InvalidClaim,
    MalformedToken,
    TokenTooLarge,
    UnknownKey,
    WrongAudience,
    WrongType,
)
from support.minting import AUDIENCE, ISSUER, claims_at, key_of, mint
from support.published import published

KEY = key_of("ES256")
GOOD_HEADER = {"typ": "at+jwt", "alg": "ES256", "kid": KEY.kid}


@pytest.fixture
def verifier(clock: ManualClock) -> Verifier:
    keys = StaticKeys({"keys": [KEY.public_jwk()]})
    return Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock)


# joserfc 1.8


def test_joserfc_accepts_b64_false(verifier: Verifier, clock: ManualClock) -> None:
    header = {**GOOD_HEADER, "b64": False, "crit": ["b64"]}
    with pytest.raises(MalformedToken):
        verifier.verify(mint(KEY, claims_at(clock), header))
    # Signed as RFC 7797 would have it, over the bare payload:
    encoded, payload = b64url(json.dumps(header).encode()), json.dumps(claims_at(clock))
    signature = b64url(KEY.sign(f"{encoded}.{payload}".encode()))
    with pytest.raises(MalformedToken):
        verifier.verify(f"{encoded}.{payload}.{signature}")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_joserfc_accepts_utf16_headers_and_payloads(
    encoding: str, verifier: Verifier, clock: ManualClock
) -> None:
    header, claims = json.dumps(GOOD_HEADER), json.dumps(claims_at(clock))
    with pytest.raises(MalformedToken):
        verifier.verify(KEY.token(header.encode(encoding), claims.encode()))
    with pytest.raises(MalformedToken):
        verifier.verify(KEY.token(header.encode(), claims.encode(encoding)))


def test_joserfc_accepts_a_duplicate_kid(clock: ManualClock) -> None:
    other = {**key_of("ES256", "second").public_jwk(), "kid": KEY.kid}
    third = key_of("EdDSA")
    keys = StaticKeys({"keys": [KEY.public_jwk(), other, third.public_jwk()]})
    verifier = Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock)
    with pytest.raises(UnknownKey):
        verifier.verify(mint(KEY, claims_at(clock)))
    assert verifier.verify(mint(third, claims_at(clock))).subject


def test_joserfc_accepts_weak_rsa_keys() -> None:
    groups = published("wycheproof_json_web_key_test.json")["testGroups"]
    for name in ("keysize_too_small", "jws_rsa_roca_key", "exponentOne"):
        (group,) = [group for group in groups if group["comment"] == name]
        with pytest.raises(ConfigurationError):
            StaticKeys(group["public"])


@pytest.mark.parametrize(
    "token",
    [
        "\u00e9.\u00e9.\u00e9",
        "A.A.A",
        "AAAA.AAAA.AAAA",
        b64url(b"[" * 10_000) + ".AAAA.AAAA",
        b64url(b'{"alg":' * 1_500) + ".AAAA.AAAA",
        b64url(b'{"n":' + b"9" * 5_000 + b"}") + ".AAAA.AAAA",
        b64url(b"\xff\xfe") + ".AAAA.AAAA",
        b64url(b'{"alg":"\\ud800","typ":"at+jwt","kid":"x"}') + ".AAAA.AAAA",
        b64url(b'{"alg":"ES256","typ":"at+jwt","kid":"\\ud800"}') + ".AAAA.AAAA",
        "\ud800" * 10,
        "\x00.\x00.\x00",
    ],
)
def test_joserfc_lets_foreign_errors_escape(token: str, verifier: Verifier) -> None:
    with pytest.raises(ApostilleError):
        verifier.verify(token)


# PyJWT 2.15


def test_pyjwt_accepts_exp_as_a_text(verifier: Verifier, clock: ManualClock) -> None:
    with pytest.raises(InvalidClaim):
        verifier.verify(mint(KEY, claims_at(clock, exp=str(int(clock.time()) + 60))))


def test_pyjwt_accepts_typ_as_a_list(verifier: Verifier, clock: ManualClock) -> None:
    with pytest.raises(WrongType):
        verifier.verify(mint(KEY, claims_at(clock), {"typ": ["at+jwt"]}))


def test_pyjwt_accepts_padding(verifier: Verifier, clock: ManualClock) -> None:
    header, payload, signature = mint(KEY, claims_at(clock)).split(".")
    padded = [part + "=" * (-len(part) % 4) for part in (header, payload, signature)]
    for position in range(3):
        parts = [header, payload, signature]
        parts[position] = padded[position] if "=" in padded[position] else parts[position] + "=="
        with pytest.raises(MalformedToken):
            verifier.verify(".".join(parts))


def test_pyjwt_accepts_keys_marked_for_encryption(clock: ManualClock) -> None:
    with pytest.raises(ConfigurationError):
        StaticKeys({"keys": [{**KEY.public_jwk(), "use": "enc"}]})
    del clock


def test_pyjwt_has_no_size_cap(verifier: Verifier, clock: ManualClock) -> None:
    with pytest.raises(TokenTooLarge):
        verifier.verify(mint(KEY, claims_at(clock, roles=["x" * 20_000])))


# Others


def test_authlib_accepts_a_token_without_typ(verifier: Verifier, clock: ManualClock) -> None:
    with pytest.raises(WrongType):
        verifier.verify(mint(KEY, claims_at(clock), {"typ": None}))


def test_es256_is_malleable_and_nothing_depends_on_it(
    verifier: Verifier, clock: ManualClock
) -> None:
    """(r, n - s) holds too: both texts are the same principal, and neither is its identity."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    token = mint(KEY, claims_at(clock))
    head, _, signature = token.rpartition(".")
    import base64

    octets = base64.urlsafe_b64decode(signature + "==")
    flipped = octets[:32] + (order - int.from_bytes(octets[32:], "big")).to_bytes(32, "big")
    assert verifier.verify(f"{head}.{b64url(flipped)}") == verifier.verify(token)


def test_haproxy_verifies_alg_none(verifier: Verifier, clock: ManualClock) -> None:
    for name in ("none", "None", "NONE"):
        header = b64url(json.dumps({**GOOD_HEADER, "alg": name}).encode())
        payload = b64url(json.dumps(claims_at(clock)).encode())
        with pytest.raises(AlgorithmNotAllowed):
            verifier.verify(f"{header}.{payload}.")


@pytest.mark.parametrize(
    ("changes", "header", "error"),
    [
        ({}, {"typ": "JWT"}, WrongType),
        ({"aud": "another"}, {}, WrongAudience),
        ({"exp": None}, {}, InvalidClaim),
    ],
)
def test_jsonwebtoken_and_mod_auth_openidc_do_not_check_unless_told(
    changes: dict[str, Any],
    header: dict[str, Any],
    error: type[ApostilleError],
    verifier: Verifier,
    clock: ManualClock,
) -> None:
    with pytest.raises(error):
        verifier.verify(mint(KEY, claims_at(clock, **changes), header))


def test_msgspec_runs_out_of_stack_on_nested_arrays(verifier: Verifier, clock: ManualClock) -> None:
    claims = json.dumps(claims_at(clock)).encode()[:-1]
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        deep = claims + b',"x":' + opening * 1500 + b"1" + closing * 1500 + b"}"
        with pytest.raises(MalformedToken):
            verifier.verify(KEY.token(json.dumps(GOOD_HEADER).encode(), deep))


def test_msgspec_skips_the_encoding_of_members_it_does_not_know(
    verifier: Verifier, clock: ManualClock
) -> None:
    claims = json.dumps(claims_at(clock)).encode()[:-1] + b',"x":"\xff"}'
    with pytest.raises(MalformedToken):
        verifier.verify(KEY.token(json.dumps(GOOD_HEADER).encode(), claims))


def test_a_symmetric_key_in_a_public_set_verifies_nothing(clock: ManualClock) -> None:
    secret = {"kty": "oct", "kid": "shared", "alg": "HS256", "k": b64url(b"x" * 32), "use": "sig"}
    keys = StaticKeys({"keys": [secret, KEY.public_jwk()]})
    verifier = Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock)
    stranger = SigningKey.generate("ES256")
    with pytest.raises(UnknownKey):
        verifier.verify(mint(stranger, claims_at(clock), {"kid": "shared"}))
