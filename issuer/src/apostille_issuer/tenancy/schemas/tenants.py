"""What goes in and out about tenants."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from apostille_issuer.tenancy.documents import Document
from apostille_issuer.tenancy.limits import NAME_LENGTH, PLAN_LENGTH

__all__ = [
    "MAX_SEATS",
    "Branding",
    "SeatsView",
    "TenantDraft",
    "TenantFilter",
    "TenantPatch",
    "TenantState",
    "TenantView",
]

MAX_SEATS = 2**31 - 1
"""What fits into the column."""

TenantState = Literal["active", "suspended", "deleted"]

NameText = Annotated[
    str,
    Meta(
        description=f"One line of 1 to {NAME_LENGTH} characters, without a space at either end.",
        examples=["Acme"],
    ),
]
Plan = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=PLAN_LENGTH,
        description="Name of a plan, as services know it: the claim `plan`.",
        examples=["basic"],
    ),
]
Seats = Annotated[int, Meta(ge=0, le=MAX_SEATS, examples=[50])]
WebAddress = Annotated[
    str,
    Meta(
        max_length=2_000,
        description="An `https` URL.",
        examples=["https://www.example.com/logo.svg"],
    ),
]
Color = Annotated[str, Meta(description="As `#rrggbb`.", examples=["#0b5fff"])]
Email = Annotated[
    str, Meta(max_length=254, description="An address.", examples=["help@example.com"])
]


class Branding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a tenant looks to its people, for whoever shows them pages or writes them letters."""

    display_name: NameText | None = None
    logo_url: WebAddress | None = None
    icon_url: WebAddress | None = None
    primary_color: Color | None = None
    background_color: Color | None = None
    text_color: Color | None = None
    support_email: Email | None = None
    support_url: WebAddress | None = None
    privacy_url: WebAddress | None = None
    terms_url: WebAddress | None = None


class TenantView(Struct, frozen=True, kw_only=True):
    """A tenant."""

    id: uuid.UUID
    name: str
    state: TenantState
    """Only in an active one does anybody log in, or act."""
    root_organization_id: uuid.UUID
    """Who may administer it, may administer the tenant."""
    plan: str | None
    """In the tokens of its members, but for those who have one of their own."""
    seats: int | None
    """Most people who may be in it at a time; ``null`` for any number."""
    entitlements: Document
    settings: Document
    """What organizations inherit."""
    branding: Branding
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    purge_at: datetime | None
    """When a deleted one is gone for good; ``null`` once that has begun, too."""


class SeatsView(Struct, frozen=True, kw_only=True):
    """How many people may be in a tenant, and are."""

    seats: int | None
    """``null`` for any number."""
    used: int
    """By people with an active membership, wherever in the tenant, and by open invitations."""


class TenantDraft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant to be created, with its root organization."""

    name: NameText
    root_name: NameText | None = None
    """Name of the root organization; by default the tenant's."""
    plan: Plan | None = None
    seats: Seats | None = None
    """By default any number."""
    entitlements: Document = field(default_factory=dict)
    settings: Document = field(default_factory=dict)
    branding: Branding = Branding()


class TenantPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of a tenant to be replaced, each as a whole; what is left out stays."""

    name: NameText | UnsetType = UNSET
    state: Literal["active", "suspended"] | UnsetType = UNSET
    """``suspended`` ends the sessions that speak for its organizations."""
    plan: Plan | UnsetType | None = UNSET
    seats: Seats | UnsetType | None = UNSET
    entitlements: Document | UnsetType = UNSET
    settings: Document | UnsetType = UNSET
    branding: Branding | UnsetType = UNSET


class TenantFilter(Struct, frozen=True, kw_only=True):
    """Which tenants to list; what is ``None`` does not narrow."""

    name: str | None = None
    """What the name begins with, in any case."""
    state: TenantState | None = None
