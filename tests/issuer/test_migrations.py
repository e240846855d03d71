"""The schema: migrations and models agree, and which databases are refused."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from apostille_issuer.db import schema
from apostille_issuer.db.engine import async_url
from apostille_issuer.db.metadata import METADATA
from apostille_issuer.db.schema import Migration, migrate, require_current, revisions
from apostille_issuer.problems import StartupError
from support.postgresql import Server

HEAD = revisions()[-1]


@contextmanager
def connected(database_url: str) -> Iterator[Connection]:
    url = async_url(database_url)
    if url.get_backend_name() == "sqlite":
        url = url.set(drivername="sqlite+pysqlite")
    engine = create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def empty_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database without tables."""
    if dialect == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.sqlite3"
        return
    server: Server = request.getfixturevalue("postgresql")
    url = server.create_database()
    yield url
    server.drop_database(url)


def set_revision(url: str, *found: str) -> None:
    with connected(url) as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        for revision in found:
            connection.execute(
                text("INSERT INTO alembic_version (version_num) VALUES (:r)"), {"r": revision}
            )


def refusal(url: str) -> str:
    """Return why *url* is refused, the same by every door, and that nothing was touched."""
    before = snapshot(url)
    messages = set()
    for act in (migrate, require_current):
        with pytest.raises(StartupError) as refused:
            act(url)
        messages.add(str(refused.value))
    assert snapshot(url) == before
    (message,) = messages
    assert "\n" not in message
    return message


def snapshot(url: str) -> tuple[list[str], list[str]]:
    with connected(url) as connection:
        tables = sorted(inspect(connection).get_table_names())
        if "alembic_version" not in tables:
            return tables, []
        return tables, list(connection.scalars(text("SELECT version_num FROM alembic_version")))


def test_models_and_migrations_describe_the_same_tables(database_url: str) -> None:
    with connected(database_url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_file_names_tell_the_revisions_alembic_finds() -> None:
    config = Config()
    config.set_main_option("script_location", "apostille_issuer.db:migrations")
    config.set_main_option("path_separator", "os")
    walked = ScriptDirectory.from_config(config).walk_revisions()
    assert tuple(script.revision for script in walked)[::-1] == revisions()
    assert schema.OLDEST_UPGRADABLE in revisions()


def test_an_empty_database_is_brought_to_the_head_and_stays_there(empty_url: str) -> None:
    assert migrate(empty_url) == Migration(None, HEAD)
    assert migrate(empty_url) == Migration(HEAD, HEAD)
    require_current(empty_url)
    tables, found = snapshot(empty_url)
    assert set(METADATA.tables) <= set(tables)
    assert found == [HEAD]


def test_an_empty_database_is_not_served(empty_url: str) -> None:
    with pytest.raises(StartupError) as refused:
        require_current(empty_url)
    assert str(refused.value) == (
        f"the database is empty, this release needs revision {HEAD}: run 'apostille-issuer migrate'"
    )


def test_a_newer_database_is_refused_before_any_change(database_url: str) -> None:
    set_revision(database_url, "9999")
    assert refusal(database_url) == (
        "the database is at revision '9999', which this release does not know: "
        "it belongs to a newer release"
    )


def test_a_database_that_skipped_a_release_is_refused_before_any_change(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "revisions", lambda: ("0001", "0002", "0003"))
    monkeypatch.setattr(schema, "OLDEST_UPGRADABLE", "0002")
    set_revision(database_url, "0001")
    assert refusal(database_url) == (
        "the database is at revision '0001', this release migrates from revision 0002 on: "
        "migrate with the releases between first"
    )


def test_a_database_of_somebody_else_is_refused(empty_url: str) -> None:
    with connected(empty_url) as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER PRIMARY KEY)"))
    assert refusal(empty_url) == "the database holds tables that are not the issuer's"


@pytest.mark.parametrize("found", [(), ("0001", "0002")])
def test_a_database_of_no_single_revision_is_refused(
    found: tuple[str, ...], database_url: str
) -> None:
    set_revision(database_url, *found)
    assert refusal(database_url) == "the database does not say which revision it has"


def test_replicas_that_migrate_at_once_take_turns(empty_url: str) -> None:
    outcomes: list[Migration | StartupError] = []

    def start() -> None:
        try:
            outcomes.append(migrate(empty_url))
        except StartupError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == sorted(
        map(str, [Migration(None, HEAD), *[Migration(HEAD, HEAD)] * 3])
    )


def test_a_locked_database_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    path = tmp_path / "locked.sqlite3"
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StartupError) as refused:
        migrate(f"sqlite:///{path}", timeout=timedelta(milliseconds=50))
    blocker.close()
    assert str(refused.value) == "cannot use the database: database is locked"


def test_a_server_out_of_reach_is_one_line_without_the_password() -> None:
    with pytest.raises(StartupError) as refused:
        migrate("postgresql://user:hunter2@127.0.0.1:1/db")
    message = str(refused.value)
    assert message.startswith("cannot use the database: connection failed")
    assert "\n" not in message
    assert "hunter2" not in message


def test_a_migration_that_would_leave_dangling_rows_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/a.sqlite3"
    real = schema._upgrade

    def upgrade_and_orphan(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE parents (id INTEGER PRIMARY KEY)"))
        connection.execute(text("CREATE TABLE children (id INTEGER REFERENCES parents (id))"))
        connection.execute(text("INSERT INTO children VALUES (1)"))
        real(connection)

    monkeypatch.setattr(schema, "_upgrade", upgrade_and_orphan)
    with pytest.raises(StartupError, match="dangling rows in children"):
        migrate(url)
    assert snapshot(url) == ([], [])


def test_a_role_that_row_level_security_does_not_hold_is_refused(postgresql: Server) -> None:
    url = postgresql.create_database()
    assert refusal(postgresql.superuser_url(url)).startswith("the database role '")
    postgresql.drop_database(url)
