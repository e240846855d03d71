"""Client assertions: a JWT by which a client says who it is (RFC 7523 section 3).

What is read here is *unverified*; the signature is :mod:`.public_keys`' affair,
and that an assertion is used once, the database's.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

__all__ = ["InvalidAssertion", "UnverifiedAssertion", "check_claims", "read_assertion"]

MAX_LENGTH: Final = 8_192
"""Longest assertion, in characters."""

LONGEST_LIFE: Final = timedelta(minutes=5)
"""Farthest ``exp`` from now: for so long its ``jti`` is remembered."""

LEEWAY: Final = timedelta(seconds=30)
"""By which the client's clock may be wrong."""

_FORM: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)

_TYPES: Final = frozenset({"jwt", "client-authentication+jwt"})
_REFUSED: Final = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "b64"})
"""Header members that would change what is verified, or with what (RFC 8725 section 3.10)."""

LAST_SECOND: Final = 253_402_300_799

Moment = Annotated[int, Meta(ge=0, le=LAST_SECOND)] | Annotated[float, Meta(ge=0, le=LAST_SECOND)]


class InvalidAssertion(Exception):
    """It is no assertion that could be accepted; the message is a fixed text for the audit."""


class _Claims(Struct, frozen=True):
    iss: str
    sub: str
    aud: str | Annotated[list[str], Meta(min_length=1, max_length=1)]
    exp: Moment
    jti: Annotated[str, Meta(min_length=1, max_length=255)]
    iat: Moment | None = None
    nbf: Moment | None = None


class UnverifiedAssertion(Struct, frozen=True):
    """An assertion whose signature nobody has looked at."""

    algorithm: str
    kid: str | None
    message: bytes
    """What is signed."""
    signature: bytes
    unverified_claims: _Claims

    @property
    def jti_hash(self) -> str:
        """What is remembered of its ``jti``."""
        return sha256(self.unverified_claims.jti.encode()).hexdigest()

    @property
    def client_id(self) -> str:
        """Who it says that it is of."""
        return self.unverified_claims.sub

    def __repr__(self) -> str:
        """Show no assertion in any log."""
        return f"UnverifiedAssertion(kid={self.kid!r})"


def read_assertion(text: str) -> UnverifiedAssertion:
    """Take *text* apart.

    Raises:
        InvalidAssertion: It is no compact JWS, or has not the header and the
            claims that an assertion has.
    """
    match = _FORM.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise InvalidAssertion("malformed")
    header = _object(match[1])
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None):
        raise InvalidAssertion("malformed")
    if not isinstance(kind, str) or not kind.isascii() or kind.lower() not in _TYPES:
        raise InvalidAssertion("wrong_type")
    if not _REFUSED.isdisjoint(header):
        raise InvalidAssertion("malformed")
    try:
        claims = msgspec.convert(_object(match[2]), _Claims)
    except msgspec.ValidationError:
        raise InvalidAssertion("invalid_claim") from None
    message = text.rpartition(".")[0].encode("ascii")
    return UnverifiedAssertion(algorithm, kid, message, _octets(match[3]), claims)


def check_claims(
    assertion: UnverifiedAssertion, audiences: frozenset[str], now: datetime
) -> datetime:
    """Return until when the assertion could be used, if its claims are right now.

    Args:
        assertion: Its signature may be looked at later.
        audiences: What ``aud`` may say: the issuer, or its token endpoint.
        now: The present.

    Raises:
        InvalidAssertion: ``iss`` is not ``sub``, it is meant for another, has
            expired, is not good yet, or would be for longer than five minutes.

    See: RFC 7523 section 3; RFC 7521 section 5.2.
    """
    claims = assertion.unverified_claims
    if claims.iss != claims.sub:
        raise InvalidAssertion("invalid_claim")
    audience = claims.aud if isinstance(claims.aud, str) else claims.aud[0]
    if audience not in audiences:
        raise InvalidAssertion("wrong_audience")
    moment, leeway = now.timestamp(), LEEWAY.total_seconds()
    if claims.exp + leeway <= moment:
        raise InvalidAssertion("expired")
    if claims.exp - leeway > moment + LONGEST_LIFE.total_seconds():
        raise InvalidAssertion("lives_too_long")
    for begins in (claims.iat, claims.nbf):
        if begins is not None and begins - leeway > moment:
            raise InvalidAssertion("not_yet_valid")
    return datetime.fromtimestamp(claims.exp, now.tzinfo) + LEEWAY


def _object(segment: str) -> dict[str, Any]:
    """Return the JSON object in *segment*, whose names are distinct."""
    try:
        text = _octets(segment).decode()
        found = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_number)
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise InvalidAssertion("malformed") from None
    if not isinstance(found, dict):
        raise InvalidAssertion("malformed")
    return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidAssertion("malformed")
    return found


def _no_number(_constant: str) -> None:
    """Refuse ``NaN`` and ``Infinity``, which are not JSON and compare with nothing."""
    raise InvalidAssertion("malformed")


def _octets(segment: str) -> bytes:
    try:
        return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise InvalidAssertion("malformed") from None
