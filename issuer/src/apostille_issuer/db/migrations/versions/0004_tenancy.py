"""Tenancy: customers, their organizations, members, invitations and service accounts.

On PostgreSQL every table with a tenant is held to the reach of the transaction.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from apostille_issuer.db.reach import row_level_security

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True), "postgresql"
)

OF_TENANTS = (
    *("tenant_domains", "organizations", "organization_lineage", "memberships"),
    *("membership_roles", "invitations", "service_accounts", "api_keys"),
    *("roles", "role_grants", "sessions", "audit_events"),
)
"""Tables with a column \"tenant_id\"."""

SHARED = ("roles", "role_grants")
"""Those whose rows of no tenant are for all of them to read."""


def upgrade() -> None:
    _create_tenants()
    _create_organizations()
    _create_memberships()
    _create_mail()
    _create_clients()
    _change_policy()
    _change_subjects()
    if op.get_bind().dialect.name == "postgresql":
        statements = [*row_level_security("tenants", "id")]
        for table in OF_TENANTS:
            statements += row_level_security(table, shared=table in SHARED)
        for statement in statements:
            op.execute(statement)


def _by_bytes(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _within_organization(name: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", "organization_id"],
        ["organizations.tenant_id", "organizations.id"],
        name=op.f(name),
        ondelete="CASCADE",
    )


def _some(index: str, table: str, columns: list[str], which: str) -> None:
    """Create a unique index over some rows."""
    where = sa.text(which)
    op.create_index(
        op.f(index), table, columns, unique=True, sqlite_where=where, postgresql_where=where
    )


def _create_tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("name_key", _by_bytes(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("plan", sa.String(63), nullable=True),
        sa.Column("seats", sa.Integer(), nullable=True),
        sa.Column("entitlements", DOCUMENT, nullable=False),
        sa.Column("settings", DOCUMENT, nullable=False),
        sa.Column("branding", DOCUMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.Column("purge_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "state IN ('active', 'suspended', 'deleted')", name=op.f("ck_tenants_state")
        ),
        sa.CheckConstraint("seats IS NULL OR seats >= 0", name=op.f("ck_tenants_seats")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
    )
    op.create_index(op.f("ix_tenants_name_key_id"), "tenants", ["name_key", "id"])
    op.create_table(
        "tenant_domains",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("host", _by_bytes(253), nullable=False),
        sa.Column("challenge", sa.String(64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("verified_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenants.id"],
            name=op.f("fk_tenant_domains_tenant_id_tenants"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant_domains")),
        sa.UniqueConstraint("tenant_id", "host", name=op.f("uq_tenant_domains_tenant_id_host")),
    )
    _some("uq_tenant_domains_verified_host", "tenant_domains", ["host"], "verified_at IS NOT NULL")


def _create_organizations() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("name_key", _by_bytes(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("settings", DOCUMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "state IN ('active', 'deactivated', 'deleted')", name=op.f("ck_organizations_state")
        ),
        sa.CheckConstraint(
            "depth >= 1 AND (depth <= 8 OR state = 'deleted')", name=op.f("ck_organizations_depth")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "parent_id"],
            ["organizations.tenant_id", "organizations.id"],
            name=op.f("fk_organizations_tenant_id_parent_id_organizations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenants.id"],
            name=op.f("fk_organizations_tenant_id_tenants"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_organizations_tenant_id_id")),
    )
    for columns in (
        ["parent_id", "name_key"],
        ["tenant_id", "name_key", "id"],
        ["tenant_id", "parent_id"],
        ["name_key", "id"],
    ):
        name = f"ix_organizations_{'_'.join(columns)}"
        op.create_index(op.f(name), "organizations", columns)
    _some("uq_organizations_root", "organizations", ["tenant_id"], "parent_id IS NULL")
    _some(
        "uq_organizations_sibling_name",
        "organizations",
        ["tenant_id", "parent_id", "name_key"],
        "state <> 'deleted'",
    )
    op.create_table(
        "organization_lineage",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("ancestor_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("distance", sa.Integer(), nullable=False),
        sa.Column("name_key", _by_bytes(200), nullable=False),
        _within_organization("fk_organization_lineage_organization"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "ancestor_id"],
            ["organizations.tenant_id", "organizations.id"],
            name=op.f("fk_organization_lineage_ancestor"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "organization_id", "ancestor_id", name=op.f("pk_organization_lineage")
        ),
    )
    op.create_index(
        op.f("ix_organization_lineage_ancestor_id_distance"),
        "organization_lineage",
        ["ancestor_id", "distance"],
    )
    op.create_index(
        op.f("ix_organization_lineage_ancestor_id_name_key"),
        "organization_lineage",
        ["ancestor_id", "name_key", "organization_id"],
    )


def _create_memberships() -> None:
    op.create_table(
        "memberships",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("plan", sa.String(63), nullable=True),
        sa.Column("scopes", DOCUMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.CheckConstraint("state IN ('active', 'suspended')", name=op.f("ck_memberships_state")),
        _within_organization("fk_memberships_tenant_id_organization_id_organizations"),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_memberships_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memberships")),
        sa.UniqueConstraint(
            "organization_id", "user_id", name=op.f("uq_memberships_organization_id_user_id")
        ),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_memberships_tenant_id_id")),
    )
    for columns in (
        ["tenant_id", "user_id"],
        ["tenant_id", "organization_id", "user_id"],
        ["user_id", "organization_id"],
    ):
        op.create_index(op.f(f"ix_memberships_{'_'.join(columns)}"), "memberships", columns)
    op.create_table(
        "invitations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", _by_bytes(254), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("roles", DOCUMENT, nullable=False),
        sa.Column("plan", sa.String(63), nullable=True),
        sa.Column("scopes", DOCUMENT, nullable=False),
        sa.Column("invited_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("queued_at", MOMENT, nullable=False),
        sa.Column("delivery", sa.String(16), nullable=False),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("answered_at", MOMENT, nullable=True),
        sa.Column("accepted_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'accepted', 'revoked', 'expired')",
            name=op.f("ck_invitations_state"),
        ),
        sa.CheckConstraint(
            "delivery IN ('waiting', 'sent', 'failed')", name=op.f("ck_invitations_delivery")
        ),
        _within_organization("fk_invitations_tenant_id_organization_id_organizations"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
    )
    for column in ("id", "email_key"):
        op.create_index(
            op.f(f"ix_invitations_organization_id_{column}"),
            "invitations",
            ["organization_id", column],
        )
    op.create_index(
        op.f("ix_invitations_tenant_id_queued_at"), "invitations", ["tenant_id", "queued_at"]
    )
    _some(
        "uq_invitations_pending",
        "invitations",
        ["organization_id", "email_key"],
        "state = 'pending'",
    )


def _create_mail() -> None:
    op.create_table(
        "outgoing_mail",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outgoing_mail")),
    )
    op.create_index(op.f("ix_outgoing_mail_due_at"), "outgoing_mail", ["due_at"])


def _create_clients() -> None:
    op.create_table(
        "service_accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("organization_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("description", sa.String(500), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.CheckConstraint(
            "(tenant_id IS NULL) = (organization_id IS NULL)",
            name=op.f("ck_service_accounts_tenant_of_organization"),
        ),
        sa.ForeignKeyConstraint(
            ["id"], ["users.id"], name=op.f("fk_service_accounts_id_users"), ondelete="CASCADE"
        ),
        _within_organization("fk_service_accounts_tenant_id_organization_id_organizations"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_accounts")),
    )
    op.create_index(
        op.f("ix_service_accounts_organization_id_id"),
        "service_accounts",
        ["organization_id", "id"],
    )
    op.create_index(op.f("ix_service_accounts_tenant_id"), "service_accounts", ["tenant_id"])
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("hint", sa.String(32), nullable=True),
        sa.Column("secret_hash", sa.String(64), nullable=True),
        sa.Column("public_jwk", DOCUMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("last_used_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "(secret_hash IS NULL) <> (public_jwk IS NULL)", name=op.f("ck_api_keys_one_proof")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["service_accounts.id"],
            name=op.f("fk_api_keys_account_id_service_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_index(op.f("ix_api_keys_account_id_id"), "api_keys", ["account_id", "id"])
    op.create_index(op.f("ix_api_keys_tenant_id"), "api_keys", ["tenant_id"])
    op.create_table(
        "used_assertions",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("jti_hash", sa.String(64), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["service_accounts.id"],
            name=op.f("fk_used_assertions_account_id_service_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "jti_hash", name=op.f("pk_used_assertions")),
    )
    op.create_index(
        op.f("ix_used_assertions_account_id_expires_at"),
        "used_assertions",
        ["account_id", "expires_at"],
    )


def _change_policy() -> None:
    op.add_column("role_grants", sa.Column("tenant_id", sa.Uuid(), nullable=True))
    op.create_index(op.f("ix_role_grants_tenant_id"), "role_grants", ["tenant_id"])
    with op.batch_alter_table("roles") as batch:
        batch.add_column(sa.Column("tenant_id", sa.Uuid(), nullable=True))
        batch.add_column(sa.Column("organization_id", sa.Uuid(), nullable=True))
        batch.add_column(
            sa.Column("inherited", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
        batch.drop_constraint(op.f("uq_roles_name"), type_="unique")
        batch.create_check_constraint(
            op.f("ck_roles_tenant_of_organization"),
            "(tenant_id IS NULL) = (organization_id IS NULL)",
        )
        batch.create_foreign_key(
            op.f("fk_roles_tenant_id_organization_id_organizations"),
            "organizations",
            ["tenant_id", "organization_id"],
            ["tenant_id", "id"],
            ondelete="CASCADE",
        )
    op.create_index(op.f("ix_roles_organization_id"), "roles", ["organization_id"])
    _some("uq_roles_name_for_all", "roles", ["name"], "tenant_id IS NULL")
    _some("uq_roles_name_in_tenant", "roles", ["tenant_id", "name"], "tenant_id IS NOT NULL")
    op.create_table(
        "membership_roles",
        sa.Column("membership_id", sa.Uuid(), nullable=False),
        sa.Column("role_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("granted_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["role_id"],
            ["roles.id"],
            name=op.f("fk_membership_roles_role_id_roles"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "membership_id"],
            ["memberships.tenant_id", "memberships.id"],
            name=op.f("fk_membership_roles_tenant_id_membership_id_memberships"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("membership_id", "role_id", name=op.f("pk_membership_roles")),
    )
    op.create_index(op.f("ix_membership_roles_role_id"), "membership_roles", ["role_id"])
    op.create_index(
        op.f("ix_membership_roles_tenant_id_membership_id"),
        "membership_roles",
        ["tenant_id", "membership_id"],
    )


def _change_subjects() -> None:
    """Give people a kind, and sessions and the audit trail a tenant."""
    with op.batch_alter_table("users") as batch:
        batch.add_column(sa.Column("kind", sa.String(16), server_default="person", nullable=False))
        batch.create_check_constraint(op.f("ck_users_kind"), "kind IN ('person', 'service')")
    with op.batch_alter_table("sessions") as batch:
        batch.add_column(sa.Column("tenant_id", sa.Uuid(), nullable=True))
        batch.add_column(sa.Column("organization_id", sa.Uuid(), nullable=True))
        batch.add_column(sa.Column("kind", sa.String(8), server_default="login", nullable=False))
        batch.create_check_constraint(op.f("ck_sessions_kind"), "kind IN ('login', 'client')")
        batch.create_check_constraint(
            op.f("ck_sessions_tenant_of_organization"),
            "(tenant_id IS NULL) = (organization_id IS NULL)",
        )
        batch.create_foreign_key(
            op.f("fk_sessions_tenant_id_organization_id_organizations"),
            "organizations",
            ["tenant_id", "organization_id"],
            ["tenant_id", "id"],
            ondelete="CASCADE",
        )
    op.create_index(op.f("ix_sessions_tenant_id"), "sessions", ["tenant_id"])
    op.create_index(op.f("ix_sessions_organization_id"), "sessions", ["organization_id"])
    op.add_column("audit_events", sa.Column("tenant_id", sa.Uuid(), nullable=True))
    op.create_index(op.f("ix_audit_events_tenant_id_id"), "audit_events", ["tenant_id", "id"])
