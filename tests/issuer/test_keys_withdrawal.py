"""A key is withdrawn: every access token is void, every session lives on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from msgspec import Struct
from sqlalchemy import select

from apostille.clock import ManualClock
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.audit.models import AuditEvent
from apostille_issuer.http.context import COMMAND_LINE, RequestContext
from apostille_issuer.issuer import Issuer
from apostille_issuer.keys.schemas import KeyView, Withdrawal
from apostille_issuer.sessions import voiding
from apostille_issuer.sessions.schemas import LoginRequest, TokenSet
from support.desk import PASSWORD, settings_for
from support.lists import bit_in, header_of, place_of

pytestmark = pytest.mark.anyio

WHERE = RequestContext(request_id="test", address="192.0.2.1")


class House(Struct):
    """Two replicas; the first is where keys are withdrawn."""

    here: Issuer
    there: Issuer

    async def login(self, issuer: Issuer | None = None) -> TokenSet:
        request = LoginRequest(login="ada", password=PASSWORD)
        return await (issuer or self.here).sessions.login(request, WHERE)

    async def refresh(self, tokens: TokenSet, issuer: Issuer | None = None) -> TokenSet:
        return await (issuer or self.here).sessions.refresh(tokens.refresh_token, WHERE)

    async def withdraw(self, kid: str) -> Withdrawal:
        return await self.here.key_administration.withdraw(kid, COMMAND_LINE)

    async def key(self, state: str) -> KeyView:
        page = await self.here.key_administration.page(cursor=None, limit=10)
        (key,) = [key for key in page.items if key.state == state]
        return key

    async def revoked(self, tokens: TokenSet) -> bool:
        list_id, idx = place_of(tokens.access_token)
        self.there.status._board.changed()  # as if half a second had passed
        return bit_in((await self.there.status.document(list_id)).token, idx) == 1

    async def counts(self, kid: str) -> list[int]:
        """Return what the audit trail says was voided for *kid*, batch by batch."""
        found = (
            select(AuditEvent)
            .where(AuditEvent.tag == "session:tokens:voided", AuditEvent.target == f"key:{kid}")
            .order_by(AuditEvent.id)
        )
        async with self.here.database.read() as session:
            events = (await session.scalars(found)).all()
        return [(event.after or {})["sessions"] for event in events]


@pytest.fixture
async def house(database_url: str, clock: ManualClock) -> AsyncIterator[House]:
    settings = settings_for(database_url, key_check_interval=timedelta(milliseconds=100))
    async with AsyncExitStack() as stack:
        here, there = [
            await stack.enter_async_context(Issuer(settings, clock=clock.now).running())
            for _ in range(2)
        ]
        await here.accounts.create(UserDraft(login="ada", password=PASSWORD), COMMAND_LINE)
        yield House(here, there)


def kid_of(tokens: TokenSet) -> str:
    return str(header_of(tokens.access_token)["kid"])


async def test_every_access_token_is_void_and_every_session_lives_on(house: House) -> None:
    sessions = [await house.login() for _ in range(3)]
    stolen = kid_of(sessions[0])
    done = await house.withdraw(stolen)
    assert (done.key.kid, done.key.state, done.voided) == (stolen, "retired", 3)
    assert all([await house.revoked(tokens) for tokens in sessions])
    for tokens in sessions:
        renewed = await house.refresh(tokens)
        assert kid_of(renewed) == house.here.keys.signing_kid != stolen
        assert place_of(renewed.access_token) != place_of(tokens.access_token)
        assert not await house.revoked(renewed)
    assert await house.counts(stolen) == [3]


async def test_a_key_that_never_signed_voids_nothing(house: House) -> None:
    tokens = await house.login()
    waiting = await house.key("next")
    assert (await house.withdraw(waiting.kid)).voided == 0
    assert not await house.revoked(tokens)
    assert await house.counts(waiting.kid) == []


async def test_a_key_that_signs_no_more_voids_what_it_may_have_signed(
    house: House, clock: ManualClock
) -> None:
    tokens = await house.login()
    clock.advance(timedelta(minutes=11))
    await house.here.key_administration.rotate(COMMAND_LINE)
    assert kid_of(tokens) == (await house.key("retiring")).kid
    assert (await house.withdraw(kid_of(tokens))).voided == 1
    assert await house.revoked(tokens)


async def test_many_sessions_are_voided_batch_by_batch(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voiding, "BATCH", 2)
    sessions = [await house.login() for _ in range(5)]
    assert (await house.withdraw(kid_of(sessions[0]))).voided == 5
    assert all([await house.revoked(tokens) for tokens in sessions])
    assert await house.counts(kid_of(sessions[0])) == [2, 2, 1]


async def test_withdrawing_again_finishes_what_was_interrupted(
    house: House, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    monkeypatch.setattr(voiding, "BATCH", 2)
    sessions = [await house.login() for _ in range(5)]
    stolen = kid_of(sessions[0])
    renewer = house.here.key_administration._watch._renewer  # type: ignore[attr-defined]
    void, calls = renewer.void, 0

    async def break_down(*given: object) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise ConnectionAbortedError
        count: int = await void(*given)
        return count

    monkeypatch.setattr(renewer, "void", break_down)
    with pytest.raises(ConnectionAbortedError):
        await house.withdraw(stolen)
    assert sum([await house.revoked(tokens) for tokens in sessions]) == 2
    monkeypatch.setattr(renewer, "void", void)
    clock.advance(timedelta(minutes=3))
    later = await house.login()
    assert (await house.withdraw(stolen)).voided == 3
    assert all([await house.revoked(tokens) for tokens in sessions])
    # What another key signed stays good.
    assert not await house.revoked(later)
    assert (await house.withdraw(stolen)).voided == 0
    assert await house.counts(stolen) == [2, 2, 1]


async def test_what_a_replica_signs_before_it_knows_is_void_as_well(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await house.login()
    stolen = kid_of(tokens)
    between: list[TokenSet] = []

    async def meanwhile(seconds: float) -> None:
        assert seconds == pytest.approx(0.15)
        between.append(await house.refresh(tokens, house.there))
        between.append(await house.login(house.there))
        await house.there.keys.tend()

    monkeypatch.setattr(voiding, "sleep", meanwhile)
    done = await house.withdraw(stolen)
    assert [kid_of(each) for each in between] == [stolen] * 2
    assert done.voided == 3
    assert all([await house.revoked(each) for each in between])
    renewed = await house.refresh(between[0], house.there)
    assert kid_of(renewed) == house.here.keys.signing_kid
    assert not await house.revoked(renewed)


async def test_no_token_of_a_withdrawn_key_outlives_a_race_with_refreshes(house: House) -> None:
    for _ in range(8):
        made = [await house.login() for _ in range(3)]
        stolen = house.here.keys.signing_kid

        async def go_on(tokens: TokenSet, made: list[TokenSet] = made) -> None:
            for _ in range(4):
                tokens = await house.refresh(tokens)
                made.append(tokens)

        await asyncio.gather(*(go_on(tokens) for tokens in tuple(made)), house.withdraw(stolen))
        assert [t for t in made if kid_of(t) == stolen and not await house.revoked(t)] == []
        renewed = await house.refresh(made[-1])
        assert kid_of(renewed) != stolen
        assert not await house.revoked(renewed)
