"""Steps 1 to 3: size, shape and header of a token of which nothing is proven."""

from __future__ import annotations

import base64
import json
import tracemalloc
from typing import Any

import pytest

from apostille import StaticKeys, Verifier
from apostille._token import MAX_TOKEN_CHARACTERS, read_header, split
from apostille.clock import ManualClock
from apostille.errors import (
    AlgorithmNotAllowed,
    ApostilleError,
    InvalidToken,
    MalformedToken,
    TokenTooLarge,
    WrongType,
)
from apostille_contracts.claims import ALGORITHMS
from support.minting import AUDIENCE, ISSUER, claims_at, key_of, mint

KEY = key_of("ES256")
ALLOWED = frozenset(ALGORITHMS)
HEADER = {"typ": "at+jwt", "alg": "ES256", "kid": "k"}


def encoded(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


def header(members: object) -> bytes:
    return encoded(members if isinstance(members, bytes) else json.dumps(members).encode())


@pytest.fixture
def verifier(clock: ManualClock) -> Verifier:
    keys = StaticKeys({"keys": [KEY.public_jwk()]})
    return Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock)


# Size and shape.


def test_size_is_bounded_before_anything_is_parsed() -> None:
    with pytest.raises(MalformedToken):
        split("A" * MAX_TOKEN_CHARACTERS)
    with pytest.raises(TokenTooLarge):
        split("A" * (MAX_TOKEN_CHARACTERS + 1))
    with pytest.raises(TokenTooLarge):
        split("\ud800" * (MAX_TOKEN_CHARACTERS + 1))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "QQ",
        "QQ.QQ",
        ".QQ.QQ",
        "QQ..QQ",
        "QQ.QQ.QQ.QQ",
        "QQ.QQ.QQ.QQ.QQ",
        "QQ.QQ.Q",
        " QQ.QQ.QQ",
        "QQ.QQ.QQ\n",
        "QQ.QQ.QQ=",
        "Bearer QQ.QQ.QQ",
        "QQ.QQ.\u00e9",
        "\ud800.QQ.QQ",
        "QQ\u2024QQ\u2024QQ",
        "QQ.QQ.QQ\x00",
    ],
)
def test_a_token_has_three_strict_parts(token: str, verifier: Verifier) -> None:
    with pytest.raises(MalformedToken):
        verifier.verify(token)


@pytest.mark.parametrize("token", [None, b"QQ.QQ.QQ", 7, ["QQ"], {}, object(), 1.5, ("QQ.QQ.QQ",)])
def test_what_is_no_text_is_no_token(token: Any, verifier: Verifier) -> None:
    with pytest.raises(MalformedToken):
        verifier.verify(token)


def test_a_text_of_a_derived_type_is_a_token(verifier: Verifier, clock: ManualClock) -> None:
    class Text(str):
        __slots__ = ()

    assert verifier.verify(Text(mint(KEY, claims_at(clock)))).subject


# Header.


@pytest.mark.parametrize(
    "members",
    [
        b"",
        b"null",
        b"[]",
        b'"at+jwt"',
        b"7",
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"a":NaN}',
        json.dumps(HEADER).encode("utf-16"),
        b"[" * 8000,
        b'{"typ":' * 3000,
    ],
)
def test_a_header_is_one_json_object(members: bytes) -> None:
    with pytest.raises(MalformedToken):
        read_header(header(members), ALLOWED)


@pytest.mark.parametrize(
    "doubled",
    [
        b'{"typ":"at+jwt","alg":"ES256","kid":"k","alg":"ES256"}',
        b'{"typ":"at+jwt","alg":"none","kid":"k","alg":"ES256"}',
        b'{"typ":"at+jwt","alg":"ES256","kid":"k","x":1,"x":2}',
        b'{"typ":"at+jwt","alg":"ES256","kid":"k","\\u006bid":"k"}',
    ],
)
def test_header_names_are_distinct(doubled: bytes) -> None:
    with pytest.raises(MalformedToken):
        read_header(header(doubled), ALLOWED)


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_typ_in_any_case(kind: str) -> None:
    assert read_header(header({**HEADER, "typ": kind}), ALLOWED).kid == "k"


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "JWT",
        "jwt",
        "at jwt",
        "at+jwt ",
        "logout+jwt",
        "dpop+jwt",
        "text/at+jwt",
        ["at+jwt"],
        {"a": 1},
        7,
        True,
        "at+\u212awt",
        "ȧt+jwt",
    ],
)
def test_every_other_typ_is_refused(kind: object) -> None:
    with pytest.raises(WrongType):
        read_header(header({**HEADER, "typ": kind}), ALLOWED)


def test_a_missing_typ_is_refused() -> None:
    with pytest.raises(WrongType):
        read_header(header({"alg": "ES256", "kid": "k"}), ALLOWED)


@pytest.mark.parametrize(
    "algorithm",
    [
        None,
        "",
        "none",
        "None",
        "NONE",
        "nOnE",
        "HS256",
        "HS512",
        "es256",
        "ES384",
        "ES512",
        "RS384",
        "RS1",
        "Ed448",
        "RSA-OAEP",
        "dir",
        ["ES256"],
        {"ES256": 1},
        0,
        True,
        "ES256 ",
        "ES256\x00",
    ],
)
def test_every_other_algorithm_is_refused(algorithm: object) -> None:
    with pytest.raises(AlgorithmNotAllowed):
        read_header(header({**HEADER, "alg": algorithm}), ALLOWED)


def test_a_missing_algorithm_is_refused() -> None:
    with pytest.raises(AlgorithmNotAllowed):
        read_header(header({"typ": "at+jwt", "kid": "k"}), ALLOWED)


def test_the_allow_list_is_the_verifiers() -> None:
    with pytest.raises(AlgorithmNotAllowed):
        read_header(header(HEADER), frozenset({"EdDSA"}))


@pytest.mark.parametrize("kid", [None, "", 7, True, ["k"], {"k": 1}, "k" * 1025])
def test_kid_is_a_short_text(kid: object) -> None:
    with pytest.raises(MalformedToken):
        read_header(header({**HEADER, "kid": kid}), ALLOWED)
    assert read_header(header({**HEADER, "kid": "k" * 1024}), ALLOWED).kid == "k" * 1024


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crit", ["exp"]),
        ("crit", []),
        ("crit", None),
        ("b64", False),
        ("b64", True),
        ("jku", "https://attacker.example/jwks"),
        ("jwk", {"kty": "EC"}),
        ("x5u", "https://attacker.example/chain"),
        ("x5c", ["MII"]),
    ],
)
def test_what_would_change_the_verification_is_refused(name: str, value: object) -> None:
    with pytest.raises(MalformedToken):
        read_header(header({**HEADER, name: value}), ALLOWED)


def test_what_nobody_reads_is_ignored(verifier: Verifier, clock: ManualClock) -> None:
    token = mint(KEY, claims_at(clock), {"cty": "x", "nonce": "1", "x5t": "AAAA", "n": 10**400})
    assert verifier.verify(token).subject


# One key, one algorithm.


@pytest.mark.parametrize(
    ("signer", "claimed"),
    [("ES256", "EdDSA"), ("EdDSA", "ES256"), ("RS256", "PS256"), ("PS256", "RS256")],
)
def test_a_key_verifies_its_own_algorithm_alone(
    signer: Any, claimed: str, clock: ManualClock
) -> None:
    key = key_of(signer)
    keys = StaticKeys({"keys": [key.public_jwk()]})
    verifier = Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock)
    assert verifier.verify(mint(key, claims_at(clock))).subject
    with pytest.raises(AlgorithmNotAllowed):
        verifier.verify(mint(key, claims_at(clock), {"alg": claimed}))


@pytest.mark.parametrize("published", ["EdDSA", "Ed25519", None])
@pytest.mark.parametrize("written", ["EdDSA", "Ed25519"])
def test_both_names_of_ed25519_mean_one_algorithm(
    published: str | None, written: str, clock: ManualClock
) -> None:
    key = key_of("EdDSA")
    jwk = {n: v for n, v in {**key.public_jwk(), "alg": published}.items() if v is not None}
    verifier = Verifier(ISSUER, audience=AUDIENCE, keys=StaticKeys({"keys": [jwk]}), clock=clock)
    assert verifier.verify(mint(key, claims_at(clock), {"alg": written})).subject
    picky = Verifier(
        ISSUER,
        audience=AUDIENCE,
        keys=StaticKeys({"keys": [jwk]}),
        clock=clock,
        algorithms=["Ed25519"],
    )
    with pytest.raises(AlgorithmNotAllowed):
        picky.verify(mint(key, claims_at(clock), {"alg": "EdDSA"}))


# What the largest token costs.


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 12_000,
        b'{"x":"' + b"\\" * 11_000 + b'"}',
        b'{"x":' + b"9" * 11_000 + b"}",
        b'{"x":"' + b"\\u00e9" * 1_800 + b'"}',
        b"{" + b",".join(b'"%d":[{}]' % number for number in range(900)) + b"}",
        b'"' * 12_000,
    ],
)
@pytest.mark.parametrize("where", ["header", "payload"])
def test_the_largest_tokens_cost_little_memory(
    where: str, payload: bytes, verifier: Verifier, clock: ManualClock
) -> None:
    usual = json.dumps({"typ": "at+jwt", "alg": "ES256", "kid": KEY.kid}).encode()
    claims = json.dumps(claims_at(clock)).encode()
    parts = (payload, claims) if where == "header" else (usual, payload)
    token = KEY.token(*parts)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidToken):
            verifier.verify(token)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


# Nothing of a refused token is told.


@pytest.mark.parametrize("position", range(3))
def test_no_error_carries_anything_of_the_token(
    position: int, verifier: Verifier, clock: ManualClock
) -> None:
    secret = "U0VDUkVU" * 4
    parts = mint(KEY, claims_at(clock)).split(".")
    parts[position] = secret + "\u00e9" if position == 2 else secret
    with pytest.raises(InvalidToken) as refused:
        verifier.verify(".".join(parts))
    error: BaseException | None = refused.value
    assert isinstance(error, ApostilleError)
    while error is not None:
        assert secret not in f"{error!s} {error!r} {error.args}"
        assert error.__cause__ is None
        error = None if error.__suppress_context__ else error.__context__
