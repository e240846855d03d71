"""Keys rotate by themselves, on command and in an emergency; replicas agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from apostille.clock import ManualClock
from apostille_contracts.problems import ProblemCode
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.keys.models import SigningKey
from apostille_issuer.keys.schedule import KeyState
from apostille_issuer.problems import IssuerProblem
from support.keys import ENCRYPTION, SCHEDULE, Replica, signer_of, until

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)


@pytest.fixture
async def pair(database_url: str, clock: ManualClock) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two processes on one database."""
    first, second = Replica(database_url, clock), Replica(database_url, clock)
    for replica in (first, second):
        await replica.keys.start(ENCRYPTION)
    yield first, second
    for replica in (first, second):
        await replica.database.close()


@pytest.fixture
async def issuer(pair: tuple[Replica, Replica]) -> Replica:
    return pair[0]


# On schedule.


async def test_a_successor_is_published_all_the_time_and_signs_after_a_lifetime(
    issuer: Replica, clock: ManualClock
) -> None:
    first, successor = issuer.keys.signing_kid, set(issuer.kids)
    successor -= {first}
    clock.advance(SCHEDULE.lifetime - SECOND)
    await issuer.keys.tend()
    assert issuer.keys.signing_kid == first
    clock.advance(SECOND)
    await issuer.keys.tend()
    assert {issuer.keys.signing_kid} == successor
    assert first in issuer.kids
    assert len(issuer.kids) == 3
    (rotated,) = await issuer.events("keys:key:rotated")
    assert rotated.target == f"key:{issuer.keys.signing_kid}"
    assert rotated.request_id == "schedule"


async def test_a_key_is_published_until_its_last_token_has_expired_and_then_erased(
    issuer: Replica, clock: ManualClock
) -> None:
    first = issuer.keys.signing_kid
    token = await issuer.keys.sign(b"{}")
    clock.advance(SCHEDULE.lifetime)
    await issuer.keys.tend()
    clock.advance(SCHEDULE.retirement - SECOND)
    await issuer.keys.tend()
    assert signer_of(token, issuer.keys.jwks()) == first
    clock.advance(SECOND)
    await issuer.keys.tend()
    assert first not in issuer.kids
    assert [event.target for event in await issuer.events("keys:key:retired")] == [f"key:{first}"]
    async with issuer.database.read() as session:
        row = await session.get(SigningKey, first)
    assert row is not None
    assert (row.state, row.encrypted_private) == ("retired", b"")


async def test_years_go_by_and_one_key_signs_at_any_time(
    issuer: Replica, clock: ManualClock
) -> None:
    seen = set()
    for _ in range(24):
        clock.advance(timedelta(days=31))
        await issuer.keys.tend()
        seen.add(signer_of(await issuer.keys.sign(b"{}"), issuer.keys.jwks()))
        counted = list((await issuer.states()).values())
        assert (counted.count("active"), counted.count("next")) == (1, 1)
    assert len(seen) == 24


async def test_nothing_changed_is_the_same_document(issuer: Replica) -> None:
    before = issuer.keys.jwks()
    await issuer.keys.tend()
    assert issuer.keys.jwks() is before


async def test_a_process_that_only_starts_changes_nothing_that_is_due(
    issuer: Replica, database_url: str, clock: ManualClock
) -> None:
    clock.advance(SCHEDULE.lifetime)
    before = await issuer.states()
    command = Replica(database_url, clock)
    await command.keys.start(ENCRYPTION)
    assert await issuer.states() == before
    await command.database.close()


async def test_a_clock_that_steps_back_takes_nothing_back(
    issuer: Replica, clock: ManualClock
) -> None:
    clock.advance(SCHEDULE.lifetime)
    await issuer.keys.tend()
    before = await issuer.states(), issuer.keys.signing_kid
    clock.shift_wall(-timedelta(minutes=5))
    await issuer.keys.tend()
    assert (await issuer.states(), issuer.keys.signing_kid) == before


# Several replicas.


async def test_replicas_that_are_due_at_once_rotate_once(
    pair: tuple[Replica, Replica], clock: ManualClock
) -> None:
    for _ in range(5):
        clock.advance(SCHEDULE.lifetime)
        await asyncio.gather(*(replica.keys.tend() for replica in pair))
        await asyncio.gather(*(replica.keys.tend() for replica in pair))
        assert pair[0].keys.signing_kid == pair[1].keys.signing_kid
        assert pair[0].keys.jwks() == pair[1].keys.jwks()
    assert len(await pair[0].events("keys:key:rotated")) == 5


async def test_a_replica_that_lags_signs_with_a_key_that_is_still_published(
    pair: tuple[Replica, Replica], clock: ManualClock
) -> None:
    ahead, behind = pair
    clock.advance(SCHEDULE.lifetime)
    await ahead.keys.tend()
    late = await behind.keys.sign(b"{}")
    assert signer_of(late, ahead.keys.jwks()) == behind.keys.signing_kid
    # And what the other one signs is published by the one that lags.
    assert signer_of(await ahead.keys.sign(b"{}"), behind.keys.jwks()) == ahead.keys.signing_kid


async def test_commands_at_once_leave_one_key_that_signs_and_one_that_waits(
    pair: tuple[Replica, Replica], clock: ManualClock
) -> None:
    clock.advance(SCHEDULE.publication)
    acts = [replica.admin.rotate(COMMAND_LINE) for replica in pair for _ in range(3)]
    await asyncio.gather(*acts, *(replica.keys.tend() for replica in pair))
    counted = list((await pair[0].states()).values())
    assert (counted.count("active"), counted.count("next")) == (1, 1)
    for replica in pair:
        await replica.keys.tend()
        assert signer_of(await replica.keys.sign(b"{}"), pair[0].keys.jwks())


async def test_while_it_serves_a_process_follows_the_others(
    database_url: str, clock: ManualClock, pair: tuple[Replica, Replica]
) -> None:
    serving = Replica(database_url, clock, check_interval=timedelta(milliseconds=10))
    await serving.keys.start(ENCRYPTION)
    async with asyncio.timeout(20), serving.keys.tended():
        await pair[0].admin.withdraw(serving.keys.signing_kid, COMMAND_LINE)
        await until(lambda: serving.keys.signing_kid == pair[0].keys.signing_kid)
    await serving.database.close()


async def test_what_goes_wrong_meanwhile_does_not_end_it(
    database_url: str,
    clock: ManualClock,
    pair: tuple[Replica, Replica],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serving = Replica(database_url, clock, check_interval=timedelta(milliseconds=10))
    await serving.keys.start(ENCRYPTION)
    failures = [IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE), ZeroDivisionError("a defect")]
    read = serving.keys.tools.reader.read

    async def failing(*arguments: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return await read(*arguments)

    monkeypatch.setattr(serving.keys.tools.reader, "read", failing)
    async with asyncio.timeout(20), serving.keys.tended():
        await pair[0].admin.withdraw(serving.keys.signing_kid, COMMAND_LINE)
        await until(lambda: serving.keys.signing_kid == pair[0].keys.signing_kid)
    await serving.database.close()
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "ERROR"]


# On command.


async def test_rotating_is_immediate_once_the_successor_is_known_everywhere(
    issuer: Replica, clock: ManualClock
) -> None:
    first = issuer.keys.signing_kid
    clock.advance(SCHEDULE.publication)
    successor = await issuer.admin.rotate(COMMAND_LINE)
    assert successor.state is KeyState.ACTIVE
    assert issuer.keys.signing_kid == successor.kid != first
    (event,) = await issuer.events("keys:key:rotated")
    assert event.request_id == "command-line"


async def test_rotating_a_second_time_waits_until_the_new_successor_is_known(
    issuer: Replica, clock: ManualClock
) -> None:
    clock.advance(SCHEDULE.publication)
    signing = await issuer.admin.rotate(COMMAND_LINE)
    planned = await issuer.admin.rotate(COMMAND_LINE)
    assert planned.state is KeyState.NEXT
    assert planned.activates_at == clock.now() + SCHEDULE.publication
    assert issuer.keys.signing_kid == signing.kid
    clock.advance(SCHEDULE.publication)
    await issuer.keys.tend()
    assert issuer.keys.signing_kid == planned.kid


async def test_an_algorithm_without_keys_cannot_be_rotated(issuer: Replica) -> None:
    with pytest.raises(IssuerProblem) as refused:
        await issuer.admin.rotate(COMMAND_LINE, "RS256")
    assert refused.value.code is ProblemCode.VALIDATION_FAILED


# In an emergency.


async def test_a_withdrawn_key_leaves_the_key_set_at_once_and_its_successor_signs(
    pair: tuple[Replica, Replica],
) -> None:
    here, there = pair
    stolen = here.keys.signing_kid
    (known,) = set(here.kids) - {stolen}
    withdrawn = await here.admin.withdraw(stolen, COMMAND_LINE)
    assert withdrawn.key.state is KeyState.RETIRED
    assert stolen not in here.kids
    assert stolen not in here.keys.static_keys.keyring.keys
    # What signs now was published before, so no service has to ask.
    assert here.keys.signing_kid == known
    await there.keys.tend()
    assert there.keys.jwks() == here.keys.jwks()
    events = await here.events("keys:key:withdrawn")
    assert [event.target for event in events] == [f"key:{stolen}"]


async def test_it_is_told_until_when_a_withdrawn_key_signed(
    issuer: Replica, clock: ManualClock
) -> None:
    active = issuer.keys.signing_kid
    (waiting,) = set(issuer.kids) - {active}
    clock.advance(timedelta(days=1))
    last = clock.now() + SCHEDULE.spread
    await issuer.admin.withdraw(waiting, COMMAND_LINE)
    await issuer.admin.withdraw(active, COMMAND_LINE)
    clock.advance(timedelta(minutes=5))
    await issuer.admin.withdraw(active, COMMAND_LINE)
    assert issuer.told == [(waiting, None), (active, last), (active, last)]


async def test_withdrawing_twice_changes_nothing(issuer: Replica) -> None:
    stolen = issuer.keys.signing_kid
    await issuer.admin.withdraw(stolen, COMMAND_LINE)
    before = await issuer.states()
    await issuer.admin.withdraw(stolen, COMMAND_LINE)
    assert await issuer.states() == before
    assert len(await issuer.events("keys:key:withdrawn")) == 1


async def test_all_keys_can_be_withdrawn_and_tokens_go_on(issuer: Replica) -> None:
    before = set(issuer.kids)
    for kid in before:
        await issuer.admin.withdraw(kid, COMMAND_LINE)
    token = await issuer.keys.sign(b"{}")
    assert signer_of(token, issuer.keys.jwks()) not in before
    assert before.isdisjoint(issuer.kids)


async def test_a_key_that_never_was_cannot_be_withdrawn(issuer: Replica) -> None:
    with pytest.raises(IssuerProblem) as refused:
        await issuer.admin.withdraw("never", COMMAND_LINE)
    assert refused.value.code is ProblemCode.NOT_FOUND
