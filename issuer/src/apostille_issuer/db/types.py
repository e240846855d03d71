"""What all tables share: the declarative base, times, identifiers, documents."""

from __future__ import annotations

import datetime as dt
import secrets
import time
import uuid
from typing import Any, ClassVar

from sqlalchemy import JSON, DateTime, Dialect, MetaData, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = ["Base", "JsonDocument", "UtcDateTime", "new_id"]

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Every constraint has a name, so that a later migration can drop it by name."""


class UtcDateTime(TypeDecorator[dt.datetime]):
    """A moment: aware in Python, UTC in the database, to the microsecond.

    A naive time is refused: nobody can know what it means. PostgreSQL has
    ``timestamptz`` for it; SQLite gets sortable text without an offset.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Return *value* as the driver takes it."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without time zone cannot be stored")
        moment = value.astimezone(dt.UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(
        self, value: dt.datetime | None, dialect: Dialect
    ) -> dt.datetime | None:
        """Return what the driver read as an aware UTC time."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return value.replace(tzinfo=dt.UTC)
        return value.astimezone(dt.UTC)


JsonDocument: TypeEngine[Any] = JSON(none_as_null=True).with_variant(
    JSONB(none_as_null=True), "postgresql"
)
"""A JSON value; Python ``None`` is SQL ``NULL``."""


class Base(DeclarativeBase):
    """Base of all models; each model belongs to one domain and stays there."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dt.datetime: UtcDateTime(),
        uuid.UUID: Uuid(),
        dict[str, Any]: JsonDocument,
        list[str]: JsonDocument,
    }


def new_id() -> uuid.UUID:
    """Return a fresh UUIDv7 (RFC 9562 section 5.7).

    48 bits of milliseconds, 12 bits of the fraction of the millisecond
    (section 6.2, method 3), 62 random bits: sorts by time of making to about
    a quarter of a microsecond, and cannot be guessed.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = (rest << 12) // 1_000_000
    value = (milliseconds << 80) | (0x7 << 76) | (fraction << 64)
    return uuid.UUID(int=value | (0b10 << 62) | secrets.randbits(62))
