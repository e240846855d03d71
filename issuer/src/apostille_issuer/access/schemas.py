"""What goes in and out of the access domain."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from apostille_contracts.permissions import MAX_PERMISSION_LENGTH

__all__ = [
    "Assignment",
    "CatalogueState",
    "EffectivePermissions",
    "Entitlements",
    "Explanation",
    "GrantSource",
    "ImportPlan",
    "ImportReport",
    "ManifestChanges",
    "PermissionDraft",
    "PermissionPatch",
    "PermissionView",
    "PlannedPermission",
    "PlannedRole",
    "Reason",
    "RoleClone",
    "RoleDraft",
    "RoleHolder",
    "RolePatch",
    "RoleView",
    "ServiceOutcome",
    "ServiceView",
    "WithoutCounterpart",
]

Name = Annotated[str, Meta(min_length=1, max_length=63, examples=["clerk"])]
Description = Annotated[str, Meta(max_length=500, examples=["Works at the counter"])]
GrantText = Annotated[str, Meta(max_length=MAX_PERMISSION_LENGTH)]
Grants = Annotated[
    tuple[GrantText, ...],
    Meta(max_length=500, examples=[["inventory.read"]]),
]
PermissionName = Annotated[str, Meta(max_length=MAX_PERMISSION_LENGTH, examples=["inventory.read"])]


class Entitlements(Struct, frozen=True):
    """What a token may say about its bearer."""

    roles: tuple[str, ...]
    """Names of the roles held, in alphabetical order."""
    permissions: tuple[str, ...]
    """Effective grants that the audience knows, in alphabetical order."""
    audience: tuple[str, ...]
    """The audiences asked for; or the default, the issuer's own first."""
    tenant_id: uuid.UUID | None = None
    """Of the organization asked about, if one was."""
    plan: str | None = None
    scopes: tuple[str, ...] = ()


class GrantSource(Struct, frozen=True, kw_only=True):
    """A grant that counts for somebody, and where he has it from."""

    role: str
    effect: Literal["allow", "deny"]
    grant: str
    organization_id: uuid.UUID | None = None
    """Where he was given the role; ``null`` for everywhere."""
    inherited: bool = False
    """That is further up: the role counts here, too."""


class EffectivePermissions(Struct, frozen=True, kw_only=True):
    """What a user may do, as a token for these audiences would say it."""

    user_id: uuid.UUID
    organization_id: uuid.UUID | None = None
    """Where; ``null`` for a token that speaks for no organization."""
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
    audience: tuple[str, ...]
    sources: tuple[GrantSource, ...]
    """Every grant of his roles that counts there, whatever audience it is for."""


Reason = Literal[
    "allowed", "denied", "not_granted", "not_in_audience", "not_a_member", "user_disabled"
]
CatalogueState = Literal["declared", "elsewhere", "deprecated", "unowned", "unknown"]


class Explanation(Struct, frozen=True, kw_only=True):
    """Whether somebody may do something, and why."""

    user_id: uuid.UUID
    organization_id: uuid.UUID | None
    permission: str
    audience: tuple[str, ...]
    """Of the token in question."""
    allowed: bool
    reason: Reason
    """``not_in_audience``: a role allows it, and no token for that audience carries it."""
    catalogue: CatalogueState
    """Whether a service of that audience declares the permission; or one
    ``elsewhere``; or none any more, or none yet; or it is not in the catalogue."""
    sources: tuple[GrantSource, ...]
    """The grants that speak of it: what denies it wins."""


class RoleView(Struct, frozen=True, kw_only=True):
    """A role with its grants."""

    id: uuid.UUID
    name: str
    description: str
    system: bool
    """Seeded and protected."""
    organization_id: uuid.UUID | None
    """Whose it is; ``null`` for one that is for all."""
    inherited: bool
    """Who has it in an organization has it in all below that one, too."""
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    """A deny wins over every allow, of this role or another one."""
    created_at: datetime
    updated_at: datetime


class RoleDraft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role to be created."""

    name: Name
    description: Description = ""
    allow: Grants = ()
    deny: Grants = ()
    inherited: bool = False


class RolePatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of a role to be replaced; what is left out stays."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    allow: Grants | UnsetType = UNSET
    deny: Grants | UnsetType = UNSET
    inherited: bool | UnsetType = UNSET


class RoleClone(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different in a new role that grants what another one does."""

    name: Name
    description: Description | UnsetType = UNSET
    """Without it, the other one's; so with ``inherited``."""
    inherited: bool | UnsetType = UNSET


class RoleHolder(Struct, frozen=True, kw_only=True):
    """Somebody who holds a role."""

    user_id: uuid.UUID
    login: str
    organization_id: uuid.UUID | None
    """In which organization he was given it; ``null`` for everywhere."""
    granted_at: datetime
    granted_by: uuid.UUID | None
    """``null`` if it was done on the command line."""


class Assignment(Struct, frozen=True, kw_only=True):
    """A role that a user holds."""

    role: str
    role_id: uuid.UUID
    granted_at: datetime
    granted_by: uuid.UUID | None
    """``null`` if it was done on the command line."""


class PermissionView(Struct, frozen=True, kw_only=True):
    """A permission of the catalogue."""

    id: uuid.UUID
    name: str
    module: str
    description: str
    service: str | None
    """The service it belongs to, if any."""
    deprecated: bool
    """Its service no longer declares it; only roles still name it."""
    created_at: datetime


class PermissionDraft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A permission to be created."""

    name: PermissionName
    description: Description = ""
    service: Name | None = None
    """The service that declares it. Without one, no token carries it yet."""


class PermissionPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of a permission to be replaced. A name is for ever."""

    description: Description | UnsetType = UNSET


class ServiceView(Struct, frozen=True, kw_only=True):
    """A registered service."""

    id: uuid.UUID
    name: str
    audience: str
    version: str
    permissions: dict[str, str]
    """What its manifest declares: name to description."""
    created_at: datetime
    updated_at: datetime


class ManifestChanges(Struct, frozen=True, kw_only=True):
    """How a manifest differs from what is registered."""

    created: bool
    """The service was not registered before."""
    updated: tuple[str, ...] = ()
    """Which of ``audience`` and ``version`` differ."""
    added: tuple[str, ...] = ()
    """Permissions declared from now on."""
    changed: tuple[str, ...] = ()
    """Permissions whose description differs."""
    deprecated: dict[str, tuple[str, ...]] = {}
    """Permissions no longer declared that stay since roles, named here, use them."""
    removed: tuple[str, ...] = ()
    """Permissions that leave the catalogue."""

    def any(self) -> bool:
        """Say whether there is a difference at all."""
        return bool(
            self.created
            or self.updated
            or self.added
            or self.changed
            or self.deprecated
            or self.removed
        )


class ServiceOutcome(Struct, frozen=True, kw_only=True):
    """What became, or would become, of a pushed manifest."""

    service: str
    audience: str
    version: str
    applied: bool
    """False for a dry run."""
    changes: ManifestChanges


class WithoutCounterpart(Struct, frozen=True):
    """Something that is not imported."""

    what: str
    why: str


class PlannedPermission(Struct, frozen=True):
    """A permission that roles to be imported name."""

    service: str
    """Whose it becomes if the catalogue does not know it."""
    description: str
    source: str
    """What it was called."""


class PlannedRole(Struct, frozen=True):
    """A role to be imported."""

    description: str
    allow: set[str]


class ImportPlan(Struct, frozen=True, kw_only=True):
    """What another system's groups and permissions come to."""

    organization_id: uuid.UUID | None
    """Whose the roles are; ``None`` for all."""
    inherited: bool
    """Of roles that are new."""
    permissions: dict[str, PlannedPermission]
    roles: dict[str, PlannedRole]
    assignments: dict[str, tuple[str, ...]]
    """Login name to roles."""
    without: tuple[WithoutCounterpart, ...]


class ImportReport(Struct, kw_only=True):
    """What an import changed, or would change."""

    services: list[str] = []
    """Registered, since permissions belong to them."""
    permissions: dict[str, str] = {}
    """New in the catalogue, and what each was called."""
    created: dict[str, tuple[str, ...]] = {}
    """New roles, and what each allows."""
    extended: dict[str, tuple[str, ...]] = {}
    """Roles that were there, and what each allows from now on."""
    members: list[str] = []
    """Login names of new members of the organization."""
    assigned: list[tuple[str, str]] = []
    """Login name and role."""
    without: list[WithoutCounterpart] = []

    def changes(self) -> bool:
        """Say whether anything is different from before."""
        return bool(
            self.services
            or self.permissions
            or self.created
            or self.extended
            or self.members
            or self.assigned
        )
