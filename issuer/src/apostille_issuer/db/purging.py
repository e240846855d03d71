"""Deleting rows that nobody needs any more: found by a walk, deleted a few at a time.

An index over the time at which a row ends would have to be kept by whatever
puts that off, and a refresh does so each time. So a table is walked through by
its key, a window at a time, and rows are looked at again when they are locked.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy import ColumnElement, Table, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT

__all__ = ["PURGE_ROWS", "purge_rows"]

PURGE_ROWS: Final = 500
"""Rows deleted in one transaction: nobody waits for more."""

WINDOW_ROWS: Final = 5_000
"""Rows looked at in one transaction, which locks nothing."""

_FIRST: Final = uuid.UUID(int=0)


async def purge_rows(
    database: Database,
    table: Table,
    over: ColumnElement[bool],
    stop: asyncio.Event,
    *,
    turn: Callable[[AsyncSession], Awaitable[object]] | None = None,
) -> int:
    """Delete the rows of *table* that are *over*, and return how many this call has deleted.

    A row that somebody else has locked is left for the next time, so any number
    of processes may be at it, and none of them waits for a row.

    Args:
        database: Where it is.
        table: Its primary key is ``id``, a UUID.
        over: Tells which rows go.
        stop: Once this happens no further transaction begins.
        turn: Awaited first in each transaction that deletes: a lock that
            whoever changes such rows takes before he looks at them.

    Raises:
        IssuerProblem: ``database_unavailable``.
    """
    deleted = 0
    last: uuid.UUID | None = _FIRST
    while last is not None and not stop.is_set():
        due, last = await _window(database, table, over, last)
        for start in range(0, len(due), PURGE_ROWS):
            if stop.is_set():
                break
            async with database.begin(EVERY_TENANT) as session:
                if turn is not None:
                    await turn(session)
                deleted += await _delete(session, table, over, due[start : start + PURGE_ROWS])
    return deleted


async def _window(
    database: Database, table: Table, over: ColumnElement[bool], last: uuid.UUID
) -> tuple[Sequence[uuid.UUID], uuid.UUID | None]:
    """Return what is over among the rows that follow *last*, and where to go on, if anywhere."""
    key = table.c.id
    following = select(key).where(key > last).order_by(key)
    async with database.read(EVERY_TENANT) as session:
        end = await session.scalar(following.offset(WINDOW_ROWS - 1).limit(1))
        window = following if end is None else following.where(key <= end)
        return (await session.scalars(window.where(over))).all(), end


async def _delete(
    session: AsyncSession, table: Table, over: ColumnElement[bool], few: Sequence[uuid.UUID]
) -> int:
    """Delete what is still over and free, lowest identifier first, and return how many."""
    key = table.c.id
    locked = select(key).where(key.in_(few), over).order_by(key).with_for_update(skip_locked=True)
    ids = (await session.scalars(locked)).all()
    if ids:
        await session.execute(delete(table).where(key.in_(ids)))
    return len(ids)
