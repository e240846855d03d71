"""Steps 1 to 3 of DESIGN section 5: size, shape, header. Pure.

Everything here is *unverified*: it says which key to try, and nothing else.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import msgspec

from ._json import Malformed, decode_base64url, decode_text, load_distinct
from .errors import AlgorithmNotAllowed, MalformedToken, TokenTooLarge, WrongType

__all__ = [
    "MAX_TOKEN_CHARACTERS",
    "UnverifiedHeader",
    "UnverifiedToken",
    "read_header",
    "split",
]

MAX_TOKEN_CHARACTERS = 16 * 1024
"""Largest token that is looked at; the issuer mints at most half of it."""

MAX_KID_CHARACTERS = 1024
"""As the contract bounds it; an RFC 7638 thumbprint has 43."""

_ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})

# Members that would change what is verified or with what: extensions nobody
# here understands (RFC 7515 section 4.1.11), keys out of the token itself
# (RFC 8725 section 3.10), an unencoded payload (RFC 7797 section 7).
_REFUSED_MEMBERS = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "b64"})


class UnverifiedToken(msgspec.Struct, frozen=True, gc=False):
    """The parts of a compact JWS of which nothing is proven."""

    signing_input: bytes
    header_segment: bytes
    payload: bytes
    signature: bytes


class UnverifiedHeader(msgspec.Struct, frozen=True, gc=False):
    """What the header asks for."""

    algorithm: str
    kid: str


def split(token: str, limit: int = MAX_TOKEN_CHARACTERS) -> UnverifiedToken:
    """Take *token* apart: size and shape (RFC 7515 section 5.2, RFC 8725bis section 3.14).

    Raises:
        TokenTooLarge: Over *limit*, by default :data:`MAX_TOKEN_CHARACTERS`.
        MalformedToken: Not three parts in the strict base64url alphabet.
    """
    if len(token) > limit:
        raise TokenTooLarge
    try:
        octets = token.encode("ascii")
    except UnicodeEncodeError:  # it quotes the token
        raise MalformedToken from None
    signing_input, _, signature_segment = octets.rpartition(b".")
    header_segment, _, payload_segment = signing_input.partition(b".")
    if not header_segment or not payload_segment:
        raise MalformedToken
    # A fourth or fifth part would stand in the middle, and a dot is not in
    # the alphabet.
    try:
        payload = decode_base64url(payload_segment)
        signature = decode_base64url(signature_segment)
    except Malformed:
        raise MalformedToken from None
    return UnverifiedToken(signing_input, header_segment, payload, signature)


def read_header(
    segment: bytes, algorithms: AbstractSet[str], types: AbstractSet[str] = _ACCESS_TOKEN_TYPES
) -> UnverifiedHeader:
    """Return what the header in *segment* asks for (RFC 9068 section 4, RFC 8725 section 3.1).

    Args:
        segment: The first part of the token, still encoded.
        algorithms: The allow-list.
        types: What ``typ`` may say, in lower case; an access token's by default.

    Raises:
        MalformedToken: Not a JSON object with distinct names, a member that
            is refused whatever its value, or no usable ``kid``.
        WrongType: ``typ`` is absent or none of *types*.
        AlgorithmNotAllowed: ``alg`` is absent or not on the list.
    """
    try:
        header = load_distinct(decode_text(decode_base64url(segment)))
    except Malformed:
        raise MalformedToken from None
    if not isinstance(header, dict):
        raise MalformedToken
    kind = header.get("typ")
    # Media types compare without regard to case, in ASCII (RFC 2045 section
    # 5.1): str.lower() alone would turn a Kelvin sign into a k.
    if not isinstance(kind, str) or not kind.isascii() or kind.lower() not in types:
        raise WrongType
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise AlgorithmNotAllowed
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_CHARACTERS:
        raise MalformedToken
    if not _REFUSED_MEMBERS.isdisjoint(header):
        raise MalformedToken
    return UnverifiedHeader(algorithm, kid)
