"""On PostgreSQL nobody is given up for another's sake: locks are taken in one order."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from apostille.clock import ManualClock
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.db.engine import async_url
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.sessions.schemas import LoginRequest
from support.desk import PASSWORD, settings_for

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]


@pytest.fixture
def dialect() -> str:
    return "postgresql"


async def until_waiting(engine: AsyncEngine, count: int) -> None:
    """Return as soon as so many statements wait for a lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    while True:
        async with engine.connect() as connection:
            if await connection.scalar(waiting) == count:
                return
        await asyncio.sleep(0.01)


async def test_refreshes_committed_together_and_the_end_of_their_sessions(
    database_url: str, clock: ManualClock
) -> None:
    """One of the two comes first, the other waits; it used to hold what the first one needed."""
    settings = settings_for(database_url, refresh_replay_window=timedelta(seconds=60))
    engine = create_async_engine(async_url(database_url))
    async with Issuer(settings, clock=clock.now).running() as issuer:
        draft = UserDraft(login="ada", password=PASSWORD)
        ada = await issuer.accounts.create(draft, COMMAND_LINE)
        request = LoginRequest(login="ada", password=PASSWORD)
        used = await issuer.sessions.login(request, COMMAND_LINE)
        unused = await issuer.sessions.login(request, COMMAND_LINE)
        await issuer.sessions.refresh(used.refresh_token, COMMAND_LINE)
        async with engine.begin() as gate:
            # The session whose token was used, so that the other one is updated first.
            await gate.execute(text("SELECT id FROM sessions WHERE generation = 1 FOR UPDATE"))
            ending = asyncio.create_task(issuer.revoker.revoke_user(ada.id, COMMAND_LINE))
            await until_waiting(engine, 1)
            refreshing = [
                asyncio.create_task(issuer.sessions.refresh(tokens.refresh_token, COMMAND_LINE))
                for tokens in (used, unused)
            ]
            await until_waiting(engine, 2)
        assert await ending == 2
        refused = await asyncio.gather(*refreshing, return_exceptions=True)
    await engine.dispose()
    assert [str(getattr(each, "code", each)) for each in refused] == ["session_ended"] * 2
