"""What goes in and out about members."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = [
    "MAX_PLAN_LENGTH",
    "MAX_ROLES",
    "MAX_SCOPES",
    "MAX_SCOPE_LENGTH",
    "MemberDraft",
    "MemberFilter",
    "MemberPatch",
    "MemberState",
    "MemberView",
    "OwnMembership",
    "Scopes",
]

MAX_SCOPES = 50
"""Most extra scopes of a member: all of them are in his tokens."""

MAX_SCOPE_LENGTH = 63
"""Longest scope, in characters."""

MAX_PLAN_LENGTH = 63
"""Longest name of a plan, in characters."""

MAX_ROLES = 50
"""Most roles that can be named at once."""

MemberState = Literal["active", "suspended"]

RoleText = Annotated[str, Meta(min_length=1, max_length=63)]
Roles = Annotated[
    tuple[RoleText, ...],
    Meta(
        max_length=MAX_ROLES,
        description="Names or identifiers of roles that can be given there.",
        examples=[["admin"]],
    ),
]
ScopeText = Annotated[str, Meta(min_length=1, max_length=MAX_SCOPE_LENGTH)]
Scopes = Annotated[
    tuple[ScopeText, ...],
    Meta(
        max_length=MAX_SCOPES,
        description="Extra OAuth scopes (RFC 6749 section 3.3): printable ASCII "
        "without space, quotation mark and backslash.",
        examples=[["reports:export"]],
    ),
]
Plan = Annotated[str, Meta(min_length=1, max_length=MAX_PLAN_LENGTH, examples=["enterprise"])]


class MemberView(Struct, frozen=True, kw_only=True):
    """Somebody in an organization."""

    user_id: uuid.UUID
    login: str
    kind: Literal["person", "service"]
    organization_id: uuid.UUID
    state: MemberState
    roles: tuple[str, ...]
    """Names of the roles that he was given there, in alphabetical order."""
    plan: str | None
    """Instead of the tenant's; ``null`` for the tenant's."""
    scopes: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


class MemberDraft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user who is to be a member: name either ``user_id`` or ``login``."""

    user_id: uuid.UUID | None = None
    login: Annotated[str, Meta(examples=["ada@example.com"])] | None = None
    roles: Roles = ()
    plan: Plan | None = None
    """Instead of the tenant's; the platform's administrators decide it."""
    scopes: Scopes = ()


class MemberPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a membership is to be replaced; what is left out stays."""

    state: MemberState | UnsetType = UNSET
    """``suspended`` ends the sessions in which he speaks for the organization."""
    plan: Plan | UnsetType | None = UNSET
    """``null`` for the tenant's; the platform's administrators decide it."""
    scopes: Scopes | UnsetType = UNSET


class MemberFilter(Struct, frozen=True, kw_only=True):
    """Which members to list; what is ``None`` does not narrow."""

    login: str | None = None
    """What the login name begins with, in any case."""
    role: str | None = None
    """Name or identifier of a role that he was given there."""
    state: MemberState | None = None
    subtree: bool = False
    """Those of all organizations below it, too."""


class OwnMembership(Struct, frozen=True, kw_only=True):
    """An organization that the bearer of the token may speak for."""

    organization_id: uuid.UUID
    organization: str
    """Its name."""
    tenant_id: uuid.UUID
    tenant: str
    """Its name."""
    direct: bool
    """He is a member of it; otherwise only of one above it, with a role that is inherited."""
    roles: tuple[str, ...]
    """Names of the roles that he has there by membership, inherited ones included."""
