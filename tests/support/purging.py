"""Purging what ended long ago, for tests."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, select

from apostille_issuer.db.engine import Database
from apostille_issuer.db.metadata import METADATA
from apostille_issuer.db.reach import EVERY_TENANT
from support.desk import Desk

__all__ = [
    "DAY",
    "NOTHING",
    "RETENTION",
    "SECOND",
    "keys_in",
    "log_out",
    "purged",
    "rows",
    "session_of",
]

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
RETENTION = timedelta(days=30)
NOTHING = {"sessions": 0, "invitations": 0, "used assertions": 0, "status lists": 0}


def purged(desk: Desk) -> dict[str, int]:
    """Purge what is due, and return how much of what that was."""
    return desk.run(desk.issuer.purge.purge_due())


async def keys_in(database: Database, name: str) -> set[uuid.UUID]:
    """Return the identifiers of the rows of a table."""
    table: Table = METADATA.tables[name]
    async with database.read(EVERY_TENANT) as session:
        return set(await session.scalars(select(table.c.id)))


def rows(desk: Desk, name: str) -> set[uuid.UUID]:
    return desk.run(keys_in(desk.issuer.database, name))


def session_of(tokens: dict[str, Any]) -> uuid.UUID:
    return uuid.UUID(tokens["refresh_token"].split("_")[2])


def log_out(desk: Desk, tokens: dict[str, Any]) -> None:
    body = {"refresh_token": tokens["refresh_token"]}
    assert desk.http.post("/v1/auth/logout", json=body).status_code == 204
