"""What waits for the same thing is done together, and fails apart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from apostille_contracts.problems import ProblemCode
from apostille_issuer.db import batches as module
from apostille_issuer.db.batches import Batches
from apostille_issuer.problems import IssuerProblem

pytestmark = pytest.mark.anyio

FOREVER = timedelta(hours=1)


class Work:
    """Doubles numbers, in batches that are noted; a gate holds them, some numbers are bad."""

    def __init__(self, *, patience: timedelta = FOREVER, bad: Sequence[int] = ()) -> None:
        self.batches = Batches(self._commit, patience=patience)
        self.seen: list[list[int]] = []
        self.bad = bad
        self.away = False
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def _commit(self, asks: Sequence[int]) -> list[int]:
        self.seen.append(list(asks))
        self.entered.set()
        await self.gate.wait()
        if self.away:
            raise IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE, retry_after=2)
        if set(asks) & set(self.bad):
            raise ValueError(asks)
        return [ask * 2 for ask in asks]

    async def hold(self, *asks: int) -> list[asyncio.Task[int]]:
        """Let the first of *asks* be under way, and the others wait."""
        self.gate.clear()
        self.entered.clear()
        first = asyncio.create_task(self.batches.outcome_of(asks[0]))
        await self.entered.wait()
        others = [asyncio.create_task(self.batches.outcome_of(ask)) for ask in asks[1:]]
        await asyncio.sleep(0)
        return [first, *others]


async def test_who_is_alone_does_not_wait_for_others() -> None:
    work = Work()
    assert [await work.batches.outcome_of(number) for number in range(3)] == [0, 2, 4]
    assert work.seen == [[0], [1], [2]]


async def test_what_arrives_meanwhile_goes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH", 4)
    work = Work()
    tasks = await work.hold(*range(7))
    work.gate.set()
    assert list(await asyncio.gather(*tasks)) == [number * 2 for number in range(7)]
    assert work.seen == [[0], [1, 2, 3, 4], [5, 6]]


async def test_who_fails_fails_alone() -> None:
    work = Work(bad=(3, 6))
    outcomes = await asyncio.gather(
        *(work.batches.outcome_of(number) for number in range(8)), return_exceptions=True
    )
    assert [outcome for outcome in outcomes if not isinstance(outcome, ValueError)] == [
        number * 2 for number in range(8) if number not in {3, 6}
    ]
    assert [str(outcomes[number]) for number in (3, 6)] == ["[3]", "[6]"]


async def test_who_has_gone_away_before_his_turn_has_nothing_done() -> None:
    work = Work()
    tasks = await work.hold(1, 2, 3)
    tasks[1].cancel()
    work.gate.set()
    assert list(await asyncio.gather(tasks[0], tasks[2])) == [2, 6]
    assert work.seen == [[1], [3]]
    tasks = await work.hold(4, 5)
    tasks[1].cancel()
    work.gate.set()
    assert await tasks[0] == 8
    for _ in range(10):
        await asyncio.sleep(0)
    assert work.seen[2:] == [[4]]
    assert await work.batches.outcome_of(6) == 12
    assert work.seen[2:] == [[4], [6]]


async def test_who_goes_away_while_halves_are_tried_is_left_out() -> None:
    work = Work(bad=(1,))
    tasks = await work.hold(0, 1, 2, 3, 4)
    work.entered.clear()
    work.gate.set()
    await work.entered.wait()
    tasks[4].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert work.seen[1] == [1, 2, 3, 4]
    assert [3] in work.seen
    assert [4] not in work.seen


async def test_while_the_database_is_away_nobody_waits_for_longer_than_his_patience() -> None:
    work = Work(patience=timedelta(0))
    tasks = await work.hold(*range(400))
    work.away = True
    work.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    codes = [outcome.code for outcome in outcomes if isinstance(outcome, IssuerProblem)]
    assert codes == [ProblemCode.DATABASE_UNAVAILABLE] * 400
    assert work.seen == [[0]]
    work.away = False
    assert await work.batches.outcome_of(1) == 2


async def test_who_has_patience_left_is_tried() -> None:
    work = Work()
    tasks = await work.hold(0, 1, 2)
    work.away = True
    work.gate.set()
    with pytest.raises(IssuerProblem):
        await tasks[0]
    work.away = False
    assert await asyncio.gather(*tasks[1:]) == [2, 4]


async def test_between_halves_others_have_their_turn() -> None:
    work, turns = Work(bad=tuple(range(0, 64, 2))), 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(take_turns())
    await asyncio.gather(
        *(work.batches.outcome_of(number) for number in range(64)), return_exceptions=True
    )
    other.cancel()
    assert turns >= len(work.seen)


async def test_when_the_loop_ends_nobody_is_left_for_the_next_one() -> None:
    work = Work()
    tasks = await work.hold(1, 2)
    working = work.batches._working
    assert working is not None
    working.cancel()
    for task in tasks[1:]:
        with pytest.raises(asyncio.CancelledError):
            await task
    tasks[0].cancel()
    work.gate.set()
    assert await work.batches.outcome_of(3) == 6
    assert work.seen == [[1], [3]]
