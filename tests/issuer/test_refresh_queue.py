"""Refreshes that wait for each other are committed together, and fail apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from apostille.clock import ManualClock
from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.db import batches
from apostille_issuer.db.attempts import ATTEMPTS
from apostille_issuer.http.context import COMMAND_LINE, RequestContext
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.schemas import LoginRequest, TokenSet
from apostille_issuer.sessions.store import Ask, Outcome, RefreshStore
from apostille_issuer.status.schemas import StatusIndex
from support.desk import PASSWORD, settings_for
from support.giving_way import given_up
from support.policy import INVENTORY, manifest, refused, scalar, statements

pytestmark = pytest.mark.anyio

WHERE = RequestContext(request_id="test", address="192.0.2.1")


@pytest.fixture
async def issuer(database_url: str, clock: ManualClock) -> AsyncIterator[Issuer]:
    async with Issuer(settings_for(database_url), clock=clock.now).running() as running:
        await running.access.push_manifest(manifest(), COMMAND_LINE)
        draft = UserDraft(login="ada", password=PASSWORD)
        await running.accounts.create(draft, COMMAND_LINE)
        yield running


async def login(issuer: Issuer, **fields: Any) -> str:
    request = LoginRequest(login="ada", password=PASSWORD, **fields)
    return (await issuer.sessions.login(request, WHERE)).refresh_token


async def refresh(issuer: Issuer, token: str) -> TokenSet:
    return await issuer.sessions.refresh(token, WHERE)


class Spy:
    """Notes how many asks each transaction had; may hold or break them."""

    def __init__(self, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.errors: list[Exception] = []
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self._store: RefreshStore = issuer.sessions._refreshes._store
        self._real = self._store.use
        monkeypatch.setattr(self._store, "use", self._use)

    async def _use(self, session: Any, asks: list[Ask], spare: list[StatusIndex]) -> list[Outcome]:
        self.sizes.append(len(asks))
        self.entered.set()
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        return await self._real(session, asks, spare)


@pytest.fixture
def spy(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(issuer, monkeypatch)


async def test_what_arrives_during_a_transaction_goes_into_the_next_one(
    issuer: Issuer, spy: Spy
) -> None:
    tokens = [await login(issuer) for _ in range(6)]
    spy.gate.clear()
    first = asyncio.create_task(refresh(issuer, tokens[0]))
    await spy.entered.wait()
    others = [asyncio.create_task(refresh(issuer, token)) for token in tokens[1:]]
    await asyncio.sleep(0)
    spy.gate.set()
    renewed = await asyncio.gather(first, *others)
    assert spy.sizes == [1, 5]
    assert len({tokens.refresh_token for tokens in renewed}) == 6


async def test_a_batch_of_many_takes_as_many_statements_as_one(issuer: Issuer) -> None:
    tokens = [await login(issuer) for _ in range(8)]
    await refresh(issuer, tokens[0])
    with statements(issuer.database) as seen:
        await asyncio.gather(*(refresh(issuer, token) for token in tokens[1:]))
    # On PostgreSQL the reach of the transaction and the order of locks take one each.
    first = ["SELECT"] * 2 if issuer.database.dialect == "postgresql" else []
    assert [statement.partition(" ")[0] for statement in seen] == [*first, "UPDATE", "SELECT"]


async def test_a_refresh_alone_is_one_update_and_one_read(issuer: Issuer) -> None:
    token = (await refresh(issuer, await login(issuer))).refresh_token
    with statements(issuer.database) as seen:
        await refresh(issuer, token)
    first = ["SELECT"] if issuer.database.dialect == "postgresql" else []  # the reach
    assert [statement.partition(" ")[0] for statement in seen] == [*first, "UPDATE", "SELECT"]


async def test_batches_are_of_bounded_size(
    issuer: Issuer, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MAX_BATCH", 3)
    tokens = [await login(issuer) for _ in range(8)]
    await asyncio.gather(*(refresh(issuer, token) for token in tokens))
    assert spy.sizes == [3, 3, 2]


async def test_twins_in_one_batch_get_one_successor(issuer: Issuer, spy: Spy) -> None:
    token = await login(issuer)
    renewed = await asyncio.gather(*(refresh(issuer, token) for _ in range(5)))
    assert spy.sizes == [5]
    assert len({tokens.refresh_token for tokens in renewed}) == 1
    assert await scalar(issuer.database, "SELECT generation FROM sessions") == 1


async def test_without_a_window_twins_in_one_batch_end_the_session(
    database_url: str, clock: ManualClock
) -> None:
    settings = settings_for(database_url, refresh_replay_window=timedelta(0))
    async with Issuer(settings, clock=clock.now).running() as issuer:
        await issuer.accounts.create(UserDraft(login="ada", password=PASSWORD), COMMAND_LINE)
        token = await login(issuer)
        first, second = await asyncio.gather(
            refresh(issuer, token), refresh(issuer, token), return_exceptions=True
        )
        assert isinstance(first, TokenSet)
        assert isinstance(second, IssuerProblem)
        assert second.code is ProblemCode.REFRESH_TOKEN_REUSED
        with refused(ProblemCode.SESSION_ENDED):
            await refresh(issuer, first.refresh_token)


async def test_theft_in_a_batch_ends_the_session_for_all_of_it(issuer: Issuer, spy: Spy) -> None:
    chain = [await login(issuer)]
    for _ in range(2):
        chain.append((await refresh(issuer, chain[-1])).refresh_token)
    spy.sizes.clear()

    async def code(token: str) -> ProblemCode | None:
        try:
            await refresh(issuer, token)
        except IssuerProblem as problem:
            return problem.code
        return None

    codes = await asyncio.gather(*map(code, (chain[0], chain[2], chain[0])))
    assert spy.sizes == [3]
    ended = ProblemCode.SESSION_ENDED
    assert codes == [ProblemCode.REFRESH_TOKEN_REUSED, ended, ended]
    assert await scalar(issuer.database, "SELECT revoked_reason FROM sessions") == "refresh_reused"


async def test_one_that_cannot_be_served_does_not_spoil_the_others(
    issuer: Issuer, spy: Spy
) -> None:
    good = [await login(issuer) for _ in range(3)]
    bad = await login(issuer, audience=INVENTORY["service"])
    await issuer.access.services.delete(INVENTORY["service"], COMMAND_LINE)
    results = await asyncio.gather(
        *(refresh(issuer, token) for token in (good[0], bad, *good[1:])), return_exceptions=True
    )
    assert spy.sizes == [4, 2, 1, 1, 2]
    problem = results.pop(1)
    assert isinstance(problem, IssuerProblem)
    assert problem.code is ProblemCode.UNKNOWN_AUDIENCE
    assert all(isinstance(result, TokenSet) for result in results)


async def test_while_the_database_is_away_nobody_is_asked_again_one_by_one(
    issuer: Issuer, spy: Spy
) -> None:
    tokens = [await login(issuer) for _ in range(3)]
    spy.errors = [IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE, retry_after=2)]
    results = await asyncio.gather(
        *(refresh(issuer, token) for token in tokens), return_exceptions=True
    )
    assert spy.sizes == [3]
    codes = [result.code for result in results if isinstance(result, IssuerProblem)]
    assert codes == [ProblemCode.DATABASE_UNAVAILABLE] * 3
    await asyncio.gather(*(refresh(issuer, token) for token in tokens))


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
async def test_a_transaction_given_up_for_another_is_tried_again(
    issuer: Issuer, spy: Spy, sqlstate: str
) -> None:
    token = await login(issuer)
    spy.errors = [given_up(sqlstate) for _ in range(ATTEMPTS - 1)]
    await refresh(issuer, token)
    assert spy.sizes == [1] * ATTEMPTS


async def test_it_is_not_tried_for_ever(issuer: Issuer, spy: Spy) -> None:
    token = await login(issuer)
    spy.errors = [given_up("40001") for _ in range(ATTEMPTS)]
    with refused(ProblemCode.DATABASE_UNAVAILABLE):
        await refresh(issuer, token)
    await refresh(issuer, token)


async def test_a_fault_of_ours_reaches_every_caller(issuer: Issuer, spy: Spy) -> None:
    tokens = [await login(issuer) for _ in range(2)]
    spy.errors = [ZeroDivisionError(), ZeroDivisionError(), ZeroDivisionError()]
    results = await asyncio.gather(
        *(refresh(issuer, token) for token in tokens), return_exceptions=True
    )
    assert [type(result) for result in results] == [ZeroDivisionError] * 2
    await asyncio.gather(*(refresh(issuer, token) for token in tokens))


@pytest.mark.parametrize("broken", [False, True])
async def test_a_caller_who_goes_away_holds_up_nobody(
    issuer: Issuer, spy: Spy, *, broken: bool
) -> None:
    tokens = [await login(issuer) for _ in range(3)]
    spy.gate.clear()
    tasks = [asyncio.create_task(refresh(issuer, token)) for token in tokens]
    await spy.entered.wait()
    tasks[1].cancel()
    if broken:
        spy.errors = [IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE, retry_after=2)]
    spy.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)
    assert isinstance(results[0], IssuerProblem if broken else TokenSet)
    # A lost answer is had again within the window.
    await refresh(issuer, tokens[1])
