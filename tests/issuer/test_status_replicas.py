"""Two replicas on one database: what one revokes, the other's lists say soon, and cheaply."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta

import msgspec
import pytest
from sqlalchemy import text

from apostille.clock import ManualClock
from apostille.errors import RevokedToken
from apostille_contracts.key_sets import key_set_thumbprint
from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.db.engine import Database
from apostille_issuer.http.context import COMMAND_LINE, RequestContext
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions import voiding
from apostille_issuer.sessions.schemas import LoginRequest, TokenSet
from apostille_issuer.status import service as module
from apostille_issuer.status.board import StatusBoard
from apostille_issuer.status.guard import OwnVerifier
from support.desk import PASSWORD, settings_for
from support.lists import bit_in, claims_in, header_of, place_of
from support.policy import refused, scalar, statements

pytestmark = pytest.mark.anyio

WHERE = RequestContext(request_id="test", address="192.0.2.1")


class Replica:
    """One issuer, whose half seconds pass when a test says so."""

    def __init__(self, issuer: Issuer, clock: ManualClock) -> None:
        self.issuer = issuer
        self.now = 0.0
        issuer.status._board._monotonic = lambda: self.now
        self.guard = OwnVerifier(
            issuer.settings.issuer_url,
            statuses=issuer.status,
            audience="apostille",
            keys=issuer.keys.static_keys,
            clock=clock,
        )

    async def login(self) -> TokenSet:
        request = LoginRequest(login="ada", password=PASSWORD)
        return await self.issuer.sessions.login(request, WHERE)

    async def logout(self, tokens: TokenSet) -> None:
        await self.issuer.sessions.end_by_token(tokens.refresh_token, WHERE)

    async def states(self) -> dict[str, str]:
        """Return one key of each state there is."""
        page = await self.issuer.key_administration.page(cursor=None, limit=10)
        return {key.state.value: key.kid for key in page.items}

    async def revoked(self, tokens: TokenSet) -> bool:
        list_id, idx = place_of(tokens.access_token)
        return bit_in((await self.issuer.status.document(list_id)).token, idx) == 1


@pytest.fixture
async def replicas(database_url: str, clock: ManualClock) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        issuers = [
            await stack.enter_async_context(
                Issuer(settings_for(database_url), clock=clock.now).running()
            )
            for _ in range(2)
        ]
        await issuers[0].accounts.create(UserDraft(login="ada", password=PASSWORD), COMMAND_LINE)
        yield [Replica(issuer, clock) for issuer in issuers]


async def test_what_a_replica_revokes_it_says_at_once_and_the_other_half_a_second_later(
    replicas: list[Replica],
) -> None:
    here, there = replicas
    tokens = await here.login()
    assert not await here.revoked(tokens)
    assert not await there.revoked(tokens)
    await here.logout(tokens)
    assert await here.revoked(tokens)
    there.now = 0.499
    assert not await there.revoked(tokens)
    there.now = 0.5
    assert await there.revoked(tokens)


async def test_the_own_routes_of_either_refuse_it_as_soon(replicas: list[Replica]) -> None:
    here, there = replicas
    tokens = await here.login()
    for replica in replicas:
        await replica.guard.verify(tokens.access_token)
    await here.logout(tokens)
    with pytest.raises(RevokedToken):
        await here.guard.verify(tokens.access_token)
    there.now = 0.5
    with pytest.raises(RevokedToken):
        await there.guard.verify(tokens.access_token)


async def test_both_replicas_call_the_same_list_by_the_same_tag(replicas: list[Replica]) -> None:
    here, there = replicas
    tokens = await here.login()
    await here.logout(tokens)
    list_id, _ = place_of(tokens.access_token)
    ours, theirs = [await each.issuer.status.document(list_id) for each in (here, there)]
    assert ours.token != theirs.token  # ECDSA: no two signatures are alike
    assert ours._etag == theirs._etag


async def test_within_half_a_second_nobody_asks_the_database(replicas: list[Replica]) -> None:
    here, _ = replicas
    tokens = await here.login()
    await here.guard.verify(tokens.access_token)
    await here.revoked(tokens)
    with statements(here.issuer.database) as seen:
        for _ in range(10):
            await here.guard.verify(tokens.access_token)
            await here.revoked(tokens)
    assert seen == []


async def test_a_look_that_finds_nothing_new_is_one_statement_and_no_signature(
    replicas: list[Replica],
) -> None:
    here, _ = replicas
    tokens = await here.login()
    list_id, _ = place_of(tokens.access_token)
    document = await here.issuer.status.document(list_id)
    here.now += 0.5
    with statements(here.issuer.database) as seen:
        assert await here.issuer.status.document(list_id) is document
    assert len(seen) == 1


async def test_what_was_added_is_read_and_not_the_rest(replicas: list[Replica]) -> None:
    here, there = replicas
    first, second = await here.login(), await here.login()
    await here.logout(first)
    assert await there.revoked(first)
    # Behind its back: a bit that is gone from the table is not missed.
    async with here.issuer.database.begin() as session:
        await session.execute(text("DELETE FROM status_entries"))
    await here.logout(second)
    there.now += 0.5
    with statements(there.issuer.database) as seen:
        assert await there.revoked(second)
    assert len(seen) == 4  # two of the lists, two of the keys
    assert await there.revoked(first)


async def test_any_number_of_callers_share_one_look(replicas: list[Replica]) -> None:
    here, _ = replicas
    tokens = await here.login()
    await here.revoked(tokens)
    here.now += 1
    with statements(here.issuer.database) as seen:
        await asyncio.gather(*(here.guard.verify(tokens.access_token) for _ in range(50)))
    assert len(seen) == 1


async def test_a_caller_who_goes_away_takes_nothing_from_the_others(
    replicas: list[Replica],
) -> None:
    here, _ = replicas
    tokens = await here.login()
    asked = [asyncio.create_task(here.revoked(tokens)) for _ in range(3)]
    await asyncio.sleep(0)
    asked[0].cancel()
    assert await asyncio.gather(*asked[1:]) == [False, False]


async def test_a_revocation_during_a_look_is_not_missed_by_who_asks_after_it(
    replicas: list[Replica],
) -> None:
    here, _ = replicas
    tokens = await here.login()
    board = here.issuer.status._board
    # A look that is under way, as if it had read before the commit.
    early = asyncio.create_task(board.lists())
    await asyncio.sleep(0)
    await here.logout(tokens)
    assert await here.revoked(tokens)
    await early
    assert await here.revoked(tokens)


async def test_without_the_database_no_list_is_passed_off_as_fresh(
    replicas: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = replicas
    tokens = await here.login()
    assert not await here.revoked(tokens)

    def away() -> None:
        raise IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE, retry_after=2)

    with monkeypatch.context() as patch:
        patch.setattr(here.issuer.database, "read", away)
        assert not await here.revoked(tokens)
        here.now += 0.5
        with refused(ProblemCode.DATABASE_UNAVAILABLE):
            await here.revoked(tokens)
        with refused(ProblemCode.DATABASE_UNAVAILABLE):
            await here.guard.verify(tokens.access_token)
    assert not await here.revoked(tokens)


async def test_a_list_begun_by_one_replica_is_known_to_the_other(replicas: list[Replica]) -> None:
    here, there = replicas
    await there.revoked(await here.login())
    async with here.issuer.database.begin() as session:
        await session.execute(text("UPDATE status_lists SET next_index = 131072"))
    here.issuer.status.indexes._free.clear()
    tokens = await here.login()
    assert place_of(tokens.access_token)[0] == 2
    there.now += 0.5
    await there.guard.verify(tokens.access_token)
    assert len((await there.issuer.status.aggregation()).status_lists) == 2


async def test_a_new_signing_key_signs_the_lists_too(
    replicas: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = replicas
    tokens = await here.login()
    list_id, _ = place_of(tokens.access_token)
    document = await here.issuer.status.document(list_id)
    monkeypatch.setattr(type(here.issuer.keys), "signing_kid", "another")
    assert await here.issuer.status.document(list_id) is not document


async def test_what_was_rolled_back_has_revoked_nothing(replicas: list[Replica]) -> None:
    here, there = replicas
    tokens = await here.login()
    with suppress(ZeroDivisionError):
        async with here.issuer.database.begin() as session:
            ender = here.issuer.revoker._ender
            user_id = (await here.guard.verify(tokens.access_token)).subject
            ending = here.issuer.revoker._ending(WHERE)
            assert await ender.end_all(session, uuid.UUID(user_id), ending) == 1
            raise ZeroDivisionError
    for replica in (here, there):
        replica.now += 1
        assert not await replica.revoked(tokens)


async def test_everybody_is_revoked_a_batch_at_a_time(
    replicas: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = replicas
    monkeypatch.setattr("apostille_issuer.sessions.revoking.BATCH", 2)
    tokens = [await here.login() for _ in range(5)]
    await here.logout(tokens.pop())
    assert await there.issuer.revoker.revoke_everybody(COMMAND_LINE) == 4
    assert await there.issuer.revoker.revoke_everybody(COMMAND_LINE) == 0
    here.now += 0.5
    assert all([await here.revoked(each) for each in tokens])


async def test_the_sweep_drops_what_is_due_in_small_batches(
    database: Database, replicas: list[Replica], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = replicas
    monkeypatch.setattr(module, "SWEEP_ROWS", 2)
    for _ in range(5):
        await here.logout(await here.login())
    clock.advance(timedelta(minutes=70))
    late = await here.login()
    await here.logout(late)
    assert await here.issuer.status.sweep() == 5
    assert await here.issuer.status.sweep() == 0
    assert await scalar(database, "SELECT count(*) FROM status_entries") == 1
    assert await here.revoked(late)


async def test_sweeping_goes_on_after_a_failure(
    replicas: list[Replica], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    status = replicas[0].issuer.status
    swept = asyncio.Event()
    results: list[Exception] = [
        IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE, retry_after=2),
        ZeroDivisionError(),
    ]

    async def sweep(_now: datetime) -> int:
        await asyncio.sleep(0)
        if results:
            raise results.pop(0)
        swept.set()
        return 0

    monkeypatch.setattr(module, "SWEEP_SECONDS", 0)
    monkeypatch.setattr(status, "sweep", sweep)
    async with status.sweeping():
        await asyncio.wait_for(swept.wait(), 30)
    assert "could not drop old entries" in caplog.text
    assert "dropping old entries of status lists failed" in caplog.text


async def test_a_clock_that_is_set_forward_sweeps_nothing_that_others_need(
    database: Database,
    replicas: list[Replica],
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, _ = replicas
    status = here.issuer.status
    await here.logout(await here.login())
    swept, times, real = asyncio.Event(), [], status.sweep

    async def sweep(now: datetime) -> int:
        times.append(now)
        dropped = await real(now)
        if len(times) > 3:
            swept.set()
        return dropped

    monkeypatch.setattr(module, "SWEEP_SECONDS", 0)
    monkeypatch.setattr(status, "sweep", sweep)
    started = clock.now()
    async with status.sweeping():
        await asyncio.sleep(0)
        clock.shift_wall(timedelta(days=365))
        await asyncio.wait_for(swept.wait(), 30)
    assert max(times) - started < timedelta(minutes=10)
    assert await scalar(database, "SELECT count(*) FROM status_entries") == 1


async def test_a_board_alone_knows_no_list(database: Database, clock: ManualClock) -> None:
    assert await StatusBoard(database, clock.now).lists() == {}


# Which keys there are.


async def key_set_of(replica: Replica, tokens: TokenSet) -> str:
    list_id, _ = place_of(tokens.access_token)
    document = await replica.issuer.status.document(list_id)
    said: str = claims_in(document.token)["key_set"]
    return said


def published_by(replica: Replica) -> str:
    return key_set_thumbprint(msgspec.json.decode(replica.issuer.keys.jwks())["keys"])


@pytest.mark.parametrize("state", ["active", "next"])
async def test_what_keys_there_are_is_said_at_once_and_by_the_other_half_a_second_later(
    replicas: list[Replica], state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_time(_: float) -> None: ...

    monkeypatch.setattr(voiding, "sleep", no_time)
    here, there = replicas
    tokens = await here.login()
    before = [await key_set_of(each, tokens) for each in replicas]
    tags = [(await each.issuer.status.document(1))._etag for each in replicas]
    assert before == [published_by(here)] * 2
    assert tags[0] == tags[1]
    states = await here.states()
    await here.issuer.key_administration.withdraw(states[state], COMMAND_LINE)
    after = await key_set_of(here, tokens)
    assert after == published_by(here) != before[0]
    there.now = 0.499
    assert await key_set_of(there, tokens) == before[0]
    there.now = 0.5
    assert await key_set_of(there, tokens) == after
    list_token = (await there.issuer.status.document(1)).token
    assert header_of(list_token)["kid"] == here.issuer.keys.signing_kid
    now = [(await each.issuer.status.document(1))._etag for each in replicas]
    assert now[0] == now[1] != tags[0]


async def test_a_rotation_is_said_as_soon_as_a_replica_knows_of_it(
    replicas: list[Replica], clock: ManualClock
) -> None:
    here, there = replicas
    tokens = await here.login()
    before = await key_set_of(there, tokens)
    clock.advance(timedelta(minutes=11))
    await here.issuer.key_administration.rotate(COMMAND_LINE)
    assert await key_set_of(here, tokens) == published_by(here) != before
    await there.issuer.keys.tend()
    there.issuer.status._board.changed()
    assert there.issuer.status.get("/status-lists/1") is None
    assert await key_set_of(there, tokens) == published_by(here)


async def test_callers_at_once_come_to_two_looks_at_the_keys(replicas: list[Replica]) -> None:
    here, _ = replicas
    with statements(here.issuer.database) as seen:
        await asyncio.gather(*(here.issuer.keys.catch_up() for _ in range(50)))
    assert len(seen) <= 4
