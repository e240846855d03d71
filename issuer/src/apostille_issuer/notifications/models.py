"""The tables of the notifications domain.

Imported by this domain alone, and by the migrations' metadata.
"""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from apostille_issuer.db.types import Base, UtcDateTime, new_id

__all__ = ["Notification", "OutgoingMail"]


class Notification(Base):
    """Something that a user is to know about his account; written once.

    The key is a UUIDv7, so key order is time order. The row is deleted with
    its user; the audit trail keeps what happened.
    """

    __tablename__ = "notifications"
    __table_args__ = (Index(None, "user_id", "id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(String(32))
    session_id: Mapped[uuid.UUID | None]
    """The session it speaks of, which may be gone."""
    address: Mapped[str | None] = mapped_column(String(64))
    """From where it was done."""
    user_agent: Mapped[str | None] = mapped_column(String(256))


class OutgoingMail(Base):
    """A letter that is to be sent, by what it is about: neither its text nor its address.

    The letter is written when it is sent, so that no secret of it is kept. The
    row is deleted once a mail server took the letter, or nobody wants it any more.
    """

    __tablename__ = "outgoing_mail"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[str] = mapped_column(String(32))
    subject_id: Mapped[uuid.UUID]
    """What it is about: an invitation, a notification."""
    generation: Mapped[int]
    """Which letter about it, from 0."""
    attempts: Mapped[int]
    """How often it was tried, the one under way included."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    """When it is to be tried next; nobody else tries before."""
