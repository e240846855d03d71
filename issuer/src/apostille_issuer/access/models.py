"""Tables of the access domain: catalogue, roles, assignments, services.

Imported by this domain alone, and by the migrations' metadata.
"""

import uuid
from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Uuid,
    column,
    false,
    table,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from apostille_contracts.permissions import MAX_PERMISSION_LENGTH
from apostille_issuer.db.types import Base, JsonDocument, new_id

__all__ = [
    "LINEAGE",
    "MEMBERSHIPS",
    "ORGANIZATIONS",
    "TENANTS",
    "USERS",
    "MembershipRole",
    "Permission",
    "PolicyRevision",
    "Role",
    "RoleGrant",
    "Service",
    "ServicePermission",
    "UserRole",
]

NAME_LENGTH = 63
"""Longest name of a role or a service, in characters."""

USERS = table(
    "users",
    column("id", Uuid),
    column("login", String),
    column("login_key", String),
    column("state", String),
    column("kind", String),
    column("password_hash", String),
)
"""What this domain must know of a user, and all it may: the row is the accounts'."""

TENANTS = table("tenants", column("id", Uuid), column("state", String), column("plan", String))
ORGANIZATIONS = table(
    "organizations",
    column("id", Uuid),
    column("tenant_id", Uuid),
    column("parent_id", Uuid),
    column("state", String),
)
LINEAGE = table(
    "organization_lineage",
    column("organization_id", Uuid),
    column("ancestor_id", Uuid),
    column("tenant_id", Uuid),
    column("distance", Integer),
)
MEMBERSHIPS = table(
    "memberships",
    column("id", Uuid),
    column("tenant_id", Uuid),
    column("organization_id", Uuid),
    column("user_id", Uuid),
    column("state", String),
    column("plan", String),
    column("scopes", JsonDocument),
)
"""And what it must know of tenancy: whose the rows of these four are."""


def _name(length: int) -> String:
    """Return a type for names: the same order on every database and locale."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class PolicyRevision(Base):
    """One row that changes whenever anybody's rights may have changed by policy.

    It does two things. Its value is the key under which replicas cache what
    follows from roles, catalogue and services; it is random rather than
    counted, so a value read inside a transaction that is rolled back later
    never comes again with another meaning. And its row is the lock that every
    change of policy takes first, so that two changes never interleave.
    """

    __tablename__ = "policy_revision"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[uuid.UUID]


class Service(Base):
    """A service that verifies our tokens; its audience is what tokens name."""

    __tablename__ = "services"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(_name(NAME_LENGTH), unique=True)
    audience: Mapped[str] = mapped_column(String(255), unique=True)
    version: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Permission(Base):
    """A permission of the catalogue; ``service_id`` owns it, if any does."""

    __tablename__ = "permissions"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(_name(MAX_PERMISSION_LENGTH), unique=True)
    module: Mapped[str] = mapped_column(_name(MAX_PERMISSION_LENGTH), index=True)
    """The name's first segment: the part of the catalogue that one service owns."""
    description: Mapped[str] = mapped_column(String(500), default="")
    service_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("services.id"), index=True)
    created_at: Mapped[datetime]


class ServicePermission(Base):
    """A permission that the service's present manifest declares.

    One that is owned but no longer declared is deprecated: roles still grant
    it, tokens no longer carry it.
    """

    __tablename__ = "service_permissions"

    service_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("services.id", ondelete="CASCADE"), primary_key=True
    )
    permission_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("permissions.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Role(Base):
    """A named set of grants; ``system`` roles are seeded and protected.

    A role with an organization is for that one and those below it. Within a
    tenant no two roles have the same name, nor the name of one that is for all.
    """

    __tablename__ = "roles"
    __table_args__ = (
        CheckConstraint(
            "(tenant_id IS NULL) = (organization_id IS NULL)", name="tenant_of_organization"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "organization_id"],
            ["organizations.tenant_id", "organizations.id"],
            ondelete="CASCADE",
        ),
        Index(
            "uq_roles_name_for_all",
            "name",
            unique=True,
            sqlite_where=text("tenant_id IS NULL"),
            postgresql_where=text("tenant_id IS NULL"),
        ),
        Index(
            "uq_roles_name_in_tenant",
            *("tenant_id", "name"),
            unique=True,
            sqlite_where=text("tenant_id IS NOT NULL"),
            postgresql_where=text("tenant_id IS NOT NULL"),
        ),
        Index("ix_roles_organization_id", "organization_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    tenant_id: Mapped[uuid.UUID | None]
    organization_id: Mapped[uuid.UUID | None]
    name: Mapped[str] = mapped_column(_name(NAME_LENGTH))
    description: Mapped[str] = mapped_column(String(500), default="")
    system: Mapped[bool] = mapped_column(default=False)
    inherited: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether who has it in an organization has it in all below that one, too."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class RoleGrant(Base):
    """``allow`` or ``deny`` of a permission or a wildcard, on a role.

    The grant is text, not a reference: a wildcard refers to what is to come.
    """

    __tablename__ = "role_grants"
    __table_args__ = (CheckConstraint("effect IN ('allow', 'deny')", name="effect"),)

    role_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True
    )
    grant: Mapped[str] = mapped_column(_name(MAX_PERMISSION_LENGTH), primary_key=True, index=True)
    effect: Mapped[str] = mapped_column(String(5), primary_key=True)
    tenant_id: Mapped[uuid.UUID | None] = mapped_column(index=True)
    """The role's."""


class UserRole(Base):
    """A role held by a user."""

    __tablename__ = "user_roles"

    user_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    role_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    created_at: Mapped[datetime]
    granted_by: Mapped[uuid.UUID | None]
    """Who assigned it; no reference, since it outlives that account."""


class MembershipRole(Base):
    """A role that a user has in an organization."""

    __tablename__ = "membership_roles"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "membership_id"],
            ["memberships.tenant_id", "memberships.id"],
            ondelete="CASCADE",
        ),
        # Both, since SQLite would take an index of the tenant alone to follow a membership.
        Index("ix_membership_roles_tenant_id_membership_id", "tenant_id", "membership_id"),
    )

    membership_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    role_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    tenant_id: Mapped[uuid.UUID]
    created_at: Mapped[datetime]
    granted_by: Mapped[uuid.UUID | None]
    """Who assigned it; no reference, since it outlives that account."""
