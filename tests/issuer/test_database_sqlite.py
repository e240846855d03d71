"""The SQLite driver: one change of threads for each statement, and nothing lost by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosqlite.core import Connection
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from apostille_issuer.db.engine import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'x.sqlite3'}", timeout=timedelta(seconds=5))
    async with opened.begin() as session:
        await session.execute(text("CREATE TABLE fruit (name TEXT PRIMARY KEY)"))
    yield opened
    await opened.close()


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What went over to the thread of a connection."""
    seen: list[object] = []
    real = Connection._execute

    async def noted(self: Connection, work: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(work)
        return await real(self, work, *arguments, **options)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(Connection, "_execute", noted)
    return seen


async def test_each_statement_goes_over_once(database: Database, handed_over: list[object]) -> None:
    async with database.begin() as session:
        await session.execute(text("INSERT INTO fruit VALUES ('fig')"))
        found = await session.execute(text("SELECT name FROM fruit"))
        assert found.scalars().all() == ["fig"]
    assert len(handed_over) == 5  # BEGIN, INSERT, SELECT, COMMIT, and the ROLLBACK of the pool


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
