"""Tables of the status domain: lists, and the bits that are set in them.

Imported by this domain alone, and by the migrations' metadata.
"""

from datetime import datetime

from sqlalchemy import Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from apostille_issuer.db.types import Base, UtcDateTime

__all__ = ["StatusEntry", "StatusList"]


class StatusList(Base):
    """One list of :data:`.schemas.LIST_SIZE` entries."""

    __tablename__ = "status_lists"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """Counted from 1; part of the list's address."""
    next_index: Mapped[int] = mapped_column(Integer)
    """The first index that no replica has taken; only ever grows."""
    revision: Mapped[int] = mapped_column(Integer)
    """Grows in every transaction that sets bits, which holds the row until it commits."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class StatusEntry(Base):
    """A bit that is set. Without a reference to its session, which it may outlive."""

    __tablename__ = "status_entries"
    __table_args__ = (
        Index(None, "list_id", "revision"),
        Index(None, "drop_at"),
    )

    list_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    idx: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    revision: Mapped[int] = mapped_column(Integer)
    """Of the list when the bit was set: who knows an older one reads what came since."""
    drop_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """From here on no token that used the index can be alive."""
