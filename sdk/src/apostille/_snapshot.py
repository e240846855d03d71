"""What a verifier knows at one moment: keys, and tokens they have verified. Pure.

A snapshot is replaced as a whole, never changed: whoever holds one sees keys,
caches and times that belong together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ._ages import Ages
from ._jwk import VerificationKey
from ._keyring import EMPTY_KEYRING, Keyring
from ._standing import Standing
from .principal import Principal

__all__ = ["CachedToken", "HeaderCache", "Snapshot", "TokenCache"]

CachedToken = tuple[Principal, float, float, float, Standing | None]
"""Whom a verified token speaks for, from when and until before when, and where he stands.

Its end is there twice, by the wall clock and by the monotonic one: whichever
comes first is the end of an answer without a second look.
"""


class TokenCache:
    """Verified tokens, keyed by the whole token: nothing can collide (RFC 8725 section 3.3).

    Two generations: new and recently used tokens are *young*; when these fill
    half of the bound, they become old and what was old is forgotten. So a
    look-up writes nothing in the usual case, no entry needs a time stamp, and
    memory stays bounded without a lock: every change is one assignment or
    one dictionary operation, and what racing threads may lose is a cached
    entry, never a check.

    Args:
        size: Most tokens to hold; 0 turns the cache off.
    """

    __slots__ = ("_half", "_old", "young")

    def __init__(self, size: int) -> None:
        """Start empty."""
        self._half = (size + 1) // 2
        self.young: dict[str, CachedToken] = {}
        """Read directly by a repeated verify, which counts nanoseconds."""
        self._old: dict[str, CachedToken] = {}

    def find(self, token: str) -> CachedToken | None:
        """Return what is known of *token*, and keep it from being forgotten."""
        known = self.young.get(token)
        if known is None:
            known = self._old.get(token)
            if known is not None:
                self.add(token, known)
        return known

    def add(self, token: str, known: CachedToken) -> None:
        """Remember *token*, which has just been verified or asked for."""
        if len(self.young) >= self._half:
            if not self._half:
                return
            self._old, self.young = self.young, {}
        self.young[token] = known

    def holds(self, token: object) -> bool:
        """Say whether *token* is remembered; good or not is another question."""
        return isinstance(token, str) and (token in self.young or token in self._old)

    def __len__(self) -> int:
        return len(self.young) + len(self._old)


class HeaderCache:
    """Encoded headers under which a signature held, with the key they led to.

    An issuer writes one header per key, so a token rarely brings a new one.
    Only verified headers get in: nobody can fill it but the issuer.
    """

    __slots__ = ("_keys",)

    LIMIT = 64

    def __init__(self) -> None:
        """Start empty."""
        self._keys: dict[bytes, VerificationKey] = {}

    def find(self, segment: bytes) -> VerificationKey | None:
        """Return the key that the header *segment* led to before."""
        return self._keys.get(segment)

    def add(self, segment: bytes, key: VerificationKey) -> None:
        """Remember where *segment* led, as long as there is room."""
        if len(self._keys) < self.LIMIT:
            self._keys[segment] = key


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Ages):
    """Keys, what they verified, and until when they may be used."""

    keyring: Keyring
    tokens: TokenCache
    headers: HeaderCache

    @classmethod
    def empty(cls) -> Snapshot:
        """Return what is known before the first fetch: nothing."""
        return cls(keyring=EMPTY_KEYRING, tokens=TokenCache(0), headers=HeaderCache())

    @classmethod
    def given(cls, keyring: Keyring, cache_size: int) -> Snapshot:
        """Return a snapshot of keys that never age."""
        return cls(
            keyring=keyring,
            tokens=TokenCache(cache_size),
            headers=HeaderCache(),
            refresh_at=math.inf,
            fresh_until=math.inf,
            usable_until=math.inf,
            recheck_at=math.inf,
        )
