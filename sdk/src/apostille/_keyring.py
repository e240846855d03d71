"""A set of verification keys, immutable, and how it is read from a JWK Set. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from apostille_contracts.key_sets import key_set_thumbprint

from ._json import Malformed, decode_text, load
from ._jwk import UnusableKey, VerificationKey, parse_key

__all__ = ["EMPTY_KEYRING", "InvalidKeySet", "Keyring", "read_key_set"]


class InvalidKeySet(ValueError):
    """The document is not a JWK Set (RFC 7517 section 5)."""


class Keyring:
    """Verification keys by key id. Immutable; equal if the keys are equal.

    Args:
        keys: Usable keys with distinct key ids.
        faults: Why other keys of the set were left out, for the operator.
        thumbprint: Of the whole set, those left out included.
    """

    __slots__ = ("_identity", "faults", "keys", "thumbprint")

    def __init__(
        self,
        keys: Mapping[str, VerificationKey],
        faults: tuple[str, ...] = (),
        thumbprint: str = "",
    ) -> None:
        """Hold *keys*."""
        self.keys: Mapping[str, VerificationKey] = MappingProxyType(dict(keys))
        self.faults = faults
        self.thumbprint = thumbprint
        self._identity = frozenset(key.identity for key in keys.values())

    def __len__(self) -> int:
        return len(self.keys)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Keyring):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        return f"Keyring(keys={len(self.keys)}, faults={len(self.faults)})"


EMPTY_KEYRING = Keyring({})
"""What a verifier holds before its first fetch."""


def read_key_set(document: bytes) -> Keyring:
    """Return the usable keys of the JWK Set in *document*.

    A key that is malformed, weak or meant for something else is left out on
    its own; so are all keys that share a key id, since nobody can say which
    of them a token means.

    Args:
        document: JSON; its size has been bounded by the caller.

    Raises:
        InvalidKeySet: It is not ``{"keys": [...]}``.
    """
    try:
        members = load(decode_text(document))
    except Malformed:
        raise InvalidKeySet("a key set is JSON in UTF-8") from None
    listed = members.get("keys") if isinstance(members, dict) else None
    if not isinstance(listed, list):
        raise InvalidKeySet('a key set is a JSON object {"keys": [...]}')
    claimed = Counter(kid for jwk in listed if (kid := _kid(jwk)) is not None)
    keys: dict[str, VerificationKey] = {}
    faults: list[str] = []
    for position, jwk in enumerate(listed):
        try:
            key = parse_key(jwk)
            if claimed[key.kid] > 1:
                raise UnusableKey("another key of the set has the same kid")  # noqa: TRY301 - one place collects the faults
        except UnusableKey as fault:
            faults.append(f"keys[{position}]: {fault}")
        else:
            keys[key.kid] = key
    return Keyring(keys, tuple(faults), key_set_thumbprint(listed))


def _kid(jwk: object) -> str | None:
    kid = jwk.get("kid") if isinstance(jwk, dict) else None
    return kid if isinstance(kid, str) else None
