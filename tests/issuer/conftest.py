"""Fixtures of the issuer's tests: both databases, settings, a clock, a running app."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from apostille.clock import ManualClock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.schema import migrate
from support.desk import Desk, open_desk
from support.postgresql import NoPostgreSQL, Server, running_server

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server; on CI its absence is a failure, elsewhere a skip."""
    try:
        with running_server() as server:
            yield server
    except NoPostgreSQL as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgresql_template(postgresql: Server) -> Iterator[str]:
    """The name of a migrated database without rows, to be copied."""
    url = postgresql.create_database()
    migrate(url)
    yield url.rpartition("/")[2].partition("?")[0]
    postgresql.drop_database(url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file without rows, to be copied."""
    path = tmp_path_factory.mktemp("template") / "apostille.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


DIALECTS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    """Runs the test once on each kind of database."""
    return str(request.param)


@pytest.fixture
def database_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    with migrated_copy(dialect, tmp_path, request) as url:
        yield url


@contextmanager
def migrated_copy(dialect: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of a fresh, migrated database for as long as the block runs."""
    if dialect == "sqlite":
        path = folder / "apostille.sqlite3"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: Server = request.getfixturevalue("postgresql")
    with server.borrowed(request.getfixturevalue("postgresql_template")) as url:
        yield url


DESKS: list[Desk] = []
"""Those that are open and shared."""


@pytest.fixture(scope="session", params=DIALECTS)
def desk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """A running issuer on each kind of database, shared: hire people of your own.

    Its clock goes on from test to test.
    """
    folder = tmp_path_factory.mktemp("desk")
    with migrated_copy(request.param, folder, request) as url, open_desk(url) as opened:
        DESKS.append(opened)
        yield opened
        DESKS.remove(opened)


@pytest.fixture(scope="module", autouse=True)
def fresh_superuser() -> None:
    """Log the superusers of shared desks in anew for each module: others may have ended it all."""
    for shared in DESKS:
        shared.forget_root()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Transactions on a fresh, migrated database."""
    opened = Database(database_url, timeout=timedelta(seconds=5))
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still; ``clock.now`` is what services take."""
    return ManualClock(START)
