"""Tables of the tenancy domain: customers, their companies, and who is in them.

Imported by this domain alone, and by the migrations' metadata. Every table has
a ``tenant_id`` (a tenant its own ``id``), which is what PostgreSQL's row-level
security goes by; see :mod:`apostille_issuer.db.reach`.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    UniqueConstraint,
    Uuid,
    column,
    table,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from apostille_issuer.db.types import Base, new_id
from apostille_issuer.tenancy.limits import NAME_LENGTH, PLAN_LENGTH

__all__ = [
    "MAX_DEPTH",
    "SERVICE_ACCOUNTS",
    "USERS",
    "Invitation",
    "Membership",
    "Organization",
    "OrganizationLineage",
    "Tenant",
    "TenantDomain",
]

MAX_DEPTH = 8
"""Most organizations from a tenant's root, which counts, to its farthest subsidiary."""

USERS = table(
    "users",
    column("id", Uuid),
    column("login", String),
    column("login_key", String),
    column("state", String),
    column("kind", String),
)
"""What this domain must know of a user, and all it may: the row is the accounts'."""

SERVICE_ACCOUNTS = table("service_accounts", column("id", Uuid), column("tenant_id", Uuid))
"""Whose the service accounts are, members or not: the rows are the clients'."""


def _key(length: int) -> String:
    """Return a type for keys: the same order on every database and locale."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class Tenant(Base):
    """An isolated customer.

    A deleted one stays until ``purge_at``, so that a mistake can be undone.
    """

    __tablename__ = "tenants"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'suspended', 'deleted')", name="state"),
        CheckConstraint("seats IS NULL OR seats >= 0", name="seats"),
        Index("ix_tenants_name_key_id", "name_key", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    name_key: Mapped[str] = mapped_column(_key(2 * NAME_LENGTH))
    """The name, case folded: for search and order."""
    state: Mapped[str] = mapped_column(String(16))
    plan: Mapped[str | None] = mapped_column(String(PLAN_LENGTH))
    seats: Mapped[int | None]
    """Most people who may be members at a time; ``None`` for any number."""
    entitlements: Mapped[dict[str, Any]] = mapped_column(default=dict)
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    branding: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    purge_at: Mapped[datetime | None]


class TenantDomain(Base):
    """A host name that a tenant says is his; once verified it is nobody else's."""

    __tablename__ = "tenant_domains"
    __table_args__ = (
        UniqueConstraint("tenant_id", "host"),
        # Claiming a host name keeps nobody from proving that it is his.
        Index(
            "uq_tenant_domains_verified_host",
            "host",
            unique=True,
            sqlite_where=text("verified_at IS NOT NULL"),
            postgresql_where=text("verified_at IS NOT NULL"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    host: Mapped[str] = mapped_column(_key(253))
    """Lower case, IDNA-encoded, without port or trailing dot."""
    challenge: Mapped[str] = mapped_column(String(64))
    """What the DNS TXT record has to say."""
    created_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]


class Organization(Base):
    """A company inside a tenant; one without parent is the tenant's root."""

    __tablename__ = "organizations"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(
            ["tenant_id", "parent_id"],
            ["organizations.tenant_id", "organizations.id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("state IN ('active', 'deactivated', 'deleted')", name="state"),
        # A deleted one hinders no move of what is left around it.
        CheckConstraint(
            f"depth >= 1 AND (depth <= {MAX_DEPTH} OR state = 'deleted')", name="depth"
        ),
        Index(
            "uq_organizations_sibling_name",
            *("tenant_id", "parent_id", "name_key"),
            unique=True,
            sqlite_where=text("state <> 'deleted'"),
            postgresql_where=text("state <> 'deleted'"),
        ),
        Index(
            "uq_organizations_root",
            "tenant_id",
            unique=True,
            sqlite_where=text("parent_id IS NULL"),
            postgresql_where=text("parent_id IS NULL"),
        ),
        Index("ix_organizations_tenant_id_name_key_id", "tenant_id", "name_key", "id"),
        # For the foreign key: SQLite would go through a tenant's organizations for each.
        Index("ix_organizations_tenant_id_parent_id", "tenant_id", "parent_id"),
        Index("ix_organizations_name_key_id", "name_key", "id"),
        Index("ix_organizations_parent_id_name_key", "parent_id", "name_key"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    parent_id: Mapped[uuid.UUID | None]
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    name_key: Mapped[str] = mapped_column(_key(2 * NAME_LENGTH))
    """The name, case folded: no two subsidiaries of one parent share it."""
    state: Mapped[str] = mapped_column(String(16))
    """Its own; it also counts what is above it (:class:`OrganizationLineage`)."""
    depth: Mapped[int]
    """1 for the root."""
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Its own; what it does not say is inherited."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class OrganizationLineage(Base):
    """An organization and one that it is in, itself included: the closure of the tree."""

    __tablename__ = "organization_lineage"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "organization_id"],
            ["organizations.tenant_id", "organizations.id"],
            name="fk_organization_lineage_organization",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "ancestor_id"],
            ["organizations.tenant_id", "organizations.id"],
            name="fk_organization_lineage_ancestor",
            ondelete="CASCADE",
        ),
        Index("ix_organization_lineage_ancestor_id_distance", "ancestor_id", "distance"),
        # What is below an organization, in order of names: a page of it is one range.
        Index(
            "ix_organization_lineage_ancestor_id_name_key",
            *("ancestor_id", "name_key", "organization_id"),
        ),
    )

    organization_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    ancestor_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    distance: Mapped[int]
    """0 for itself."""
    name_key: Mapped[str] = mapped_column(_key(2 * NAME_LENGTH))
    """The organization's; :mod:`.lineage` keeps it so."""


class Membership(Base):
    """A user in an organization; the roles he has there are the access domain's."""

    __tablename__ = "memberships"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("organization_id", "user_id"),
        ForeignKeyConstraint(
            ["tenant_id", "organization_id"],
            ["organizations.tenant_id", "organizations.id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("state IN ('active', 'suspended')", name="state"),
        Index("ix_memberships_tenant_id_user_id", "tenant_id", "user_id"),
        # Of one organization in the order of the list: without it SQLite goes through the tenant's.
        Index(
            "ix_memberships_tenant_id_organization_id_user_id",
            *("tenant_id", "organization_id", "user_id"),
        ),
        Index("ix_memberships_user_id_organization_id", "user_id", "organization_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    tenant_id: Mapped[uuid.UUID]
    organization_id: Mapped[uuid.UUID]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(String(16))
    plan: Mapped[str | None] = mapped_column(String(PLAN_LENGTH))
    """Instead of the tenant's."""
    scopes: Mapped[list[str]] = mapped_column(default=list)
    """Extra OAuth scopes."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Invitation(Base):
    """A letter to an address: who can answer it may become a member.

    The letter's token is not kept: it is made of ``id`` and ``generation``
    under a secret that lives with the signing keys.
    """

    __tablename__ = "invitations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "organization_id"],
            ["organizations.tenant_id", "organizations.id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("state IN ('pending', 'accepted', 'revoked', 'expired')", name="state"),
        CheckConstraint("delivery IN ('waiting', 'sent', 'failed')", name="delivery"),
        Index(
            "uq_invitations_pending",
            *("organization_id", "email_key"),
            unique=True,
            sqlite_where=text("state = 'pending'"),
            postgresql_where=text("state = 'pending'"),
        ),
        Index("ix_invitations_organization_id_id", "organization_id", "id"),
        Index("ix_invitations_organization_id_email_key", "organization_id", "email_key"),
        Index("ix_invitations_tenant_id_queued_at", "tenant_id", "queued_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    tenant_id: Mapped[uuid.UUID]
    organization_id: Mapped[uuid.UUID]
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(_key(254))
    """What makes two addresses the same; as of a login name."""
    generation: Mapped[int]
    """Grows when it is sent again: only the newest letter is good."""
    state: Mapped[str] = mapped_column(String(16))
    """``expired`` only once another one took its place; until then it goes by the time."""
    roles: Mapped[list[str]]
    """Identifiers of the roles he is to have."""
    plan: Mapped[str | None] = mapped_column(String(PLAN_LENGTH))
    scopes: Mapped[list[str]] = mapped_column(default=list)
    invited_by: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime]
    queued_at: Mapped[datetime]
    """When its newest letter was asked for."""
    delivery: Mapped[str] = mapped_column(String(16))
    """What became of that letter."""
    sent_at: Mapped[datetime | None]
    """When a mail server, or the folder, took it."""
    expires_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
    """When it was accepted or revoked."""
    accepted_by: Mapped[uuid.UUID | None]
