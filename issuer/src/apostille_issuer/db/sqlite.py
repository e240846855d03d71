"""SQLite by way of aiosqlite, with one change of threads for each statement.

aiosqlite keeps a connection in a thread of its own and hands every call over
to it: making a cursor, executing, fetching and closing are four, and beginning
a transaction is one more. Handing over costs several times what SQLite takes
for a statement of ours. So here all of it goes over as one; what SQLAlchemy
puts between itself and any asynchronous driver, which costs as much again, is
left out; and nobody waits for the end of a transaction that has only read.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any, Final, Literal, TypeVar, cast

from aiosqlite.core import Connection
from sqlalchemy import Connection as CoreConnection
from sqlalchemy import event
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util.concurrency import await_

__all__ = ["at_once", "drive"]

T = TypeVar("T")

Kind = Literal["reader", "writer"]

_PRAGMAS: Final[dict[Kind, tuple[str, ...]]] = {
    "reader": ("synchronous=NORMAL", "foreign_keys=ON", "query_only=ON"),
    "writer": ("synchronous=NORMAL", "foreign_keys=ON", "journal_mode=WAL"),
}

_BEGIN: Final[dict[Kind, str]] = {"reader": "BEGIN", "writer": "BEGIN IMMEDIATE"}
"""Said before the first statement of a transaction, and not by sqlite3, which
would say it only before the first change (SQLAlchemy 2.1, "Transactions with
SQLite")."""


def drive(engine: AsyncEngine, kind: Kind) -> None:
    """Let *engine*, made for aiosqlite, open its connections here.

    Args:
        engine: Has not connected yet.
        kind: A writer takes the file's lock when its transaction begins; a
            reader cannot write.
    """

    def opened(dialect: Any, _record: object, where: Sequence[Any], options: dict[str, Any]) -> Any:
        connection = _Connection(
            partial(_open, *where, pragmas=_PRAGMAS[kind], **options), iter_chunk_size=64
        )
        # A forgotten connection must not keep the process from ending.
        connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does it
        await_(connection)
        return _Adapted(dialect.dbapi, connection, kind)

    event.listen(engine.sync_engine, "do_connect", opened)


def at_once(connection: CoreConnection, work: Callable[[], T]) -> T:
    """Do *work*, which uses *connection*, in the connection's thread as one piece.

    Who waits for it and is cancelled leaves when it is done: until then the
    connection is nobody else's.

    Args:
        connection: Of an engine that :func:`drive` drives.
        work: Waits for nothing but that connection.
    """
    adapted = cast("_Adapted", connection.connection.dbapi_connection)
    return adapted.at_once(work)


def _open(database: str, *, pragmas: Iterable[str], **options: Any) -> sqlite3.Connection:
    connection: sqlite3.Connection = sqlite3.connect(database, isolation_level=None, **options)
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


class _Connection(Connection):
    """An aiosqlite connection that takes over whole pieces of work."""

    def hand_over(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do *work* in the connection's thread, after all that was handed over before.

        Raises:
            ValueError: It has been closed.
        """
        if not self._running:
            raise ValueError("connection closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((done, work))
        return done

    def leave(self, work: Callable[[], None]) -> None:
        """Do the same, and do not say when it is done, or whether it could be."""
        if self._running:
            self._tx.put_nowait((None, work))

    def opened(self) -> sqlite3.Connection:
        """Return what sqlite3 opened."""
        connection: sqlite3.Connection = self._conn
        return connection


class _Adapted(AsyncAdapt_aiosqlite_connection):
    """A connection as SQLAlchemy sees it: it waits in greenlets, and is synchronous."""

    __slots__ = ("_begin", "_driver", "_here", "_in_transaction", "_reads_only")

    def __init__(self, dbapi: Any, connection: _Connection, kind: Kind) -> None:
        super().__init__(dbapi, cast("Any", connection))
        self._driver = connection
        self._begin = _BEGIN[kind]
        self._reads_only = kind == "reader"
        self._in_transaction = False
        # Whether our methods are being called in the connection's thread.
        self._here = False

    def cursor(self, server_side: bool = False) -> Any:  # noqa: FBT001, FBT002 - SQLAlchemy's
        """Return a cursor; there is one kind, for it reads all rows at once anyway."""
        del server_side
        return _Cursor(self)

    def run(self, statement: Callable[[sqlite3.Connection], None]) -> None:
        """Do what *statement* does in a transaction, which begins with it if there is none."""
        self._in_transaction = True
        self._await(partial(self._run, statement))

    def commit(self) -> None:
        """Commit the transaction; where there is none, this costs nothing."""
        if self._reads_only:
            self.rollback()
        elif self._in_transaction:
            self._in_transaction = False
            self._await(self._commit)

    def rollback(self) -> None:
        """Roll back the transaction, which SQLAlchemy asks for after a commit, too."""
        if not self._in_transaction:
            return
        self._in_transaction = False
        if self._reads_only and not self._here:
            self._driver.leave(self._rollback)
        else:
            self._await(self._rollback)

    def at_once(self, work: Callable[[], T]) -> T:
        """Do *work*, which calls our methods, in the connection's thread."""
        done = self._driver.hand_over(partial(self._whole, work))
        try:
            return await_(asyncio.shield(done))
        except asyncio.CancelledError:
            while not done.done():
                with suppress(asyncio.CancelledError):
                    await_(asyncio.wait([done]))
            # What came of it nobody will hear; asyncio is not to complain of it.
            done.exception()
            raise

    def _await(self, work: Callable[[], None]) -> None:
        try:
            if self._here:
                work()
            else:
                await_(self._driver.hand_over(work))
        except Exception as error:  # noqa: BLE001 - SQLAlchemy knows which are whose
            self._handle_exception(error)

    # In the connection's thread.

    def _whole(self, work: Callable[[], T]) -> T:
        self._here = True
        try:
            return work()
        finally:
            self._here = False

    def _run(self, statement: Callable[[sqlite3.Connection], None]) -> None:
        connection = self._driver.opened()
        if not connection.in_transaction:
            connection.execute(self._begin)
        statement(connection)

    def _commit(self) -> None:
        connection = self._driver.opened()
        try:
            connection.commit()
        except sqlite3.Error:
            # It is open still, and SQLAlchemy does not ask for more than a commit.
            connection.rollback()
            raise

    def _rollback(self) -> None:
        self._driver.opened().rollback()


class _Cursor:
    """What SQLAlchemy asks of a cursor."""

    __slots__ = ("_connection", "_rows", "arraysize", "description", "lastrowid", "rowcount")

    def __init__(self, connection: _Adapted) -> None:
        self._connection = connection
        self._rows: deque[Any] = deque()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    def execute(self, operation: str, parameters: Sequence[Any] = ()) -> None:
        def work(connection: sqlite3.Connection) -> None:
            with closing(connection.execute(operation, parameters)) as cursor:
                self._rows = deque(cursor.fetchall())
                self._note(cursor)

        self._connection.run(work)

    def executemany(self, operation: str, parameters: Sequence[Sequence[Any]]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            with closing(connection.executemany(operation, parameters)) as cursor:
                self._note(cursor)

        self._connection.run(work)

    def fetchone(self) -> Any:
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> Sequence[Any]:
        count = min(self.arraysize if size is None else size, len(self._rows))
        return [self._rows.popleft() for _ in range(count)]

    def fetchall(self) -> Sequence[Any]:
        rows, self._rows = self._rows, deque()
        return rows

    def close(self) -> None:
        self._rows.clear()

    async def _async_soft_close(self) -> None:
        """Keep the rows: nothing else is open any more."""

    def _note(self, cursor: sqlite3.Cursor) -> None:
        self.description = cursor.description
        self.rowcount = cursor.rowcount
        self.lastrowid = cursor.lastrowid
