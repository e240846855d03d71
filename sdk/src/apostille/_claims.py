"""Step 6 of DESIGN section 5: what the payload says, and whether it holds. Pure."""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec
from msgspec import UNSET

from ._json import Malformed, decode_text
from .errors import (
    ExpiredToken,
    InvalidClaim,
    MalformedToken,
    NotYetValid,
    WrongAudience,
    WrongIssuer,
)
from .principal import VerifiedClaims

__all__ = ["ClaimsPolicy", "ValidityPeriod", "blame", "check_period"]

ValidityPeriod = tuple[float, float]
"""From when, and until before when, in seconds since the epoch; leeway included."""

_DECODER = msgspec.json.Decoder(VerifiedClaims)
_FIELDS = msgspec.structs.fields(VerifiedClaims)


class ClaimsPolicy:
    """What the claims of a token must say to be accepted here.

    Args:
        issuer: ``iss``, letter for letter.
        audience: Of these ``aud`` must contain at least one.
        leeway: How far the issuer's clock and ours may differ, in seconds.
    """

    __slots__ = ("audience", "issuer", "leeway")

    def __init__(self, issuer: str, audience: frozenset[str], leeway: float) -> None:
        """Take what the verifier was constructed with, already validated."""
        self.issuer = issuer
        self.audience = audience
        self.leeway = leeway

    def accept(self, payload: bytes, now: float) -> tuple[VerifiedClaims, ValidityPeriod]:
        """Return the claims in *payload*, whose signature holds, and when they do.

        Args:
            payload: The second part of the token, decoded.
            now: Seconds since the epoch.

        Raises:
            MalformedToken: Not a JSON object in UTF-8.
            InvalidClaim: A claim is missing or of the wrong type.
            WrongIssuer, WrongAudience, ExpiredToken, NotYetValid: It says so.

        See: RFC 9068 section 4; RFC 7519 section 4.1.
        """
        try:
            text = decode_text(payload)
        except Malformed:
            raise MalformedToken from None
        try:
            claims = _DECODER.decode(text)
        except msgspec.DecodeError:
            blame(text)
        if claims.iss != self.issuer:
            raise WrongIssuer
        audience = claims.aud
        if isinstance(audience, str):
            if audience not in self.audience:
                raise WrongAudience
        elif self.audience.isdisjoint(audience):
            raise WrongAudience
        begins, ends = period = self._period(claims)
        if not begins <= now < ends:
            check_period(period, now)
        return claims, period

    def _period(self, claims: VerifiedClaims) -> ValidityPeriod:
        begins, issued = claims.nbf, claims.iat
        if begins is UNSET or begins < issued:
            begins = issued
        return begins - self.leeway, claims.exp + self.leeway


def check_period(period: ValidityPeriod, now: float) -> None:
    """Return if *now* lies in *period*.

    Raises:
        ExpiredToken: ``exp`` has come; the instant itself is too late (RFC 7519 section 4.1.4).
        NotYetValid: ``nbf`` or ``iat`` lies ahead.
    """
    begins, ends = period
    if now >= ends:
        raise ExpiredToken
    if now < begins:
        raise NotYetValid


def blame(text: str) -> NoReturn:
    """Name the claim for which *text* was refused, without quoting it.

    Slow, and only taken on refusal: the decoder's own message is prose that
    may change, and it is not ours to vouch for what it quotes.

    Raises:
        InvalidClaim: The first claim, in the order of the contract, that is
            missing or of the wrong type.
        MalformedToken: It is not a claim's fault: not JSON, or not an object.
    """
    try:
        members = msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise MalformedToken from None
    if isinstance(members, dict):
        for field in _FIELDS:
            name = field.encode_name
            if name not in members:
                if field.required:
                    raise InvalidClaim(name) from None
            elif not _fits(members[name], field.type):
                raise InvalidClaim(name) from None
    raise MalformedToken from None


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
