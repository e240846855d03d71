"""The table of the sessions domain: one row for the life of one refresh chain.

Imported by this domain alone, and by the migrations' metadata.
"""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from apostille_issuer.db.types import Base, JsonDocument, UtcDateTime, new_id

__all__ = ["LoginSession"]


class LoginSession(Base):
    """One login on one device.

    No token and no hash of one is kept: ``generation`` says which refresh
    token is good, and that token can be computed again from it. The row is
    deleted with its user; a session that has merely ended stays for a while
    (:mod:`.purging`).
    """

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("generation >= 0", name="generation"),
        CheckConstraint("kind IN ('login', 'client')", name="kind"),
        CheckConstraint(
            "(tenant_id IS NULL) = (organization_id IS NULL)", name="tenant_of_organization"
        ),
        # With the organization goes the session: one without speaks for the platform.
        ForeignKeyConstraint(
            ["tenant_id", "organization_id"],
            ["organizations.tenant_id", "organizations.id"],
            ondelete="CASCADE",
        ),
        Index("ix_sessions_tenant_id", "tenant_id"),
        Index("ix_sessions_organization_id", "organization_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    tenant_id: Mapped[uuid.UUID | None]
    organization_id: Mapped[uuid.UUID | None]
    """The organization that its tokens speak for, if any."""
    kind: Mapped[str] = mapped_column(String(8), default="login", server_default="login")
    """``client`` is that of an API key, whose identifier it has: see :mod:`.client_sessions`."""
    client_id: Mapped[str] = mapped_column(String(255))
    audience: Mapped[list[str] | None] = mapped_column(JsonDocument)
    """The audiences the login was narrowed to; ``None`` is all there are."""
    generation: Mapped[int] = mapped_column(Integer)
    """Number of the one refresh token that is good now; grows by one at each use."""
    auth_time: Mapped[datetime] = mapped_column(UtcDateTime)
    amr: Mapped[list[str]] = mapped_column(JsonDocument)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    rotated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When ``generation`` last grew; begins as ``created_at``."""
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """The absolute end, whatever is refreshed."""
    idle_expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """The end unless refreshed before; never later than ``expires_at``."""
    user_agent: Mapped[str | None] = mapped_column(String(256))
    address: Mapped[str | None] = mapped_column(String(64))
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_reason: Mapped[str | None] = mapped_column(String(32))
    status_list_id: Mapped[int | None] = mapped_column(Integer)
    """The status list in which its tokens stand, and where; ``None`` until the
    next refresh, after a change of rights."""
    status_index: Mapped[int | None] = mapped_column(Integer)
