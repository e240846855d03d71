"""SQLite by way of aiosqlite, with one change of threads for each statement.

aiosqlite keeps a connection in a thread of its own and hands every call over
to it: making a cursor, executing, fetching and closing are four. Handing over
costs several times what SQLite takes for a statement of ours, so that here all
four go over as one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Self

from aiosqlite.core import Connection

__all__ = ["connect"]


def connect(database: str, **options: Any) -> Connection:
    """Return a connection that is opened by awaiting it, as ``aiosqlite.connect`` does.

    For ``create_async_engine(connect_args={"async_creator_fn": connect})``.

    Args:
        database: Path of the file.
        options: What ``sqlite3.connect`` takes.
    """
    connection = _Connection(partial(sqlite3.connect, database, **options), iter_chunk_size=64)
    # A forgotten connection must not keep the process from ending.
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does it
    return connection


class _Connection(Connection):
    """An aiosqlite connection whose cursors fetch everything at once."""

    def cursor(self) -> _Cursor:  # type: ignore[override]
        return _Cursor(self)

    def opened(self) -> sqlite3.Connection:
        """Return what sqlite3 opened."""
        return self._conn

    async def hand_over(self, work: Callable[[], None]) -> None:
        """Do *work* in the connection's thread."""
        await self._execute(work)  # type: ignore[no-untyped-call]


class _Cursor:
    """What SQLAlchemy asks of a cursor; it reads all rows of a result at once anyway."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._rows: Sequence[Any] = ()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, operation: str, parameters: Sequence[Any] = ()) -> Self:
        await self._connection.hand_over(partial(self._run, operation, parameters))
        return self

    async def executemany(self, operation: str, parameters: Sequence[Sequence[Any]]) -> Self:
        await self._connection.hand_over(partial(self._run_many, operation, parameters))
        return self

    async def fetchall(self) -> Sequence[Any]:
        rows, self._rows = self._rows, ()
        return rows

    async def close(self) -> None:
        self._rows = ()

    # In the connection's thread: everything there is to do.

    def _run(self, operation: str, parameters: Sequence[Any]) -> None:
        with closing(self._connection.opened().execute(operation, parameters)) as cursor:
            self._rows = cursor.fetchall()
            self._note(cursor)

    def _run_many(self, operation: str, parameters: Sequence[Sequence[Any]]) -> None:
        with closing(self._connection.opened().executemany(operation, parameters)) as cursor:
            self._note(cursor)

    def _note(self, cursor: sqlite3.Cursor) -> None:
        self.description = cursor.description
        self.rowcount = cursor.rowcount
        self.lastrowid = cursor.lastrowid
