"""Odd tokens that nobody thought of get the same verdict in every language.

The SDK is the reference. Tokens are signed, so that it is their content that
is judged, and made from a fixed seed, so that a difference can be looked at.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from apostille import StaticKeys, Verifier
from apostille._signing import SigningKey, compact_json
from apostille.clock import ManualClock
from apostille.errors import InvalidClaim, InvalidToken
from apostille.status import UnsafeNoStatus
from apostille_contracts.claims import ALGORITHMS, AccessTokenClaims
from interop.languages import Programs, Verdict, agrees

NOW = 1_800_000_000
ISSUER, AUDIENCE = "https://iam.example.com", "inventory"
KEY = SigningKey.generate("ES256")
JWKS = {"keys": [KEY.public_jwk()]}
HEADER: dict[str, Any] = {"typ": "at+jwt", "alg": "ES256", "kid": KEY.kid}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    "aud": AUDIENCE,
    "client_id": "apostille",
    "exp": NOW + 600,
    "iat": NOW,
    "jti": "1",
}

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, -0.5, 2**31, 2**53, 2**63, 2**64, 1e300, NOW, str(NOW)),
    *("", " ", "x", "\0", "\u00e9", "\U0001f512", "x" * 1024, "x" * 1025, "\U0001f512" * 1024),
    *([], [None], ["x"], [""], ["x", 1], [["x"]], [{}], ["inventory"], ["x" * 1025]),
    *({}, {"sub": "x"}, {"sub": ""}, {"sub": 1}, {"sub": "x", "act": {"sub": "y"}}),
    *({"sub": "x", "act": None}, {"sub": "x", "act": []}, {"sub": "x", "act": {"act": {}}}),
    *({"jkt": "x"}, {"jkt": 1}, {"jkt": None}, {"x5t#S256": "x"}, {"x5t#S256": []}),
    *({"status_list": {"idx": 0, "uri": "x"}}, {"status_list": {"idx": -1, "uri": "x"}}),
    *({"status_list": {"idx": "0", "uri": "x"}}, {"status_list": {"idx": 0}}),
    *({"status_list": {"idx": 0, "uri": ""}}, {"status_list": {"uri": "x"}}, {"status_list": []}),
)

ODD_DOCUMENTS = (
    b"",
    b" ",
    b"null",
    b"[]",
    b'"x"',
    b"{",
    b"{}",
    b"{} ",
    b"{}x",
    b"{},",
    b'{"a":1,}',
    b'{"a":01}',
    b'{"a":NaN}',
    b'{"a":"\n"}',
    b'{"a":"\\x"}',
    b"{'a':1}",
    b'{"a":"\xff"}',
    b'{"a":"\xed\xa0\x80"}',
    b"\xef\xbb\xbf{}",
    b'{"a":' + b"[" * 31 + b"]" * 31 + b"}",
    b'{"a":' + b"[" * 32 + b"]" * 32 + b"}",
    b'{"a":"' + b"[" * 40 + b'"}',
    b'{"a":"\\"' + b"[" * 40 + b'"}',
    b'{"a":{"b":1,"b":2}}',
    b'{"a":[{"b":1},{"b":2}]}',
    b'{"a":{"b":1},"c":{"b":1}}',
    b'{"a":1,"\\u0061":2}',
    b'{"__proto__":1,"constructor":2}',
)


def _header_tokens() -> Iterator[str]:
    for name in (*HEADER, "crit", "b64", "jwk", "cty", "x"):
        yield KEY.token({key: HEADER[key] for key in HEADER if key != name}, CLAIMS)
        for value in ODD_VALUES:
            yield KEY.token({**HEADER, name: value}, CLAIMS)
    good = compact_json(HEADER)
    for document in ODD_DOCUMENTS:
        yield KEY.token(document, CLAIMS)
        yield KEY.token(_joined(good, document), CLAIMS)


def _payload_tokens() -> Iterator[str]:
    for claim in msgspec.structs.fields(AccessTokenClaims):
        name = claim.encode_name
        yield KEY.token(HEADER, {key: CLAIMS[key] for key in CLAIMS if key != name})
        for value in ODD_VALUES:
            yield KEY.token(HEADER, {**CLAIMS, name: value})
    good = compact_json(CLAIMS)
    for document in ODD_DOCUMENTS:
        yield KEY.token(HEADER, document)
        yield KEY.token(HEADER, _joined(good, document))


def _joined(good: bytes, document: bytes) -> bytes:
    """Return *good* with the members of *document*, if it looks like an object."""
    return good[:-1] + b"," + document[1:] if document.startswith(b'{"') else good + document


def _mutated_tokens() -> Iterator[str]:
    chance = random.Random(9068)
    good = KEY.token(HEADER, CLAIMS)
    for _ in range(600):
        letters = list(good)
        for _ in range(chance.choice((1, 1, 2, 5))):
            place = chance.randrange(len(letters))
            letter = chance.choice("AZaz09-_.=+/ \n\r\t\0\u00e9")
            match chance.randrange(3):
                case 0:
                    letters[place] = letter
                case 1:
                    letters.insert(place, letter)
                case _:
                    del letters[place]
        yield "".join(letters)
    yield from (good[:end] for end in range(0, len(good), 7))


def _reference(tokens: Sequence[str]) -> Iterator[Verdict]:
    clock = ManualClock(datetime.fromtimestamp(NOW, UTC))
    with Verifier(
        ISSUER,
        audience=AUDIENCE,
        keys=StaticKeys(JWKS),
        status=UnsafeNoStatus(),
        clock=clock,
    ) as verifier:
        for token in tokens:
            try:
                verifier.verify(token)
            except InvalidToken as error:
                yield str(error.code), error.claim if isinstance(error, InvalidClaim) else None
            else:
                yield None, None


def test_odd_tokens_get_the_same_verdict_everywhere(
    library: str, library_programs: Programs
) -> None:
    tokens = [*_header_tokens(), *_payload_tokens(), *_mutated_tokens()]
    policy = {
        "issuer": ISSUER,
        "audience": [AUDIENCE],
        "algorithms": ALGORITHMS,
        "leeway_seconds": 30,
    }
    cases = [{"keys": JWKS, "policy": policy, "time": NOW, "token": token} for token in tokens]
    answers = library_programs.answers(library, cases)
    differences = [
        f"{expected}, not {answer}: {token}"
        for token, expected, answer in zip(tokens, _reference(tokens), answers, strict=True)
        if not agrees(library, answer, expected)
    ]
    assert not differences, f"{len(differences)} of {len(tokens)}\n" + "\n".join(differences[:40])
