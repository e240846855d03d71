"""The hashing pool: as wide as the cores, a queue of bounded length."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts import hashing as module
from apostille_issuer.accounts.hashing import Hashing, Verified, WrongPassword
from apostille_issuer.problems import IssuerProblem

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery staple"


def cheap(**options: int) -> Hashing:
    return Hashing(**({"memory_kib": 64, "time_cost": 1} | options))


@pytest.fixture
def hashing() -> Iterator[Hashing]:
    pool = cheap()
    yield pool
    pool.close()


async def test_a_password_is_verified_against_its_own_hash(hashing: Hashing) -> None:
    stored = await hashing.hash(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert await hashing.verify(PASSWORD, stored) == Verified(outdated=False)
    assert stored != await hashing.hash(PASSWORD)


@pytest.mark.parametrize(
    "other", ["Correct horse battery staple", PASSWORD + " ", "", PASSWORD[:-1]]
)
async def test_another_password_is_wrong(hashing: Hashing, other: str) -> None:
    stored = await hashing.hash(PASSWORD)
    with pytest.raises(WrongPassword):
        await hashing.verify(other, stored)


async def test_nothing_is_cut_off_or_normalised(hashing: Hashing) -> None:
    long = "x" * 250 + "\x00\u212b" + "y" * 4
    stored = await hashing.hash(long)
    for other in (long[:-1], long.replace("\u212b", "\u00c5"), long[:250]):
        with pytest.raises(WrongPassword):
            await hashing.verify(other, stored)
    await hashing.verify(long, stored)


async def test_no_hash_costs_what_a_hash_costs(hashing: Hashing) -> None:
    stored = await hashing.hash(PASSWORD)
    before = hashing.computed
    for against in (None, stored):
        with pytest.raises(WrongPassword):
            await hashing.verify("wrong", against)
    assert hashing.computed == before + 2
    parameters = hashing._nobody.rpartition("$")[0].rpartition("$")[0]
    assert stored.startswith(parameters + "$")
    assert len(hashing._nobody) == len(stored)


@pytest.mark.parametrize("stored", ["", "plain text", "$argon2id$v=19$m=64,t=1,p=1$broken", "!"])
async def test_an_unreadable_hash_lets_nobody_in(hashing: Hashing, stored: str) -> None:
    with pytest.raises(WrongPassword) as caught:
        await hashing.verify(PASSWORD, stored)
    assert caught.value.__cause__ is not None


async def test_a_hash_with_other_parameters_is_outdated(hashing: Hashing) -> None:
    stored = await hashing.hash(PASSWORD)
    stronger = cheap(time_cost=2)
    assert await stronger.verify(PASSWORD, stored) == Verified(outdated=True)
    stronger.close()


class _Gate:
    """Holds every computation until it is opened."""

    def __init__(self, hashing: Hashing, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.running = threading.Semaphore(0)
        real = hashing._hash

        def held(password: str) -> str:
            self.running.release()
            assert self.opened.wait(30)
            return real(password)

        monkeypatch.setattr(hashing, "_hash", held)

    async def wait_until_running(self, count: int) -> None:
        for _ in range(count):
            await asyncio.to_thread(self.running.acquire)


async def test_a_full_queue_says_come_back_and_computes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashing = cheap(workers=2, queue=3)
    gate = _Gate(hashing, monkeypatch)
    accepted = [asyncio.create_task(hashing.hash(PASSWORD)) for _ in range(5)]
    await gate.wait_until_running(2)
    with pytest.raises(IssuerProblem) as caught:
        await hashing.hash(PASSWORD)
    assert caught.value.code is ProblemCode.OVERLOADED
    assert caught.value.retry_after == 1
    gate.opened.set()
    assert len(set(await asyncio.gather(*accepted))) == 5
    assert hashing.computed == 5
    await hashing.hash(PASSWORD)  # there is room again
    hashing.close()


async def test_a_cancelled_request_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    hashing = cheap(workers=1, queue=1)
    gate = _Gate(hashing, monkeypatch)
    running = asyncio.create_task(hashing.hash(PASSWORD))
    await gate.wait_until_running(1)
    for _ in range(20):
        waiting = asyncio.create_task(hashing.hash(PASSWORD))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    last = asyncio.create_task(hashing.hash(PASSWORD))
    await asyncio.sleep(0)
    gate.opened.set()
    await asyncio.gather(running, last)
    assert hashing.computed == 2
    hashing.close()


async def test_one_cancelled_while_it_is_computed_gives_its_place_back_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashing = cheap(workers=1, queue=1)
    gate = _Gate(hashing, monkeypatch)
    running = asyncio.create_task(hashing.hash(PASSWORD))
    await gate.wait_until_running(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    waiting = asyncio.create_task(hashing.hash(PASSWORD))
    await asyncio.sleep(0)
    with pytest.raises(IssuerProblem):
        await hashing.hash(PASSWORD)
    gate.opened.set()
    await waiting
    hashing.close()


async def test_after_closing_nothing_is_computed_and_no_place_is_lost() -> None:
    hashing = cheap(workers=1, queue=1)
    hashing.close()
    for _ in range(5):
        with pytest.raises(RuntimeError):
            await hashing.hash(PASSWORD)


def test_the_pool_is_as_wide_as_the_cores_it_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def affinity(_pid: int) -> set[int]:
        return {0, 3, 5}

    def missing(_pid: int) -> set[int]:
        raise AttributeError

    counts: list[tuple[Callable[[int], Any], int]] = [(affinity, 3), (missing, 7)]
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    for ask, expected in counts:
        monkeypatch.setattr(os, "sched_getaffinity", ask)
        assert module._cores() == expected
