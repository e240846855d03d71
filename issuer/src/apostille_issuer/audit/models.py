"""The table of the audit trail.

Imported by this domain alone, and by the migrations' metadata.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from apostille_issuer.db.types import Base, new_id

__all__ = ["AuditEvent"]


class AuditEvent(Base):
    """One thing that happened; written once, never changed.

    The key is a UUIDv7, so key order is time order. Nothing refers to other
    tables: a row outlives the user it speaks of.
    """

    __tablename__ = "audit_events"
    __table_args__ = (Index("ix_audit_events_tenant_id_id", "tenant_id", "id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    at: Mapped[datetime]
    tag: Mapped[str] = mapped_column(String(64))
    outcome: Mapped[str] = mapped_column(String(16))
    actor_id: Mapped[uuid.UUID | None]
    tenant_id: Mapped[uuid.UUID | None]
    """Whose trail it is in, besides the platform's."""
    target: Mapped[str | None] = mapped_column(String(255))
    address: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(512))
    request_id: Mapped[str | None] = mapped_column(String(64))
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
