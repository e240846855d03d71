"""The SQLite driver: one change of threads for each statement, and nothing lost by it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import ProblemCode
from apostille_issuer.db.engine import Database
from apostille_issuer.db.sqlite import _Connection
from apostille_issuer.problems import IssuerProblem
from support.workers import workers, workers_ended

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'x.sqlite3'}", timeout=timedelta(seconds=5))
    async with opened.begin() as session:
        await session.execute(text("CREATE TABLE fruit (name TEXT PRIMARY KEY)"))
    yield opened
    await opened.close()


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What went over to the thread of a connection: ``waits``, or ``leaves`` it there."""
    seen: list[str] = []
    hand_over, leave = _Connection.hand_over, _Connection.leave

    def waits(self: _Connection, work: Any) -> Any:
        seen.append("waits")
        return hand_over(self, work)

    def leaves(self: _Connection, work: Any) -> None:
        seen.append("leaves")
        leave(self, work)

    monkeypatch.setattr(_Connection, "hand_over", waits)
    monkeypatch.setattr(_Connection, "leave", leaves)
    return seen


async def test_each_statement_goes_over_once(database: Database, handed_over: list[str]) -> None:
    async with database.begin() as session:
        await session.execute(text("INSERT INTO fruit VALUES ('fig')"))
        found = await session.execute(text("SELECT name FROM fruit"))
        assert found.scalars().all() == ["fig"]
    assert handed_over == ["waits"] * 3  # BEGIN with INSERT, SELECT, COMMIT


async def test_nobody_waits_for_the_end_of_what_only_read(
    database: Database, handed_over: list[str]
) -> None:
    async with database.read() as session:
        await session.execute(text("SELECT 1"))  # the first also opens the connection
    handed_over.clear()
    for _ in range(2):
        async with database.read() as session:
            await session.execute(text("SELECT 1"))
    assert handed_over == ["waits", "leaves"] * 2


async def test_what_is_done_at_once_goes_over_once_with_all_it_says(
    database: Database, handed_over: list[str]
) -> None:
    def count(connection: Connection) -> int:
        found = connection.scalar(text("SELECT count(*) FROM fruit"))
        assert threading.get_ident() != loop
        return int(found)

    def add(connection: Connection) -> int:
        connection.execute(text("INSERT INTO fruit VALUES ('fig')"))
        return count(connection)

    loop = threading.get_ident()
    await database.read_at_once(count)  # the first also opens the connection
    handed_over.clear()
    assert await database.write_at_once(add) == 1
    assert await database.read_at_once(count) == 1
    assert handed_over == ["waits"] * 2


async def test_who_reads_and_is_cancelled_in_its_midst_leaves_when_it_is_done(
    database: Database,
) -> None:
    loop, entered, gate = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def read(connection: Connection) -> None:
        connection.execute(text("SELECT name FROM fruit"))
        loop.call_soon_threadsafe(entered.set)
        gate.wait()
        raise RuntimeError  # of which nobody hears

    reading = asyncio.create_task(database.read_at_once(read))
    await entered.wait()
    for _ in range(2):
        reading.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
    assert not reading.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await reading


@pytest.mark.parametrize("fails", [False, True])
async def test_who_writes_and_is_cancelled_in_its_midst_leaves_and_it_is_done(
    database: Database, *, fails: bool
) -> None:
    loop, entered, gate = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def add(connection: Connection) -> None:
        connection.execute(text("INSERT INTO fruit VALUES ('fig')"))
        loop.call_soon_threadsafe(entered.set)
        gate.wait()
        if fails:
            raise RuntimeError

    adding = asyncio.create_task(database.write_at_once(add))
    await entered.wait()
    next_one = asyncio.create_task(_rows_while_writing(database))
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    assert not next_one.done()
    gate.set()
    assert await next_one == ([] if fails else ["fig"])


async def test_what_waits_for_the_writer_is_committed_together(
    database: Database, handed_over: list[str]
) -> None:
    def add(name: str) -> Callable[[Connection], str]:
        def act(connection: Connection) -> str:
            connection.execute(text("INSERT INTO fruit VALUES (:name)"), {"name": name})
            return name

        return act

    await database.write_at_once(add("date"))
    handed_over.clear()
    names = [f"fig {number}" for number in range(10)]
    assert await asyncio.gather(*(database.write_at_once(add(name)) for name in names)) == names
    assert handed_over == ["waits"]
    assert await _rows_while_writing(database) == ["date", *names]


async def test_who_writes_again_and_again_lets_others_in_between(database: Database) -> None:
    order: list[str] = []

    async def write(name: str, count: int) -> None:
        for number in range(count):
            async with database.begin() as session:
                fruit = {"name": f"{name} {number}"}
                await session.execute(text("INSERT INTO fruit VALUES (:name)"), fruit)
            order.append(name)

    await asyncio.gather(write("purge", 40), *(write(f"login {n}", 1) for n in range(5)))
    last_login = max(index for index, name in enumerate(order) if name.startswith("login"))
    assert last_login < 12, order


async def test_one_that_fails_spoils_none_of_the_others(database: Database) -> None:
    def act(number: int) -> Callable[[Connection], int]:
        def add(connection: Connection) -> int:
            connection.execute(text("INSERT INTO fruit VALUES (:name)"), {"name": str(number)})
            if number in {3, 7}:
                raise ValueError(number)
            return number

        return add

    outcomes = await asyncio.gather(
        *(database.write_at_once(act(number)) for number in range(10)), return_exceptions=True
    )
    failed = {str(number): outcome for number, outcome in enumerate(outcomes) if outcome != number}
    assert {name: str(error) for name, error in failed.items()} == {"3": "3", "7": "7"}
    rows = await _rows_while_writing(database)
    assert sorted(rows) == [str(number) for number in range(10) if number not in {3, 7}]


async def _rows_while_writing(database: Database) -> list[str]:
    async with database.begin() as session:
        return list((await session.scalars(text("SELECT name FROM fruit"))).all())


async def test_a_transaction_without_statements_costs_nothing(
    database: Database, handed_over: list[str]
) -> None:
    async with database.begin(), database.read():
        pass
    assert handed_over == []


async def test_a_reader_sees_one_moment_and_the_next_one_the_next(database: Database) -> None:
    async def seen(session: AsyncSession) -> list[str]:
        return list((await session.scalars(text("SELECT name FROM fruit"))).all())

    async with database.read() as reading:
        assert await seen(reading) == []
        async with database.begin() as writing:
            await writing.execute(text("INSERT INTO fruit VALUES ('fig')"))
        assert await seen(reading) == []
    async with database.read() as reading:
        assert await seen(reading) == ["fig"]


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(IssuerProblem):
        async with database.read() as session:
            await session.execute(text("INSERT INTO fruit VALUES ('fig')"))


async def test_a_writer_holds_the_lock_from_its_first_statement(
    database: Database, tmp_path: Path
) -> None:
    async with database.begin() as session:
        await session.execute(text("SELECT 1"))
        with (
            closing(sqlite3.connect(tmp_path / "x.sqlite3", timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("BEGIN IMMEDIATE")


async def test_what_cannot_be_committed_is_rolled_back(database: Database) -> None:
    async with database.begin() as session:
        await session.execute(
            text("CREATE TABLE tart (of TEXT REFERENCES fruit DEFERRABLE INITIALLY DEFERRED)")
        )
    for _ in range(2):
        with pytest.raises(IntegrityError):
            async with database.begin() as session:
                await session.execute(text("INSERT INTO tart VALUES ('no fruit')"))
    async with database.begin() as session:
        assert (await session.scalars(text("SELECT of FROM tart"))).all() == []


async def test_who_is_cancelled_leaves_nothing_behind(database: Database) -> None:
    inserted = asyncio.Event()

    async def insert() -> None:
        async with database.begin() as session:
            await session.execute(text("INSERT INTO fruit VALUES ('fig')"))
            inserted.set()
            await asyncio.Event().wait()

    for _ in range(2):
        inserted.clear()
        task = asyncio.create_task(insert())
        await inserted.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with database.begin() as session:
        assert (await session.scalars(text("SELECT name FROM fruit"))).all() == []


async def test_who_is_cancelled_during_a_statement_leaves_nothing_behind(
    database: Database,
) -> None:
    async def insert() -> None:
        async with database.begin() as session:
            await session.execute(text("INSERT INTO fruit VALUES ('fig')"))

    for turns in range(12):
        task = asyncio.create_task(insert())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with database.begin() as session:  # all of it or nothing, and nobody is locked out
            await session.execute(text("DELETE FROM fruit"))


async def test_rows_come_one_by_one_too(database: Database) -> None:
    async with database.begin() as session:
        await session.execute(text("INSERT INTO fruit VALUES ('a'), ('b'), ('c'), ('d'), ('e')"))
        found = await session.execute(text("SELECT name FROM fruit ORDER BY name"))
        assert found.fetchone() == ("a",)
        assert found.fetchmany(2) == [("b",), ("c",)]
        assert [row.name for row in found] == ["d", "e"]
        assert (await session.execute(text("SELECT 1 WHERE 0"))).first() is None
        stream = await session.stream(text("SELECT name FROM fruit ORDER BY name"))
        assert [row.name async for row in stream] == ["a", "b", "c", "d", "e"]


async def test_a_connection_that_was_closed_is_an_unavailable_database(database: Database) -> None:
    async def close_and_go_on(context: Any) -> None:
        async with context as session:
            await session.execute(text("SELECT 1"))
            raw = await (await session.connection()).get_raw_connection()
            await raw.driver_connection.close()
            await session.execute(text("SELECT 1"))

    for context in (database.begin, database.read):
        with pytest.raises(IssuerProblem) as refused:
            await close_and_go_on(context())
        assert refused.value.code is ProblemCode.DATABASE_UNAVAILABLE
        async with context() as session:
            await session.execute(text("SELECT 1"))


async def test_a_file_that_is_no_database_is_refused_and_let_go(tmp_path: Path) -> None:
    others = workers()
    (tmp_path / "text.sqlite3").write_text("This is no database, however long it is." * 100)
    database = Database(f"sqlite:///{tmp_path / 'text.sqlite3'}")
    with pytest.raises(DatabaseError, match="not a database"):
        async with database.begin() as session:
            await session.execute(text("SELECT 1"))
    await database.close()
    await workers_ended(others)


async def test_many_rows_go_in_and_come_out(database: Database) -> None:
    names = [f"fruit {number:04}" for number in range(1_000)]
    async with database.begin() as session:
        rows = [{"name": name} for name in names]
        await session.execute(text("INSERT INTO fruit VALUES (:name)"), rows)
    async with database.read() as session:
        found = await session.scalars(text("SELECT name FROM fruit ORDER BY name"))
        assert found.all() == names
        changed = await session.execute(text("SELECT count(*) FROM fruit WHERE name = ''"))
        assert changed.one() == (0,)


async def test_a_failed_statement_leaves_the_connection_usable(database: Database) -> None:
    for _ in range(3):
        with pytest.raises(IntegrityError):
            async with database.begin() as session:
                await session.execute(text("INSERT INTO fruit VALUES ('fig'), ('fig')"))
    async with database.begin() as session:
        changed: Any = await session.execute(text("INSERT INTO fruit VALUES ('fig')"))
        assert changed.rowcount == 1
        returned = await session.execute(text("DELETE FROM fruit RETURNING name"))
        assert returned.scalars().all() == ["fig"]
