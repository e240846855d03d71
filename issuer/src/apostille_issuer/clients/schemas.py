"""What goes in and out of the clients domain."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = [
    "AccountState",
    "ApiKeyCreated",
    "ApiKeyDraft",
    "ApiKeyRotation",
    "ApiKeyView",
    "KeyState",
    "ServiceAccountDraft",
    "ServiceAccountFilter",
    "ServiceAccountPatch",
    "ServiceAccountView",
]

AccountState = Literal["active", "disabled"]
KeyState = Literal["active", "expired", "revoked"]

MAX_OVERLAP_SECONDS = 30 * 86_400

Name = Annotated[str, Meta(min_length=1, max_length=100, examples=["Nightly import"])]
Description = Annotated[str, Meta(max_length=500, examples=["Runs on the warehouse server"])]
KeyName = Annotated[str, Meta(min_length=1, max_length=100, examples=["warehouse-1"])]
PublicJwk = Annotated[
    dict[str, Any],
    Meta(
        description=(
            "A public key (RFC 7517) that signs client assertions; EC on P-256, Ed25519, or RSA "
            "of at least 2,048 bits."
        ),
        extra_json_schema={
            "examples": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                    "alg": "EdDSA",
                }
            ]
        },
    ),
]
Lifetime = Annotated[
    int,
    Meta(ge=60, le=10 * 366 * 86_400, description="Seconds; the issuer may allow fewer."),
]


class ServiceAccountView(Struct, frozen=True, kw_only=True):
    """A service account: a subject that is no person."""

    id: uuid.UUID
    """Also its OAuth ``client_id``, and the claim ``sub`` of its tokens."""
    tenant_id: uuid.UUID | None
    organization_id: uuid.UUID | None
    """The one that its tokens speak for; ``null`` for an account of the platform."""
    name: str
    description: str
    state: AccountState
    created_at: datetime
    updated_at: datetime


class ServiceAccountDraft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service account to be created; it holds no role yet."""

    name: Name
    description: Description = ""
    organization_id: uuid.UUID | None = None
    """The one that its tokens are to speak for, of which it becomes a member.
    Without, it is an account of the platform, or, where the actor speaks for
    an organization, that one's."""


class ServiceAccountPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of a service account to be replaced; what is left out stays."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    state: AccountState | UnsetType = UNSET
    """``disabled`` voids its access tokens, and it gets no more; its keys stay."""


class ServiceAccountFilter(Struct, frozen=True, kw_only=True):
    """Which service accounts to list."""

    organization_id: uuid.UUID | None = None
    """Of this organization; ``None``, for who acts for the platform, does not narrow."""


class ApiKeyView(Struct, frozen=True, kw_only=True):
    """What a service account proves itself with; never the secret itself."""

    id: uuid.UUID
    name: str
    kind: Literal["secret", "public_key"]
    state: KeyState
    hint: str | None
    """The first characters of a secret, none of them random."""
    public_jwk: dict[str, Any] | None
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    """To the minute."""
    revoked_at: datetime | None


class ApiKeyCreated(ApiKeyView, frozen=True, kw_only=True):
    """A key that was made now."""

    secret: str | None
    """Shown this once; ``null`` for a public key."""

    def __repr__(self) -> str:
        """Show no secret in any log."""
        return f"ApiKeyCreated(id={self.id!r})"


class ApiKeyDraft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made: a secret, or for a pair of which the private half stays with the client."""

    name: KeyName
    public_jwk: PublicJwk | None = None
    expires_in_seconds: Lifetime | None = None
    """By default one year, or what the issuer allows if that is less."""


class ApiKeyRotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be put in another one's place."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=MAX_OVERLAP_SECONDS)] = 86_400
    """How long the old one works beside the new one; 0 revokes it at once. It
    does not live longer for it than it would have."""
    name: KeyName | None = None
    """By default the old one's."""
    public_jwk: PublicJwk | None = None
    """The new public key, where the old one is a public key, and only there."""
    expires_in_seconds: Lifetime | None = None
