"""Threads that hash: told in groups while others wait, at once where nobody does."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from apostille_issuer.accounts import hash_threads as module
from apostille_issuer.accounts.hash_threads import Full, HashThreads

pytestmark = pytest.mark.anyio


class Line:
    """Works that wait for one thread, and are let through one at a time."""

    def __init__(self, threads: HashThreads) -> None:
        self.threads = threads
        self._begun = threading.Semaphore(0)
        self._may_end = threading.Semaphore(0)
        self.done: list[int] = []

    async def stand(self, number: int, error: Exception | None = None) -> asyncio.Task[int]:
        """Add a work to the end."""
        task = asyncio.create_task(self.threads.run(lambda: self._work(number, error)))
        await asyncio.sleep(0)
        return task

    async def begun(self) -> None:
        """Wait until the next work has begun: all that is done before it is done."""
        assert await asyncio.to_thread(self._begun.acquire, timeout=30)

    def let_through(self, count: int = 1) -> None:
        """Let *count* works end."""
        self._may_end.release(count)

    def _work(self, number: int, error: Exception | None) -> int:
        self._begun.release()
        assert self._may_end.acquire(timeout=30)
        self.done.append(number)
        if error is not None:
            raise error
        return number


async def results(*tasks: asyncio.Task[int]) -> list[int]:
    """Return what came of all of them."""
    return list(await asyncio.gather(*tasks))


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    # However slow the machine is: how long results are held is a test's own affair.
    monkeypatch.setattr(module, "HOLD_SECONDS", 1e9)
    threads = HashThreads(1, 20, lambda: None)
    line = Line(threads)
    yield line
    line.let_through(20)
    threads.close()


async def test_who_is_alone_is_told_at_once(line: Line) -> None:
    for number in range(3):
        line.let_through()
        assert await (await line.stand(number)) == number


async def test_while_others_wait_results_are_told_in_groups(line: Line) -> None:
    tasks = [await line.stand(number) for number in range(6)]
    for number in range(3):
        await line.begun()
        assert not any(task.done() for task in tasks), number
        line.let_through()
    await line.begun()
    line.let_through()
    assert await results(*tasks[: module.GROUP]) == [0, 1, 2, 3]
    await line.begun()
    assert not any(task.done() for task in tasks[module.GROUP :])
    # The last one has nobody behind him.
    line.let_through(2)
    assert await results(*tasks[module.GROUP :]) == [4, 5]
    assert line.done == list(range(6))


async def test_nobody_is_held_for_longer_than_the_next_work_is_likely_to_take(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HOLD_SECONDS", 0.0)
    tasks = [await line.stand(number) for number in range(3)]
    for number, task in enumerate(tasks):
        await line.begun()
        line.let_through()
        assert await task == number


async def test_who_is_held_for_somebody_who_leaves_is_told(line: Line) -> None:
    first, second = await line.stand(1), await line.stand(2)
    third = await line.stand(3)
    await line.begun()
    line.let_through()
    await line.begun()
    assert not first.done()
    line.let_through()
    await line.begun()
    assert not second.done()
    third.cancel()  # it has begun: nobody stops it, but nobody waits for it either
    line.let_through()
    assert await results(first, second) == [1, 2]
    assert third.cancelled()


async def test_a_group_has_errors_of_its_own(line: Line) -> None:
    good = await line.stand(1)
    bad = await line.stand(2, ValueError("mine alone"))
    last = await line.stand(3)
    line.let_through(3)
    assert await results(good, last) == [1, 3]
    with pytest.raises(ValueError, match="mine alone"):
        await bad


async def test_who_is_cancelled_in_the_queue_is_never_done(line: Line) -> None:
    running, queued = await line.stand(1), await line.stand(2)
    await line.begun()
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    line.let_through()
    assert await running == 1
    assert line.done == [1]


async def test_closing_drops_who_waits_and_tells_who_was_held(line: Line) -> None:
    held, running, queued = [await line.stand(number) for number in range(3)]
    await line.begun()
    line.let_through()
    await line.begun()
    assert not held.done()
    closing = asyncio.create_task(asyncio.to_thread(line.threads.close))
    while line.threads._unfinished > 1:  # noqa: ASYNC110 - set in another thread
        await asyncio.sleep(0.001)
    line.let_through()
    await closing
    assert await results(held, running) == [0, 1]
    with pytest.raises(asyncio.CancelledError):
        await queued


async def test_who_was_held_for_somebody_who_could_not_come_is_told(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place of who finds the threads closed is taken for a moment."""

    def refuse(*_: object) -> None:
        line.let_through()
        while not line.threads._untold:
            time.sleep(0.001)
        raise RuntimeError

    held = await line.stand(1)
    await line.begun()
    monkeypatch.setattr(line.threads._threads, "submit", refuse)
    with pytest.raises(RuntimeError):
        await line.threads.run(lambda: 2)
    assert await held == 1


async def test_there_are_places_for_so_many_and_no_more() -> None:
    threads = HashThreads(1, 1, lambda: None)
    line = Line(threads)
    tasks = [await line.stand(number) for number in range(2)]
    with pytest.raises(Full):
        await threads.run(lambda: None)
    line.let_through(2)
    assert await results(*tasks) == [0, 1]
    await threads.run(lambda: None)
    threads.close()


def test_a_loop_that_has_ended_is_told_nothing() -> None:
    threads = HashThreads(1, 1, lambda: None)
    may_end = threading.Event()

    async def leave() -> None:
        task = asyncio.create_task(threads.run(lambda: may_end.wait(30)))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    may_end.set()
    threads.close()
    assert threads._unfinished == 0


@pytest.mark.skipif(sys.platform != "linux", reason="threads with a priority of their own")
async def test_hashes_let_others_go_first() -> None:
    threads = HashThreads(1, 1, lambda: None)
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    theirs = await threads.run(lambda: os.getpriority(os.PRIO_PROCESS, 0))
    assert theirs == min(mine + module.NICE, 19)
    assert os.getpriority(os.PRIO_PROCESS, 0) == mine
    threads.close()


@pytest.mark.parametrize("platform", ["linux", "elsewhere"])
async def test_where_that_cannot_be_hashes_are_done_all_the_same(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    def refused(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "setpriority", refused)
    threads = HashThreads(1, 1, lambda: None)
    assert await threads.run(lambda: "done") == "done"
    threads.close()
