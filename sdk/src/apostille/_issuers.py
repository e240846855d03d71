"""Which of several issuers a token claims to come from. Pure.

The answer is unverified. It chooses the verifier that judges the token, with
that issuer's own keys, cache and policy, and decides nothing else: keys of
several issuers are never pooled (RFC 8725 section 3.8).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec

from ._json import Malformed, decode_text
from ._token import split
from .errors import ConfigurationError, InvalidClaim, MalformedToken
from .events import Health, KeyState

__all__ = ["by_issuer", "unverified_issuer", "worst"]


class _OfIssuers(Protocol):
    @property
    def issuers(self) -> tuple[str, ...]: ...


V = TypeVar("V", bound=_OfIssuers)

_WORST_FIRST = (KeyState.NONE, KeyState.STALE, KeyState.FRESH)


def by_issuer(verifiers: Sequence[V]) -> dict[str, V]:
    """Return each issuer with the one verifier of its tokens.

    Raises:
        ConfigurationError: There is no verifier, or an issuer has two: which
            of them judges a token would be a matter of chance.
    """
    chosen: dict[str, V] = {}
    for verifier in verifiers:
        for issuer in verifier.issuers:
            if chosen.setdefault(issuer, verifier) is not verifier:
                raise ConfigurationError("every issuer has exactly one verifier")
    if not chosen:
        raise ConfigurationError("name at least one verifier")
    return chosen


def worst(healths: Iterable[Health]) -> Health:
    """Return the health of the issuer that is worst off."""
    return min(healths, key=lambda health: _WORST_FIRST.index(health.state))


class _Claims(msgspec.Struct, gc=False):
    iss: str


_DECODER = msgspec.json.Decoder(_Claims)


def unverified_issuer(token: object) -> str:
    """Return the issuer *token* says it comes from.

    Raises:
        TokenTooLarge, MalformedToken: It has not the shape of a token.
        InvalidClaim: It does not name an issuer.
    """
    if not isinstance(token, str):
        raise MalformedToken
    try:
        text = decode_text(split(token).payload)
        return _DECODER.decode(text).iss
    except msgspec.ValidationError:
        raise InvalidClaim("iss") from None
    except (Malformed, msgspec.DecodeError):
        raise MalformedToken from None
