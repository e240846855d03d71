"""Several at it, and others at the same rows: a few at a time, and nobody waits for long."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import create_async_engine

from apostille.clock import ManualClock
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.db import purging as walk
from apostille_issuer.db.engine import Database, async_url
from apostille_issuer.db.metadata import METADATA
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.schemas import LoginRequest, TokenSet
from apostille_issuer.tenancy.schemas.invitations import InvitationDraft
from support.desk import PASSWORD, settings_for
from support.purging import (
    DAY,
    NOTHING,
    RETENTION,
    keys_in,
)
from support.tenants import insert_tenant


@pytest.fixture
async def replicas(database_url: str, clock: ManualClock) -> AsyncIterator[list[Issuer]]:
    async with AsyncExitStack() as stack:
        issuers = [
            await stack.enter_async_context(
                Issuer(settings_for(database_url), clock=clock.now).running()
            )
            for _ in range(2)
        ]
        await issuers[0].accounts.create(UserDraft(login="ada", password=PASSWORD), COMMAND_LINE)
        yield issuers


async def logins(issuer: Issuer, count: int) -> list[TokenSet]:
    request = LoginRequest(login="ada", password=PASSWORD)
    return [await issuer.sessions.login(request, COMMAND_LINE) for _ in range(count)]


def ident(tokens: TokenSet) -> uuid.UUID:
    return uuid.UUID(tokens.refresh_token.split("_")[2])


async def end(issuer: Issuer, those: Sequence[TokenSet]) -> None:
    for tokens in those:
        await issuer.sessions.end_by_token(tokens.refresh_token, COMMAND_LINE)


async def answer(issuer: Issuer, tokens: TokenSet) -> str:
    try:
        await issuer.sessions.refresh(tokens.refresh_token, COMMAND_LINE)
    except IssuerProblem as problem:
        return problem.code.value
    return "ok"


@pytest.mark.anyio
@pytest.mark.parametrize(("window", "batch"), [(1, 1), (3, 2), (4, 500), (12, 3), (5_000, 500)])
async def test_any_windows_and_batches_find_all_that_is_due_and_nothing_else(
    replicas: list[Issuer],
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    window: int,
    batch: int,
) -> None:
    monkeypatch.setattr(walk, "WINDOW_ROWS", window)
    monkeypatch.setattr(walk, "PURGE_ROWS", batch)
    issuer = replicas[0]
    deleted: list[int] = []
    delete = walk._delete

    async def counted(*arguments: Any) -> int:
        deleted.append(await delete(*arguments))
        return deleted[-1]

    monkeypatch.setattr(walk, "_delete", counted)
    made = await logins(issuer, 12)
    await end(issuer, [*made[1:8], made[11]])
    clock.advance(13 * DAY)
    stay = [made[0], *made[8:11]]
    stay = [await issuer.sessions.refresh(each.refresh_token, COMMAND_LINE) for each in stay]
    clock.advance(RETENTION - 13 * DAY)
    assert await issuer.purge.purge_due() == NOTHING | {"sessions": 8}
    assert await keys_in(issuer.database, "sessions") == {ident(each) for each in stay}
    assert max(deleted) <= batch
    assert await issuer.purge.purge_due() == NOTHING


@pytest.mark.anyio
async def test_two_replicas_at_it_delete_each_row_once(
    replicas: list[Issuer], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "WINDOW_ROWS", 5)
    monkeypatch.setattr(walk, "PURGE_ROWS", 2)
    made = await logins(replicas[0], 20)
    await end(replicas[0], made)
    clock.advance(RETENTION)
    (stays,) = await logins(replicas[0], 1)
    counts = await asyncio.gather(*(issuer.purge.purge_due() for issuer in replicas * 2))
    # What one had locked at that moment another has left to it.
    assert sum(count["sessions"] for count in counts) == 20
    assert await keys_in(replicas[0].database, "sessions") == {ident(stays)}
    assert await answer(replicas[1], stays) == "ok"


@pytest.mark.anyio
async def test_refreshes_meanwhile_are_answered_as_ever(
    replicas: list[Issuer], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "PURGE_ROWS", 1)
    made = await logins(replicas[0], 10)
    await end(replicas[0], made[:5])
    clock.advance(RETENTION)  # the other five have expired, and are not due
    living = await logins(replicas[0], 5)
    outcomes = await asyncio.gather(
        replicas[0].purge.purge_due(),
        *(answer(issuer, each) for issuer in replicas for each in [*made, *living]),
        replicas[1].purge.purge_due(),
    )
    answers = [each for each in outcomes if isinstance(each, str)]
    assert answers[:15] == answers[15:] == ["session_ended"] * 10 + ["ok"] * 5
    kept = {ident(each) for each in [*made[5:], *living]}
    # What a refresh was looking at is left for the next time.
    await replicas[0].purge.purge_due()
    assert await keys_in(replicas[0].database, "sessions") == kept


@pytest.mark.anyio
async def test_what_is_no_longer_over_when_it_is_locked_stays(
    replicas: list[Issuer], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an invitation that is sent again between the look and the lock."""
    issuer = replicas[0]
    saved, lost = await logins(issuer, 2)
    await end(issuer, [saved, lost])
    clock.advance(RETENTION)
    sessions = METADATA.tables["sessions"]
    window = walk._window

    async def then_put_off(*arguments: Any) -> Any:
        found = await window(*arguments)
        async with issuer.database.begin(EVERY_TENANT) as session:
            await session.execute(
                update(sessions)
                .where(sessions.c.id == ident(saved))
                .values(revoked_at=None, idle_expires_at=sessions.c.expires_at)
            )
        return found

    with monkeypatch.context() as patch:
        patch.setattr(walk, "_window", then_put_off)
        assert await issuer.purge.purge_due() == NOTHING | {"sessions": 1}
    assert await keys_in(issuer.database, "sessions") == {ident(saved)}


async def until_one_waits(database: Database) -> None:
    """Return as soon as a statement waits for a lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    while True:
        async with database.read() as session:
            if await session.scalar(waiting):
                return


@pytest.mark.postgresql
@pytest.mark.anyio
class TestLocks:
    """On PostgreSQL."""

    @pytest.fixture
    def dialect(self) -> str:
        return "postgresql"

    async def test_a_row_that_somebody_has_locked_is_left_and_nobody_waits(
        self, replicas: list[Issuer], clock: ManualClock, database_url: str
    ) -> None:
        issuer = replicas[0]
        made = await logins(issuer, 3)
        await end(issuer, made)
        clock.advance(RETENTION)
        engine = create_async_engine(async_url(database_url))
        reach = text("SELECT set_config('apostille.tenant', '*', true)")
        lock = text("SELECT id FROM sessions WHERE id = :id FOR UPDATE")
        async with engine.begin() as other:
            await other.execute(reach)
            await other.execute(lock, {"id": ident(made[1])})
            assert await issuer.purge.purge_due() == NOTHING | {"sessions": 2}
        await engine.dispose()
        assert await keys_in(issuer.database, "sessions") == {ident(made[1])}
        assert await issuer.purge.purge_due() == NOTHING | {"sessions": 1}

    async def test_a_refresh_that_waits_for_the_purge_finds_that_the_session_has_ended(
        self, replicas: list[Issuer], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        issuer, other = replicas
        (tokens,) = await logins(issuer, 1)
        await end(issuer, [tokens])
        clock.advance(RETENTION)
        deleted, go_on = asyncio.Event(), asyncio.Event()
        delete = walk._delete

        async def then_wait(*arguments: Any) -> int:
            count = await delete(*arguments)
            deleted.set()
            await go_on.wait()
            return count

        monkeypatch.setattr(walk, "_delete", then_wait)
        purging = asyncio.create_task(issuer.purge.purge_due())
        await deleted.wait()
        # By the update it is no candidate; to tell why not, the row is locked.
        refreshing = asyncio.create_task(answer(other, tokens))
        await until_one_waits(other.database)
        go_on.set()
        assert await refreshing == "session_ended"
        assert await purging == NOTHING | {"sessions": 1}

    async def test_an_invitation_that_is_sent_again_is_not_deleted_meanwhile(
        self, replicas: list[Issuer], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who sends it again locks policy and no row: so the purge waits for policy, too."""
        issuer, other = replicas
        draft = UserDraft(login="root", password=PASSWORD)
        root = await issuer.accounts.create(draft, COMMAND_LINE, superuser=True)
        by_root = structs.replace(COMMAND_LINE, actor_id=root.id)
        _, organization = await insert_tenant(issuer)
        invitations = issuer.tenancy.invitations
        invitation = InvitationDraft(email="guest@example.com")
        made = await invitations.invite(organization, invitation, by_root)
        clock.advance(7 * DAY + RETENTION)
        looked, go_on = asyncio.Event(), asyncio.Event()
        check = invitations._promises.check

        async def then_wait(*arguments: Any, **options: Any) -> Any:
            looked.set()
            await go_on.wait()
            return await check(*arguments, **options)

        monkeypatch.setattr(invitations._promises, "check", then_wait)
        resending = asyncio.create_task(invitations.resend(organization, made.id, by_root))
        await looked.wait()
        purging = asyncio.create_task(other.purge.purge_due())
        await until_one_waits(issuer.database)
        go_on.set()
        assert (await resending).state == "pending"
        assert (await purging)["invitations"] == 0


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["sessions", "used assertions"])
async def test_a_process_that_is_to_end_begins_nothing_further(
    replicas: list[Issuer], clock: ManualClock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(walk, "PURGE_ROWS", 1)
    issuer, stop = replicas[0], asyncio.Event()
    await end(issuer, await logins(issuer, 3))
    clock.advance(RETENTION)
    (chosen,) = [each for each in issuer.purge._kinds if each.name == kind]
    delete = walk._delete

    async def then_stop(*arguments: Any) -> int:
        stop.set()
        return await delete(*arguments)

    monkeypatch.setattr(walk, "_delete", then_stop)
    if kind == "sessions":
        assert await chosen.purge(stop, clock.now()) == 1
        assert len(await keys_in(issuer.database, "sessions")) == 2
    stop.set()
    assert await chosen.purge(stop, clock.now()) == 0
