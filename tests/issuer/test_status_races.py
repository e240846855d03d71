"""Whatever happens at once: no token outlives what revoked it, none keeps old rights."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from msgspec import Struct
from sqlalchemy.util.concurrency import await_

from apostille.clock import ManualClock
from apostille_contracts.claims import AccessTokenClaims
from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.schemas import UserDraft, UserPatch, UserView
from apostille_issuer.http.context import COMMAND_LINE, RequestContext
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions import store
from apostille_issuer.sessions.schemas import LoginRequest, TokenSet
from support.desk import PASSWORD, settings_for
from support.lists import bit_in, claims_in, place_of

pytestmark = pytest.mark.anyio

WHERE = RequestContext(request_id="test", address="192.0.2.1")
ENDED = (ProblemCode.SESSION_ENDED, ProblemCode.REFRESH_TOKEN_REUSED)
ROUNDS = 15
HEAD_START_SECONDS = 0.3
"""What is to wait gets so long to show that it does not."""


class Town(Struct):
    """Two replicas, and somebody who logs in at either."""

    replicas: list[Issuer]
    ada: UserView
    tokens: list[TokenSet]
    """All that were ever given out in a round."""

    @property
    def any_replica(self) -> Issuer:
        return random.choice(self.replicas)

    async def login(self) -> TokenSet:
        request = LoginRequest(login="ada", password=PASSWORD)
        return self._note(await self.any_replica.sessions.login(request, WHERE))

    async def refresh(self, tokens: TokenSet) -> TokenSet:
        return self._note(await self.any_replica.sessions.refresh(tokens.refresh_token, WHERE))

    async def try_refresh(self, tokens: TokenSet, times: int = 3) -> None:
        """Refresh again and again until the session has ended, as reuse ends it, too."""
        try:
            for _ in range(times):
                tokens = await self.refresh(tokens)
        except IssuerProblem as problem:
            if problem.code not in ENDED:
                raise

    async def give(self, role: str) -> None:
        await self.any_replica.access.assignments.assign(self.ada.id, role, ROOT[0])

    async def take(self, role: str) -> None:
        await self.any_replica.access.assignments.unassign(self.ada.id, role, ROOT[0])

    async def revoked(self, tokens: TokenSet) -> bool:
        list_id, idx = place_of(tokens.access_token)
        issuer = self.any_replica
        issuer.status._board.changed()  # as if half a second had passed
        return bit_in((await issuer.status.document(list_id)).token, idx) == 1

    async def stale(self, roles: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return what good tokens say whose rights are not *roles*."""
        said = [claims_in(each.access_token, AccessTokenClaims).roles for each in self.tokens]
        return [
            held
            for held, tokens in zip(said, self.tokens, strict=True)
            if held != roles and not await self.revoked(tokens)
        ]

    def _note(self, tokens: TokenSet) -> TokenSet:
        self.tokens.append(tokens)
        return tokens


ROOT = [COMMAND_LINE]


@pytest.fixture
async def town(database_url: str, clock: ManualClock) -> AsyncIterator[Town]:
    settings = settings_for(database_url, refresh_replay_window=timedelta(seconds=60))
    async with AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(Issuer(settings, clock=clock.now).running())
            for _ in range(2)
        ]
        draft = UserDraft(login="ada", password=PASSWORD)
        ada = await replicas[0].accounts.create(draft, COMMAND_LINE)
        root = await replicas[0].accounts.create(
            UserDraft(login="root", password=PASSWORD), COMMAND_LINE, superuser=True
        )
        ROOT[0] = RequestContext(request_id="test", actor_id=root.id)
        yield Town(replicas, ada, [])


async def disable(town: Town) -> None:
    patch = UserPatch(state="disabled")
    await town.any_replica.accounts.update(town.ada.id, patch, ROOT[0])


async def enable(town: Town) -> None:
    patch = UserPatch(state="active")
    await town.any_replica.accounts.update(town.ada.id, patch, ROOT[0])


async def revoke(town: Town) -> None:
    await town.any_replica.revoker.revoke_user(town.ada.id, WHERE)


async def revoke_everybody(town: Town) -> None:
    await town.any_replica.revoker.revoke_everybody(WHERE)


@pytest.mark.parametrize("end", [disable, revoke, revoke_everybody])
async def test_no_token_outlives_the_end_of_its_session(
    town: Town, end: Callable[[Town], Awaitable[None]]
) -> None:
    for _ in range(ROUNDS):
        town.tokens.clear()
        sessions = [await town.login() for _ in range(2)]
        await asyncio.gather(
            *(town.try_refresh(tokens) for tokens in sessions * 2),
            end(town),
        )
        assert [tokens for tokens in town.tokens if not await town.revoked(tokens)] == []
        await enable(town)


async def test_a_change_of_rights_and_the_end_of_a_session_at_once(town: Town) -> None:
    """The session's place is taken away, given anew, and revoked, in whatever order."""
    for number in range(ROUNDS):
        town.tokens.clear()
        tokens = await town.login()
        change = town.give if number % 2 == 0 else town.take
        await asyncio.gather(
            *(town.try_refresh(tokens) for _ in range(4)), change("staff"), revoke(town)
        )
        assert [tokens for tokens in town.tokens if not await town.revoked(tokens)] == []


async def test_no_good_token_says_what_was_so_before_a_change_of_rights(town: Town) -> None:
    for number in range(ROUNDS):
        town.tokens.clear()
        tokens = await town.login()
        give = number % 2 == 0
        await asyncio.gather(
            *(town.refresh(tokens) for _ in range(4)),
            town.login(),
            (town.give if give else town.take)("staff"),
            town.login(),
        )
        roles = ("staff",) if give else ()
        assert await town.stale(roles) == []
        renewed = await town.refresh(town.tokens[-1])
        assert not await town.revoked(renewed)
        assert claims_in(renewed.access_token, AccessTokenClaims).roles == roles


class Pause:
    """Holds whoever has read rights and not yet committed what he makes of them."""

    def __init__(self, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.gate = asyncio.Event(), asyncio.Event()
        for issuer in town.replicas:
            rights = issuer.sessions._rights
            real = rights.claims

            def claims(*given: Any, real: Any = real) -> Any:
                found = real(*given)
                self.wait()
                return found

            monkeypatch.setattr(rights, "claims", claims)
        self.loop, self.thread = asyncio.get_running_loop(), threading.get_ident()

    def wait(self) -> None:
        if threading.get_ident() == self.thread:
            await_(self._wait())
        else:  # that of a connection
            asyncio.run_coroutine_threadsafe(self._wait(), self.loop).result()

    async def _wait(self) -> None:
        self.entered.set()
        await self.gate.wait()


@pytest.mark.parametrize("kind", ["login", "refresh", "first_refresh_after_a_change", "replay"])
async def test_a_change_waits_for_tokens_that_are_being_made_with_old_rights(
    town: Town, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    tokens = await town.login()
    if kind == "first_refresh_after_a_change":
        await town.give("admin")
        await town.take("admin")
    if kind == "replay":
        await town.refresh(tokens)
    pause = Pause(town, monkeypatch)
    making = asyncio.create_task(town.login() if kind == "login" else town.refresh(tokens))
    await pause.entered.wait()
    changing = asyncio.create_task(town.give("staff"))
    await asyncio.wait([changing], timeout=HEAD_START_SECONDS)
    pause.gate.set()
    made = await making
    await changing
    assert await town.stale(("staff",)) == []
    assert claims_in((await town.refresh(made)).access_token, AccessTokenClaims).roles == ("staff",)


async def test_a_refresh_waits_for_a_change_that_is_being_made(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await town.login()
    entered, gate = asyncio.Event(), asyncio.Event()
    for issuer in town.replicas:
        watch = issuer.access._policy._watch
        real = watch.rights_changed

        async def rights_changed(*given: Any, real: Any = real) -> None:
            await real(*given)
            entered.set()
            await gate.wait()

        monkeypatch.setattr(watch, "rights_changed", rights_changed)
    changing = asyncio.create_task(town.give("staff"))
    await entered.wait()
    refreshing = asyncio.create_task(town.refresh(tokens))
    logging_in = asyncio.create_task(town.login())
    await asyncio.wait([refreshing, logging_in], timeout=HEAD_START_SECONDS)
    gate.set()
    await asyncio.gather(changing, refreshing, logging_in)
    assert await town.stale(("staff",)) == []
    assert not await town.revoked(await refreshing)


async def test_a_replay_that_gets_a_place_is_not_overtaken_by_the_end_of_its_session(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await town.login()
    await town.refresh(tokens)
    await town.give("staff")
    town.tokens.clear()
    entered, gate = asyncio.Event(), asyncio.Event()
    real = store._rows

    async def rows(*given: Any) -> Any:
        found = await real(*given)
        if not gate.is_set():
            entered.set()
            await gate.wait()
        return found

    monkeypatch.setattr(store, "_rows", rows)
    replaying = asyncio.create_task(town.try_refresh(tokens, 1))
    await entered.wait()
    revoking = asyncio.create_task(revoke(town))
    await asyncio.wait([revoking], timeout=HEAD_START_SECONDS)
    gate.set()
    await asyncio.gather(replaying, revoking)
    assert [each for each in town.tokens if not await town.revoked(each)] == []
