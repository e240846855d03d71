"""The memory of hashes: kept from one to the next, given back when none comes."""

from __future__ import annotations

import asyncio
import ctypes
import json
import platform
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from apostille_issuer.accounts import hash_memory, hash_threads, hashing
from apostille_issuer.accounts.hash_memory import HashMemory
from apostille_issuer.accounts.hashing import Hashing

pytestmark = pytest.mark.anyio

MEBIBYTE = 2**20
HASH_KIB = 19_456

MEASURE = f"""
import json, resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from argon2 import PasswordHasher
from apostille_issuer.accounts.hash_memory import HashMemory

hasher, memory = PasswordHasher(1, {HASH_KIB}, 1), HashMemory({HASH_KIB} * 1024)

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def faults():
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    hasher.hash("x" * 20)
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

with ThreadPoolExecutor(1) as pool:
    do = lambda work: pool.submit(work).result()
    do(memory.keep)
    seen = [(do(resident), do(faults)) for _ in range(3)]
    for _ in range(2):
        do(memory.give_back)
        seen.append((do(resident), do(faults)))
    do(memory.give_back)
    seen.append((do(resident), 0))
print(json.dumps(seen))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's way to keep memory")
def test_pages_are_had_once_for_many_hashes_and_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], stdout=subprocess.PIPE, check=True)
    (before, first), (kept, second), (_, third), (back, again), *_, (last, _) = json.loads(
        done.stdout
    )
    pages = HASH_KIB // 4
    assert min(first, again) > pages / 32  # fewer than all where the system has larger ones
    assert max(second, third) < pages / 64
    assert kept - before > 15 * MEBIBYTE
    assert back - before < 3 * MEBIBYTE
    assert last - before < 3 * MEBIBYTE


LARGE_PAGES = f"""
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from argon2 import PasswordHasher
from apostille_issuer.accounts.hash_memory import HashMemory

hasher, memory = PasswordHasher(1, {HASH_KIB}, 1), HashMemory({HASH_KIB} * 1024)

def asked_for():
    areas = re.split(r"(?m)^(?=[0-9a-f]+-)", Path("/proc/self/smaps").read_text())
    asked = [area for area in areas if re.search(r"VmFlags:.* hg", area)]
    return sum(int(re.search(r"Rss: +(\\d+)", area)[1]) for area in asked)

with ThreadPoolExecutor(1) as pool:
    do = lambda work: pool.submit(work).result()
    for work in (memory.keep, memory.enlarge_pages):
        do(work)
    print(do(asked_for))
    for _ in range(2):
        do(lambda: hasher.hash("x" * 20))
        print(do(asked_for))
        do(memory.give_back)
        print(do(asked_for))
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc"
    or not Path("/sys/kernel/mm/transparent_hugepage/enabled").exists(),
    reason="large pages on request",
)
def test_hashes_write_where_large_pages_were_asked_for() -> None:
    """Whether there are any to spare is the system's affair."""
    done = subprocess.run([sys.executable, "-c", LARGE_PAGES], stdout=subprocess.PIPE, check=True)
    before, first, between, second, after = map(int, done.stdout.split())
    assert max(before, between, after) < HASH_KIB / 4
    assert min(first, second) > HASH_KIB * 3 / 4


def test_a_hash_that_is_too_large_to_be_kept_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("it was changed"))
    memory = HashMemory(hash_memory.MAX_KEPT_BYTES)
    memory.keep()
    memory.enlarge_pages()
    memory.give_back()


@pytest.mark.parametrize("error", [OSError, AttributeError, TypeError])
def test_without_glibc_nothing_is_changed(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def none(_: Any) -> Any:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", none)
    memory = HashMemory(HASH_KIB * 1024)
    memory.keep()
    memory.enlarge_pages()
    memory.give_back()


class Noted:
    """Stands for the memory, and notes which threads give it back."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.gave: list[str] = []
        self.loop = asyncio.get_running_loop()
        self.all_gave = asyncio.Event()

    def keep(self) -> None:
        self.kept.add(threading.current_thread().name)

    def enlarge_pages(self) -> None:
        """Is the system's affair."""

    def give_back(self) -> None:
        self.gave.append(threading.current_thread().name)
        if set(self.gave) == self.kept:
            self.loop.call_soon_threadsafe(self.all_gave.set)


async def test_every_thread_gives_back_once_nobody_has_come_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hashing, "IDLE_SECONDS", 0.0)
    pool = Hashing(memory_kib=64, time_cost=1, workers=3)
    noted = Noted()
    monkeypatch.setattr(pool, "_memory", noted)
    for _ in range(2):
        noted.all_gave.clear()
        noted.gave.clear()
        await asyncio.gather(*(pool.hash("x") for _ in range(12)))
        await asyncio.wait_for(noted.all_gave.wait(), 20)
    pool.close()


async def test_nothing_is_given_back_while_hashes_come_or_after_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Hashing(memory_kib=64, time_cost=1, workers=1)
    noted = Noted()
    monkeypatch.setattr(pool, "_memory", noted)
    await pool.hash("x")
    waiting = pool._idle
    assert waiting is not None
    await pool.hash("x")
    assert waiting.cancelled()
    waiting = pool._idle
    assert waiting is not None
    pool.close()
    assert waiting.cancelled()
    pool._give_back()  # a request that ended later sets the timer again
    assert noted.gave == []


async def test_a_thread_that_waits_in_vain_for_the_others_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hash_threads, "BARRIER_SECONDS", 0.0)
    pool = Hashing(memory_kib=64, time_cost=1, workers=1)
    noted = Noted()
    monkeypatch.setattr(pool, "_memory", noted)
    await pool.hash("x")
    monkeypatch.setattr(pool._threads, "_started", 2)
    pool._give_back()
    await pool.hash("x")
    pool.close()
    assert noted.gave == []
