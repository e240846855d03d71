"""Threads that hash: a queue of bounded length before them, results told in groups.

A hash writes to so much memory that afterwards no cache holds anything of what
the event loop and the database need to answer the request: that takes four
times as long as it would a moment later. So while others wait for a hash, a
result waits for theirs, and what follows is done for a few at a time; whoever
is alone waits for nobody. And the system lets hashes run when nothing else
wants to: a refresh, which takes less than a thousandth of a second, does not
queue behind one.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

__all__ = ["Full", "HashThreads"]

GROUP: Final = 4
"""Results that are told together at most."""

HOLD_SECONDS: Final = 0.1
"""How long a result waits for others at most, as far as the last hash foretells it."""

NICE: Final = 5
"""By how much hashes let others go first; beside busy neighbours they still get a third."""

BARRIER_SECONDS: Final = 0.5
"""How long threads wait for each other to do so; then it is for the next time."""

T = TypeVar("T")


class Full(Exception):
    """As many are waiting as may."""


class HashThreads:
    """Runs work of one kind, so much at once, and so much more waiting."""

    def __init__(self, workers: int, queue: int, start: Callable[[], None]) -> None:
        """Prepare; threads are started when first needed.

        Args:
            workers: How many at once.
            queue: How many waiting at most.
            start: Is called in each thread before all others.
        """
        self._workers = workers
        self._places = workers + queue
        self._start = start
        self._lock = threading.Lock()
        self._started = 0
        # What follows is guarded by it, but for how long the last work took.
        self._unfinished = 0
        self._untold: list[tuple[asyncio.Future[Any], Future[Any]]] = []
        self._held_since = self._took = 0.0
        self._threads = ThreadPoolExecutor(
            workers, thread_name_prefix="argon2", initializer=self._begin
        )

    async def run(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, or raise what it raises, in a thread.

        Who is cancelled while he waits for a thread gives his place back at
        once, and nothing is done.

        Raises:
            Full: There is no place left.
            RuntimeError: It has been closed.
        """
        with self._lock:
            if self._unfinished >= self._places:
                raise Full
            self._unfinished += 1
        told: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            done = self._threads.submit(self._timed, work)
        except RuntimeError:
            self._finished()
            raise
        # Called once, whatever becomes of it, where it is finished or cancelled.
        done.add_done_callback(lambda done: self._finished((told, done)))
        try:
            return await told
        except asyncio.CancelledError:
            done.cancel()
            raise

    def in_each(self, work: Callable[[], None]) -> None:
        """Do *work* once in every thread that has been started, unless they are busy.

        After the end there are none.
        """
        # So that none does the work of two.
        everybody = threading.Barrier(self._started)

        def together() -> None:
            with suppress(threading.BrokenBarrierError):
                everybody.wait(BARRIER_SECONDS)
                work()

        with suppress(RuntimeError):
            for _ in range(self._started):
                self._threads.submit(together)

    def close(self) -> None:
        """Finish what is being done and drop what waits."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    # In the threads.

    def _begin(self) -> None:
        with self._lock:
            self._started += 1
        _let_others_go_first()
        self._start()

    def _timed(self, work: Callable[[], T]) -> T:
        begun = time.monotonic()
        try:
            return work()
        finally:
            self._took = time.monotonic() - begun

    def _finished(self, *finished: tuple[asyncio.Future[Any], Future[Any]]) -> None:
        """Give a place back, and tell whom nobody else is waited for."""
        with self._lock:
            self._unfinished -= 1
            self._untold += finished
            if self._others_will_follow():
                return
            group, self._untold = self._untold, []
        for waiting, result in group:
            loop = waiting.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_tell, waiting, result)

    def _others_will_follow(self) -> bool:
        """Say whether somebody waits for a thread, and is to be told with who waits already."""
        now = time.monotonic()
        if len(self._untold) == 1:
            self._held_since = now
        # This thread is free: who does not run in one of the others is yet to come.
        return (
            self._unfinished >= self._workers
            and len(self._untold) < GROUP
            and now - self._held_since + self._took < HOLD_SECONDS
        )


def _tell(waiting: asyncio.Future[Any], result: Future[Any]) -> None:
    """Hand on a result to who waits for it, if he still does."""
    if waiting.done():
        return
    if result.cancelled():
        waiting.cancel()
    elif (error := result.exception()) is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(result.result())


def _let_others_go_first() -> None:
    """Lower the priority of the calling thread, where threads have one of their own."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + NICE)
