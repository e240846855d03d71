"""Steps 1 and 2: texts that are no compact JWS (RFC 7515 section 5.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from apostille_contracts.problems import ProblemCode

from .forge import KEYS, Case, b64url, compact_json, draft, refused

__all__ = ["cases"]

_MALFORMED = refused(ProblemCode.MALFORMED_TOKEN)
_LIMIT = 16 * 1024


def cases() -> Iterator[Case]:
    """Yield hostile cases of size, shape and encoding."""
    yield from _sizes()
    yield from _parts()
    yield from _alphabet()
    yield from _other_things()


def _case(name: str, reference: str, description: str, token: str) -> Case:
    return Case(name, reference, description, token, _MALFORMED)


def _sizes() -> Iterator[Case]:
    yield Case(
        "one-character-over-the-size-limit",
        "DESIGN section 5 step 1",
        "16,385 characters: refused before anything is parsed, or even found to be malformed.",
        "a" * (_LIMIT + 1),
        refused(ProblemCode.TOKEN_TOO_LARGE),
    )
    yield Case(
        "oversized-but-signed",
        "DESIGN section 5 step 1",
        "Well signed and over 16 KiB.",
        draft(roles=["x" * _LIMIT]),
        refused(ProblemCode.TOKEN_TOO_LARGE),
    )


def _parts() -> Iterator[Case]:
    token = draft().signed()
    header, payload, signature = token.split(".")
    rule = "RFC 7515 section 7.1"
    yield _case("empty-text", rule, "Nothing at all.", "")
    yield _case("no-dots", rule, "One part.", header)
    yield _case("two-parts", rule, "The signature and its dot are missing.", f"{header}.{payload}")
    yield _case("four-parts", rule, "A part too many.", f"{token}.{signature}")
    yield _case("only-dots", rule, "Three empty parts.", "..")
    yield _case("empty-header", rule, "The header is empty.", f".{payload}.{signature}")
    yield _case(
        "empty-payload",
        "RFC 7515 appendix F",
        "Detached content: the payload is elsewhere.",
        f"{header}..{signature}",
    )
    yield _case(
        "encrypted-token",
        "RFC 7516 section 7.1, RFC 8725 section 3.3",
        "Five parts: a JWE, which is another thing.",
        f"{header}.AAAA.{b64url(b'iv')}.{payload}.{signature}",
    )


def _alphabet() -> Iterator[Case]:
    token = draft().signed()
    header, payload, signature = token.split(".")
    rule = "RFC 7515 section 2, RFC 8725bis section 3.14"
    yield _case("padding-behind-the-signature", rule, "base64 padding.", f"{token}==")
    yield _case("padding-behind-the-header", rule, "Padding.", f"{header}=.{payload}.{signature}")
    yield _case("leading-space", rule, "White space is no base64url.", f" {token}")
    yield _case("trailing-newline", rule, "A line feed at the end.", f"{token}\n")
    folded = f"{header}.{payload[:20]}\n{payload[20:]}.{signature}"
    yield _case("newline-inside", rule, "Folded, as mail does.", folded)
    yield _case("nul-inside", rule, "NUL.", f"{header}.{payload}\0.{signature}")
    yield _case("letter-that-is-not-ascii", rule, "é.", f"{header}.{payload}é.{signature}")
    yield _case(
        "full-width-dots",
        rule,
        "Dots that only look like dots.",
        token.replace(".", "\N{FULLWIDTH FULL STOP}"),
    )
    yield _case(
        "percent-encoded-dots", rule, "Straight out of a query string.", token.replace(".", "%2E")
    )
    yield _case(
        "bearer-prefix",
        "RFC 6750 section 2.1",
        "The scheme belongs to the header field.",
        f"Bearer {token}",
    )
    yield _case("lone-character", rule, "4n+1 characters encode nothing.", f"{token[:-2]}.A")
    yield _case(
        "standard-base64-alphabet",
        rule,
        "+ and / where base64url has - and _.",
        _in_standard_alphabet(),
    )
    yield _case(
        "stray-bits-behind-the-signature",
        "RFC 4648 section 3.5",
        "The last character has bits that encode nothing: another spelling of the same token.",
        f"{header}.{payload}.{_with_stray_bits(signature)}",
    )
    spoilt = _with_stray_bits(b64url(compact_json({**draft().claims, "acr": "x"})))
    yield _case(
        "stray-bits-behind-the-payload",
        "RFC 4648 section 3.5",
        "The same in the payload, under a good signature.",
        f"{header}.{spoilt}.{b64url(KEYS['ES256'].sign(f'{header}.{spoilt}'.encode()))}",
    )


def _in_standard_alphabet() -> str:
    """Return a token whose signature has a - or _, written the other way."""
    for number in range(100):
        token = draft(jti=str(number)).signed()
        head, _, signature = token.rpartition(".")
        other = signature.replace("-", "+").replace("_", "/")
        if other != signature:
            return f"{head}.{other}"
    raise AssertionError


def _with_stray_bits(segment: str) -> str:
    """Return *segment* with the lowest unused bit of its last character set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(segment) % 4, "no unused bits"  # noqa: S101 - a generator, never shipped
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) | 1]


def _other_things() -> Iterator[Case]:
    header, payload, signature = draft().signed().split(".")
    flattened = json.dumps({"protected": header, "payload": payload, "signature": signature})
    yield _case(
        "json-serialization",
        "RFC 7515 section 7.2",
        "A JWS in its JSON form; access tokens are compact.",
        flattened,
    )
    yield _case(
        "refresh-token",
        "DESIGN section 8",
        "A refresh token where an access token belongs.",
        "apo_rt_0190f5f000007000800000000000000a_1_3q2-7w",
    )
