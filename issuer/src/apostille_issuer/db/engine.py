"""The database, as services see it: short transactions, and one error when it is away."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar

import msgspec
from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.util.concurrency import greenlet_spawn

from apostille_contracts.problems import ProblemCode
from apostille_issuer.db import sqlite
from apostille_issuer.db.attempts import until_it_holds
from apostille_issuer.db.batches import Batches
from apostille_issuer.db.reach import Reach, reaching
from apostille_issuer.problems import IssuerProblem, SettingsError

__all__ = ["Database", "Statements", "async_url", "postgresql_arguments"]

T = TypeVar("T")

Statements: TypeAlias = Session | Connection
"""What executes statements in code without ``await``.

A connection inside of :meth:`Database.write_at_once`; inside of
:meth:`Database.begin` what ``session.run_sync`` hands over.
"""

_Act = Callable[[Connection], Any]

RETRY_AFTER_SECONDS = 2
"""What a client is told while the database is away or locked."""

MAX_PORT = 65_535

_SQLITE_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""Primary result codes that say "not now", unlike "no such table"."""


def async_url(url: str | URL) -> URL:
    """Return *url* with the driver used here: aiosqlite or psycopg.

    Raises:
        SettingsError: It is not a URL, or of another kind of database. The
            message does not quote it: it may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # the latter of a port that is no number
        raise SettingsError("the database URL cannot be read") from error
    if parsed.port is not None and not 0 < parsed.port <= MAX_PORT:
        raise SettingsError(f"the port in the database URL must be 1 to {MAX_PORT}")
    match parsed.get_backend_name():
        case "sqlite":
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise SettingsError(f"databases of kind {other!r} are not supported")


class Database:
    """Short transactions on SQLite or PostgreSQL.

    Services open one transaction per act and hold it for as long as the
    statements take: no hashing, signing or network inside.

    SQLite has one writer at a time. Writers therefore share one connection
    and queue for it in memory, which is fair and cheap, where several
    connections would poll the file's lock; readers have connections of their
    own and never wait for the writer (WAL).
    """

    def __init__(
        self, url: str | URL, *, timeout: timedelta = timedelta(seconds=5), pool_size: int = 10
    ) -> None:
        """Prepare to connect; nothing is opened yet.

        Args:
            url: ``postgresql://…`` or ``sqlite:///path``.
            timeout: Longest wait for a connection, and for SQLite's lock.
            pool_size: Connections kept on PostgreSQL, and readers on SQLite.
        """
        self.url = async_url(url)
        self.timeout = timeout
        self.dialect = self.url.get_backend_name()
        if self.dialect == "sqlite":
            self._writer = _sqlite_engine(self.url, timeout, pool_size=1, writer=True)
            self._reader = _sqlite_engine(self.url, timeout, pool_size=pool_size, writer=False)
            self._acts: Batches[_Act, Any] | None = Batches(self._all_at_once, patience=timeout)
        else:
            self._writer = _postgresql_engine(self.url, timeout, pool_size)
            self._reader = self._writer.execution_options(postgresql_readonly=True)
            self._acts = None

    @asynccontextmanager
    async def begin(self, reach: Reach = None) -> AsyncIterator[AsyncSession]:
        """Open a transaction that may write; committed at exit, rolled back on error.

        On SQLite its first statement takes the write lock (``BEGIN IMMEDIATE``): a
        transaction that starts as a reader and writes later could find the
        lock taken and its snapshot stale, which no waiting heals.

        Raises:
            IssuerProblem: ``database_unavailable``, with ``retry_after``;
                ``validation_failed`` for a value that the database cannot hold.
        """
        # The pool gives a connection to who asks before it does to who was woken
        # up for it: who writes again and again would keep all others out.
        await asyncio.sleep(0)
        async with _transaction(self._writer, reach) as session:
            yield session

    @asynccontextmanager
    async def read(self, reach: Reach = None) -> AsyncIterator[AsyncSession]:
        """Open a transaction that sees one snapshot and cannot write.

        On PostgreSQL each statement sees its own snapshot (read committed).

        Args:
            reach: As for :meth:`begin`.

        Raises:
            IssuerProblem: ``database_unavailable``, with ``retry_after``;
                ``validation_failed`` for a value that the database cannot hold.
        """
        async with _transaction(self._reader, reach) as session:
            yield session

    async def write_at_once(self, act: Callable[[Connection], T], reach: Reach = None) -> T:
        """Do *act* in a transaction, committed if it returns, rolled back if it raises.

        What :meth:`begin` does at a third of the time, for what every login
        does. On SQLite *act* runs in the connection's thread from beginning to
        end, where otherwise each statement is handed over; and those that wait
        for the writer are committed together, one after the other, as if each
        were alone. Where one of them raises, all are rolled back and done
        again in halves, until it is alone. On PostgreSQL one that has to give
        way to another transaction is done again. So *act* is synchronous,
        short, touches nothing that is not safe there, and may be done more
        than once. Who is cancelled when it has begun will find it done.

        Raises:
            IssuerProblem: What :meth:`begin` raises, and what *act* does.
        """
        if self._acts is None:
            return await until_it_holds(lambda: _at_once(self._writer, act, reach))
        done: T = await self._acts.outcome_of(act)  # SQLite knows no reach
        return done

    async def read_at_once(self, act: Callable[[Connection], T], reach: Reach = None) -> T:
        """Do *act* in a transaction like that of :meth:`read`, as :meth:`write_at_once` does."""
        return await _at_once(self._reader, act, reach)

    async def _all_at_once(self, acts: Sequence[_Act]) -> list[Any]:
        return await _at_once(
            self._writer, lambda connection: [act(connection) for act in acts], reach=None
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._reader.dispose()
        await self._writer.dispose()


@asynccontextmanager
async def _transaction(engine: AsyncEngine, reach: Reach) -> AsyncIterator[AsyncSession]:
    """Commit at exit, roll back on error, and keep no connection either way."""
    session = AsyncSession(engine, expire_on_commit=False)
    with _as_problems():
        try:
            first = reaching(engine.dialect, reach)
            if first is not None:
                await session.execute(first)
            yield session
            await session.commit()
        except BaseException:
            # Who is cancelled must not take the connection with him.
            await asyncio.shield(asyncio.create_task(session.close()))
            raise
    # The connection is back already; nothing that was read leads to it any more.
    session.expunge_all()


async def _at_once(engine: AsyncEngine, act: Callable[[Connection], T], reach: Reach) -> T:
    with _as_problems():
        return await greenlet_spawn(_transact, engine.sync_engine, act, reach)


def _transact(engine: Engine, act: Callable[[Connection], T], reach: Reach) -> T:
    first = reaching(engine.dialect, reach)
    with engine.connect() as connection:

        def whole() -> T:
            with connection.begin():
                if first is not None:
                    connection.execute(first)
                return act(connection)

        return sqlite.at_once(connection, whole) if engine.name == "sqlite" else whole()


def _encode_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _sqlite_engine(url: URL, timeout: timedelta, *, pool_size: int, writer: bool) -> AsyncEngine:
    seconds = timeout.total_seconds()
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        # Who read last has its thread, and the database's pages, at hand.
        pool_use_lifo=True,
        max_overflow=0,
        pool_timeout=seconds,
        # Errors end in logs; parameters are password hashes, names, sealed keys.
        hide_parameters=True,
        json_serializer=_encode_json,
        json_deserializer=msgspec.json.decode,
        connect_args={"timeout": seconds},
    )
    sqlite.drive(engine, "writer" if writer else "reader")
    return engine


def _postgresql_engine(url: URL, timeout: timedelta, pool_size: int) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=timeout.total_seconds(),
        pool_recycle=3600,
        # Errors end in logs; parameters are password hashes, names, sealed keys.
        hide_parameters=True,
        json_serializer=_encode_json,
        json_deserializer=msgspec.json.decode,
        connect_args=postgresql_arguments(url, timeout),
    )


def postgresql_arguments(url: URL, timeout: timedelta) -> dict[str, Any]:
    """Return what psycopg is told beside *url*: its waits, unless the URL has its own.

    A server that is gone without a word, with its host or the way to it, is
    given up after two to three *timeout*, and not when the system tires of
    asking, a quarter of an hour later.
    """
    seconds = max(1, round(timeout.total_seconds()))
    arguments: dict[str, Any] = {
        "connect_timeout": seconds,
        "application_name": "apostille-issuer",
        "keepalives_idle": seconds,
        "keepalives_interval": max(1, seconds // 2),
        "keepalives_count": 3,
        "tcp_user_timeout": 2 * seconds * 1000,
    }
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    if "options" not in url.query:
        # Row-level security and closures of trees make plans look dear that take a
        # millisecond; compiling one takes hundreds.
        arguments["options"] = f"-c lock_timeout={seconds}s -c jit=off"
    return arguments


@contextmanager
def _as_problems() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        # A net: services refuse by name what no column can hold, such as a NUL.
        raise IssuerProblem(ProblemCode.VALIDATION_FAILED) from error
    except (DBAPIError, PoolTimeout) as error:
        if not _is_unavailable(error):
            raise
        raise IssuerProblem(
            ProblemCode.DATABASE_UNAVAILABLE, retry_after=RETRY_AFTER_SECONDS
        ) from error


def _is_unavailable(error: DBAPIError | PoolTimeout) -> bool:
    """Say whether waiting may help: no connection, a lock, a server that restarts."""
    if isinstance(error, PoolTimeout) or error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_UNAVAILABLE
    return isinstance(error, OperationalError | InterfaceError)
