"""Transactions: what commits, what cannot write, and what an absent database looks like."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import uuid
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, StatementError

from apostille_contracts.problems import ProblemCode
from apostille_issuer.db import types
from apostille_issuer.db.attempts import ATTEMPTS
from apostille_issuer.db.engine import Database, async_url, postgresql_arguments
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.db.types import new_id
from apostille_issuer.keys.models import Secret
from apostille_issuer.problems import IssuerProblem, SettingsError
from support.giving_way import given_up
from support.postgresql import Server
from support.workers import workers, workers_ended

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def row(name: str, created_at: datetime = NOW) -> dict[str, object]:
    return {
        "name": name,
        "version": 1,
        "encrypted_value": b"sealed",
        "kek_id": "k",
        "created_at": created_at,
    }


async def add(database: Database, *rows: dict[str, object], fail: bool = False) -> None:
    async with database.begin() as session:
        for values in rows:
            await session.execute(insert(Secret).values(values))
        if fail:
            raise RuntimeError


async def names(database: Database) -> list[str]:
    async with database.read() as session:
        return list(await session.scalars(select(Secret.name).order_by(Secret.name)))


async def test_a_block_commits_at_its_end(database: Database) -> None:
    await add(database, row("a"))
    assert await names(database) == ["a"]


async def test_an_error_rolls_the_whole_block_back(database: Database) -> None:
    with pytest.raises(RuntimeError):
        await add(database, row("a"), fail=True)
    assert await names(database) == []


async def test_a_broken_constraint_reaches_the_service(database: Database) -> None:
    with pytest.raises(IntegrityError):
        await add(database, row("a"), row("a"))


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises((IssuerProblem, DBAPIError)):
        async with database.read() as session:
            await session.execute(insert(Secret).values(row("a")))
    assert await names(database) == []


async def test_a_mistake_in_a_statement_is_not_an_absent_database(database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with database.read() as session:
            await session.execute(text("SELECT * FROM no_such_table"))


async def test_writers_take_turns(database: Database) -> None:
    """Twenty increments that each read first and write later; none is lost."""
    await add(database, row("counter"))

    async def increment() -> None:
        async with database.begin() as session:
            held = select(Secret).with_for_update()
            secret = (await session.scalars(held)).one()
            await asyncio.sleep(0)
            secret.kek_id = f"{secret.kek_id}+"

    await asyncio.gather(*(increment() for _ in range(20)))
    async with database.read() as session:
        assert await session.scalar(select(Secret.kek_id)) == "k" + "+" * 20


def add_now(connection: Connection, *names: str) -> int:
    for name in names:
        connection.execute(insert(Secret).values(row(name)))
    return len(names)


class TestAtOnce:
    async def test_what_returns_commits(self, database: Database) -> None:
        assert await database.write_at_once(lambda connection: add_now(connection, "a", "b")) == 2
        assert await database.read_at_once(
            lambda connection: connection.scalars(select(Secret.name)).all()
        ) == ["a", "b"]

    async def test_what_raises_is_rolled_back_as_a_whole(self, database: Database) -> None:
        def fail(connection: Connection) -> None:
            add_now(connection, "a")
            raise IssuerProblem(ProblemCode.NOT_A_MEMBER)

        with pytest.raises(IssuerProblem) as refused:
            await database.write_at_once(fail)
        assert refused.value.code is ProblemCode.NOT_A_MEMBER
        with pytest.raises(IntegrityError):
            await database.write_at_once(lambda connection: add_now(connection, "b", "b"))
        assert await names(database) == []

    async def test_a_reader_cannot_write(self, database: Database) -> None:
        with pytest.raises((IssuerProblem, DBAPIError)):
            await database.read_at_once(lambda connection: add_now(connection, "a"))
        assert await names(database) == []

    async def test_it_takes_its_turn_among_the_writers(self, database: Database) -> None:
        await add(database, row("counter"))
        held = select(Secret.kek_id).with_for_update()

        def now(connection: Connection) -> None:
            read = connection.scalar(held)
            connection.execute(update(Secret).values(kek_id=f"{read}+"))

        async def by_and_by() -> None:
            async with database.begin() as session:
                read = await session.scalar(held)
                await asyncio.sleep(0)
                await session.execute(update(Secret).values(kek_id=f"{read}+"))

        await asyncio.gather(
            *(database.write_at_once(now) for _ in range(10)), *(by_and_by() for _ in range(10))
        )
        async with database.read() as session:
            assert await session.scalar(select(Secret.kek_id)) == "k" + "+" * 20

    @pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
    async def test_what_has_to_give_way_to_another_is_done_again(self, database: Database) -> None:
        tried = []

        def act(connection: Connection) -> int:
            tried.append(add_now(connection, "a"))
            if len(tried) < ATTEMPTS:
                raise given_up("40P01")
            return len(tried)

        assert await database.write_at_once(act) == ATTEMPTS
        assert await names(database) == ["a"]

    @pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
    async def test_it_reaches_as_far_as_it_is_told(self, database: Database) -> None:
        def said(connection: Connection) -> str | None:
            asked = text("SELECT current_setting('apostille.tenant', true)")
            found: str | None = connection.scalar(asked)
            return found

        assert not await database.read_at_once(said)
        assert await database.read_at_once(said, EVERY_TENANT) == EVERY_TENANT
        tenant = new_id()
        assert await database.write_at_once(said, tenant) == str(tenant)
        assert not await database.write_at_once(said)


async def test_times_come_back_aware_and_in_utc(database: Database) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    await add(database, row("a", elsewhere))
    async with database.read() as session:
        stored = await session.scalar(select(Secret.created_at))
        earlier = await session.scalar(select(Secret.name).where(Secret.created_at <= elsewhere))
    assert stored == NOW
    assert stored is not None
    assert stored.tzinfo is UTC
    assert earlier == "a"


async def test_a_time_without_zone_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="without time zone"):
        await add(database, row("a", NOW.replace(tzinfo=None)))


def test_no_time_at_all_stays_none() -> None:
    column = types.UtcDateTime()
    dialect = async_url("sqlite://").get_dialect()()
    assert column.process_bind_param(None, dialect) is None
    assert column.process_result_value(None, dialect) is None


async def test_a_locked_file_is_an_unavailable_database(
    tmp_path: Path, sqlite_template: Path
) -> None:
    path = tmp_path / "locked.sqlite3"
    shutil.copy(sqlite_template, path)
    database = Database(f"sqlite:///{path}", timeout=timedelta(milliseconds=100))
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        for writing in (
            add(database, row("a")),
            database.write_at_once(lambda connection: add_now(connection, "a")),
        ):
            with pytest.raises(IssuerProblem) as refused:
                await writing
            assert refused.value.code is ProblemCode.DATABASE_UNAVAILABLE
            assert refused.value.retry_after
        assert await names(database) == []  # readers do not wait for writers
    finally:
        blocker.close()
        await database.close()


async def test_waiting_too_long_for_the_writer_is_an_unavailable_database(
    tmp_path: Path,
) -> None:
    database = Database(f"sqlite:///{tmp_path}/a.sqlite3", timeout=timedelta(milliseconds=100))
    async with database.begin() as first:
        await first.execute(text("SELECT 1"))
        with pytest.raises(IssuerProblem) as refused:
            async with database.begin() as second:
                await second.execute(text("SELECT 1"))
    assert refused.value.code is ProblemCode.DATABASE_UNAVAILABLE
    await database.close()


@pytest.mark.parametrize(
    "url",
    ["sqlite:////nowhere/at/all.sqlite3", "postgresql://nobody@127.0.0.1:1/nothing"],
)
async def test_a_database_out_of_reach_is_unavailable(url: str) -> None:
    others = workers()
    database = Database(url, timeout=timedelta(milliseconds=200))
    with pytest.raises(IssuerProblem) as refused:
        async with database.read() as session:
            await session.execute(text("SELECT 1"))
    assert refused.value.code is ProblemCode.DATABASE_UNAVAILABLE
    assert isinstance(refused.value.__cause__, OperationalError)
    await database.close()
    await workers_ended(others)


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///a.db", "sqlite+aiosqlite"),
        ("postgresql://db/a", "postgresql+psycopg"),
        ("postgres://db/a", "postgresql+psycopg"),
    ],
)
def test_urls_get_the_driver_used_here(url: str, driver: str) -> None:
    assert async_url(url).drivername == driver


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:hunter2@db/a",
        "hunter2",
        *(f"postgresql://user:hunter2@db:{port}/a" for port in ("54x", "", "0", "65536")),
    ],
)
def test_other_urls_are_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        async_url(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.postgresql
async def test_options_in_the_url_are_kept(postgresql: Server) -> None:
    plain = postgresql.create_database()
    url = async_url(plain).update_query_dict({"options": "-c statement_timeout=1234"})
    database = Database(url)
    async with database.read() as session:
        assert await session.scalar(text("SHOW statement_timeout")) == "1234ms"
    await database.close()
    postgresql.drop_database(plain)


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_postgresql_compiles_no_plans_for_us(database: Database) -> None:
    async with database.read() as session:
        assert await session.scalar(text("SHOW jit")) == "off"


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_a_server_that_is_gone_without_a_word_is_given_up(database: Database) -> None:
    """It takes a network to see it happen; here it is what was asked for."""
    async with database.read() as session:
        fairy = await (await session.connection()).get_raw_connection()
        assert fairy.driver_connection is not None
        said = fairy.driver_connection.info.get_parameters()
    waits = {name: int(said[name]) for name in said if name.startswith(("keepalives", "tcp_"))}
    assert waits == {
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }


def test_waits_of_the_url_s_own_are_kept() -> None:
    url = async_url("postgresql://db/a?connect_timeout=60&tcp_user_timeout=1000")
    arguments = postgresql_arguments(url, timedelta(milliseconds=100))
    assert not {"connect_timeout", "tcp_user_timeout"} & arguments.keys()
    assert arguments["keepalives_idle"] == arguments["keepalives_interval"] == 1


def test_identifiers_are_version_7_and_sort_by_time() -> None:
    made = [new_id() for _ in range(1000)]
    assert {identifier.version for identifier in made} == {7}
    assert {identifier.variant for identifier in made} == {uuid.RFC_4122}
    assert len(set(made)) == 1000
    milliseconds = [identifier.int >> 64 for identifier in made]
    assert milliseconds == sorted(milliseconds)


async def test_an_error_does_not_quote_the_values_of_a_statement(database: Database) -> None:
    statement = text("SELECT name FROM nowhere WHERE name = :name")
    with pytest.raises(DBAPIError, match="nowhere") as refused:
        async with database.read() as session:
            await session.execute(statement, {"name": "hunter2"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.postgresql
async def test_a_value_that_postgresql_cannot_hold_is_the_client_s_fault(
    postgresql_template: str, postgresql: Server
) -> None:
    with postgresql.borrowed(postgresql_template) as url:
        database = Database(url)
        for opened in (database.read, database.begin):
            with pytest.raises(IssuerProblem) as refused:
                async with opened() as session:
                    await session.execute(select(Secret.name).where(Secret.name == "\0"))
            assert refused.value.code is ProblemCode.VALIDATION_FAILED
        await database.close()
