"""The table of the accounts domain: who people are, and nothing they may do.

Imported by this domain alone, and by the migrations' metadata.
"""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from apostille_issuer.accounts.names import MAX_LOGIN_LENGTH
from apostille_issuer.db.types import Base, UtcDateTime, new_id

__all__ = ["PERSON", "SERVICE", "User"]

PERSON = "person"
SERVICE = "service"

# Compared byte by byte on either database, so that a prefix is a range of
# the unique index whatever the locale of the PostgreSQL cluster.
LOGIN_KEY = String(MAX_LOGIN_LENGTH).with_variant(
    String(MAX_LOGIN_LENGTH, collation="C"), "postgresql"
)


class User(Base):
    """A person who can log in. Roles, tenants and policy live elsewhere."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'disabled')", name="state"),
        CheckConstraint("kind IN ('person', 'service')", name="kind"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    login: Mapped[str] = mapped_column(String(MAX_LOGIN_LENGTH))
    """As the person writes it, in normalisation form KC."""
    login_key: Mapped[str] = mapped_column(LOGIN_KEY, unique=True)
    """What makes two login names the same; see :mod:`.names`."""
    password_hash: Mapped[str | None] = mapped_column(String(255))
    """A PHC string; without one there is no login by password."""
    state: Mapped[str] = mapped_column(String(16))
    kind: Mapped[str] = mapped_column(String(16), default=PERSON, server_default=PERSON)
    """``service`` is a service account: it never has a password; see the clients domain."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    password_changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
