"""Tables of the clients domain: service accounts and their API keys.

Imported by this domain alone, and by the migrations' metadata.
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
    Uuid,
    column,
    table,
)
from sqlalchemy.orm import Mapped, mapped_column

from apostille_issuer.db.types import Base, new_id

__all__ = ["USERS", "ApiKey", "ServiceAccount", "UsedAssertion"]

USERS = table("users", column("id", Uuid), column("state", String))
"""What this domain must know of a user: the row is the accounts'."""


class ServiceAccount(Base):
    """A subject that is no person: a job, a pipeline, another company's server.

    It is a user, too, of the kind ``service``: it has roles and memberships as
    people have, and no password. Its identifier is its OAuth ``client_id``.
    """

    __tablename__ = "service_accounts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "organization_id"],
            ["organizations.tenant_id", "organizations.id"],
            ondelete="CASCADE",
        ),
        CheckConstraint(
            "(tenant_id IS NULL) = (organization_id IS NULL)", name="tenant_of_organization"
        ),
        Index("ix_service_accounts_organization_id_id", "organization_id", "id"),
        Index("ix_service_accounts_tenant_id", "tenant_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    tenant_id: Mapped[uuid.UUID | None]
    organization_id: Mapped[uuid.UUID | None]
    """The one that its tokens speak for; ``None`` for an account of the platform."""
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(String(500), default="")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ApiKey(Base):
    """What a service account proves itself with: a secret, or a key pair of its own.

    The secret is random, with 256 bits, so a plain hash of it is enough. Every
    API key has a session of the same identifier: what its access tokens stand
    in, and what ends when it is revoked.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("(secret_hash IS NULL) <> (public_jwk IS NULL)", name="one_proof"),
        Index("ix_api_keys_account_id_id", "account_id", "id"),
        Index("ix_api_keys_tenant_id", "tenant_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    tenant_id: Mapped[uuid.UUID | None]
    account_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("service_accounts.id", ondelete="CASCADE")
    )
    name: Mapped[str] = mapped_column(String(100))
    hint: Mapped[str | None] = mapped_column(String(32))
    """The first characters of the secret, to tell it from others."""
    secret_hash: Mapped[str | None] = mapped_column(String(64))
    """SHA-256 in hexadecimal."""
    public_jwk: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    """To the minute."""
    revoked_at: Mapped[datetime | None]


class UsedAssertion(Base):
    """A client assertion that was used, so that it is not used again (RFC 7523 section 3)."""

    __tablename__ = "used_assertions"
    __table_args__ = (
        Index("ix_used_assertions_account_id_expires_at", "account_id", "expires_at"),
    )

    account_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("service_accounts.id", ondelete="CASCADE"), primary_key=True
    )
    jti_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the claim ``jti`` in hexadecimal."""
    expires_at: Mapped[datetime]
    """From here on the assertion is refused for its age."""
