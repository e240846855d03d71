"""The refresh chain against a naive model, over any history of uses and pauses."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from apostille.clock import ManualClock
from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.db.schema import migrate
from apostille_issuer.http.context import COMMAND_LINE, RequestContext
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.schemas import LoginRequest, TokenSet
from support.desk import PASSWORD, settings_for

WHERE = RequestContext(request_id="test", address="192.0.2.1")
WINDOW = timedelta(seconds=10)
IDLE = timedelta(days=14)
ABSOLUTE = timedelta(days=90)

PAUSES = st.sampled_from(
    [
        timedelta(milliseconds=1),
        timedelta(seconds=4),
        WINDOW - timedelta(milliseconds=1),
        WINDOW,
        timedelta(days=1),
        IDLE - timedelta(seconds=11),
        IDLE,
    ]
)


class Chain:
    """What a session should be: kept as plainly as it can be said."""

    def __init__(self, tokens: TokenSet, now: datetime) -> None:
        self.tokens = [tokens.refresh_token]
        """Every token handed out, by generation; the last one is good."""
        self.used_at: list[datetime] = []
        self.idle_until = now + IDLE
        self.until = now + ABSOLUTE
        self.ended = False

    def expected(self, generation: int, now: datetime) -> ProblemCode | None:
        """Use the token of *generation*; return why not, or ``None``."""
        if self.ended or now >= self.idle_until or now >= self.until:
            return ProblemCode.SESSION_ENDED
        if generation == len(self.tokens) - 1:
            self.used_at.append(now)
            self.idle_until = now + IDLE
            return None
        lost_a_race = generation == len(self.tokens) - 2 and now - self.used_at[-1] < WINDOW
        if lost_a_race:
            return None
        self.ended = True
        return ProblemCode.REFRESH_TOKEN_REUSED


class World:
    """One issuer for all histories; each history has sessions of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, issuer: Issuer, clock: ManualClock) -> None:
        self.loop = loop
        self.issuer = issuer
        self.clock = clock

    def login(self) -> TokenSet:
        request = LoginRequest(login="ada", password=PASSWORD)
        return self.loop.run_until_complete(self.issuer.sessions.login(request, WHERE))

    def refresh(self, *tokens: str) -> list[TokenSet | ProblemCode]:
        """Use *tokens* at once."""

        async def one(token: str) -> TokenSet | ProblemCode:
            try:
                return await self.issuer.sessions.refresh(token, WHERE)
            except IssuerProblem as problem:
                return problem.code

        async def all_of_them() -> list[TokenSet | ProblemCode]:
            return await asyncio.gather(*map(one, tokens))

        return self.loop.run_until_complete(all_of_them())

    def end(self, token: str) -> None:
        self.loop.run_until_complete(self.issuer.sessions.end_by_token(token, WHERE))


class RefreshChain(RuleBasedStateMachine):
    """Any number of sessions; any token of theirs, at any time, alone or with a twin."""

    world: World
    chains = Bundle("chains")

    @initialize(target=chains)
    def first(self) -> Chain:
        return Chain(self.world.login(), self.world.clock.now())

    @rule(target=chains)
    def login(self) -> Chain:
        return Chain(self.world.login(), self.world.clock.now())

    @rule(pause=PAUSES)
    def wait(self, pause: timedelta) -> None:
        self.world.clock.advance(pause)

    @rule(chain=chains)
    def refresh(self, chain: Chain) -> None:
        self._use(chain, len(chain.tokens) - 1)

    @rule(chain=chains, back=st.integers(1, 4))
    def use_an_old_one(self, chain: Chain, back: int) -> None:
        self._use(chain, max(0, len(chain.tokens) - 1 - back))

    @rule(chain=chains, twins=st.integers(2, 4))
    def refresh_at_once(self, chain: Chain, twins: int) -> None:
        self._use(chain, len(chain.tokens) - 1, times=twins)

    @rule(chain=chains)
    def use_one_that_never_was(self, chain: Chain) -> None:
        session = uuid.UUID(chain.tokens[0].split("_")[2])
        future = self.world.issuer.sessions._tokens.make(session, len(chain.tokens))
        (outcome,) = self.world.refresh(future)
        assert outcome is ProblemCode.INVALID_REFRESH_TOKEN

    @rule(chain=chains, which=st.integers(0, 100))
    def logout(self, chain: Chain, which: int) -> None:
        self.world.end(chain.tokens[which % len(chain.tokens)])
        chain.ended = True

    def _use(self, chain: Chain, generation: int, times: int = 1) -> None:
        outcomes = self.world.refresh(*[chain.tokens[generation]] * times)
        now = self.world.clock.now()
        for outcome in outcomes:
            expected = chain.expected(generation, now)
            if expected is not None:
                assert outcome is expected
                continue
            assert isinstance(outcome, TokenSet)
            if generation == len(chain.tokens) - 1:
                chain.tokens.append(outcome.refresh_token)
            assert outcome.refresh_token == chain.tokens[generation + 1]
            left = min(chain.idle_until, chain.until) - now
            assert outcome.refresh_expires_in == int(left.total_seconds())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "apostille.sqlite3"
    migrate(f"sqlite:///{path}")
    clock = ManualClock(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    loop = asyncio.new_event_loop()
    issuer = Issuer(settings_for(f"sqlite:///{path}"), clock=clock.now)
    running = issuer.running()
    loop.run_until_complete(running.__aenter__())
    draft = UserDraft(login="ada", password=PASSWORD)
    loop.run_until_complete(issuer.accounts.create(draft, COMMAND_LINE))
    yield World(loop, issuer, clock)
    loop.run_until_complete(running.__aexit__(None, None, None))
    loop.close()


def test_the_chain_keeps_to_its_model(world: World) -> None:
    machine = type("RefreshChainHere", (RefreshChain,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
