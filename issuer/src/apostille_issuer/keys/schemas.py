"""What the keys domain shows of itself: public parts, never private ones."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from apostille_contracts.claims import Algorithm
from apostille_issuer.keys.schedule import KeyState

__all__ = ["KeyView", "Rewrapping", "RotationRequest", "SecretView", "Withdrawal"]


class KeyView(Struct, frozen=True, kw_only=True):
    """A signing key."""

    kid: str
    """RFC 7638 SHA-256 thumbprint of the public key."""
    algorithm: Algorithm
    state: KeyState
    public_jwk: dict[str, Any]
    """As published (RFC 7517)."""
    created_at: datetime
    activates_at: datetime
    """When it signs first, or did; a plan while it is `next`."""
    retires_at: datetime | None
    """When it stopped signing."""
    expires_at: datetime | None
    """When it leaves the key set, or left it by withdrawal."""


class SecretView(Struct, frozen=True, kw_only=True):
    """A version of the secret that authenticates refresh tokens."""

    version: int
    created_at: datetime
    makes_tokens: bool
    """Whether new tokens are made with it; the others are accepted only."""


class RotationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which key is to be succeeded."""

    algorithm: Algorithm | None = None
    """Default: the one that signs access tokens."""


class Rewrapping(Struct, frozen=True, kw_only=True):
    """What was encrypted anew."""

    keys: int
    secrets: int


class Withdrawal(Struct, frozen=True, kw_only=True):
    """What came of withdrawing a key."""

    key: KeyView
    voided: int
    """Sessions whose access tokens are void; they live on."""
