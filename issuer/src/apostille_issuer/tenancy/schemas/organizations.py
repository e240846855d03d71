"""What goes in and out of acts on organizations."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from apostille_issuer.tenancy.documents import Document

__all__ = [
    "EffectiveSetting",
    "EffectiveSettings",
    "OrganizationDraft",
    "OrganizationFilter",
    "OrganizationMove",
    "OrganizationPatch",
    "OrganizationState",
    "OrganizationView",
]

OrganizationState = Literal["active", "deactivated", "deleted"]

NameText = Annotated[
    str,
    Meta(
        description="1 to 100 printable characters. "
        "No two subsidiaries of one organization share a name, in whatever case.",
        examples=["Acme Nordic"],
    ),
]


class OrganizationView(Struct, frozen=True, kw_only=True):
    """A company inside a tenant."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    parent_id: uuid.UUID | None
    """``null`` for the root of the tenant."""
    name: str
    state: OrganizationState
    """Its own."""
    active: bool
    """Whether tokens can speak for it: so is it, its tenant, and all that it is in."""
    depth: Annotated[int, Meta(ge=1)]
    """1 for the root."""
    settings: dict[str, Any]
    """Its own; what it does not say is inherited."""
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class OrganizationDraft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organization to be created."""

    parent_id: uuid.UUID
    """What it is to be a subsidiary of."""
    name: NameText
    settings: Document = {}


class OrganizationPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of an organization to be replaced; what is left out stays."""

    name: NameText | UnsetType = UNSET
    state: Literal["active", "deactivated"] | UnsetType = UNSET
    """``deactivated`` ends the sessions that speak for it or for one below it."""
    settings: Document | UnsetType = UNSET
    """Replaced as a whole."""


class OrganizationMove(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an organization is to be in the tree of its tenant."""

    parent_id: uuid.UUID
    """What it is to be a subsidiary of."""


class OrganizationFilter(Struct, frozen=True, kw_only=True):
    """Which organizations to list; what is ``None`` does not narrow."""

    tenant_id: uuid.UUID | None = None
    parent_id: uuid.UUID | None = None
    """Whose subsidiaries, one level down."""
    subtree_of: uuid.UUID | None = None
    """It, and all below it."""
    state: OrganizationState | None = None
    """Its own; without, all but deleted ones."""
    search: str | None = None
    """What the name begins with, in any case."""


class EffectiveSetting(Struct, frozen=True, kw_only=True):
    """The value of a setting, and where it comes from."""

    value: Any
    source: Literal["organization", "tenant"]
    source_id: uuid.UUID


class EffectiveSettings(Struct, frozen=True, kw_only=True):
    """The settings that are in force in an organization."""

    organization_id: uuid.UUID
    settings: dict[str, EffectiveSetting]
    """By name: its own, then its parent's and so on, then its tenant's."""
