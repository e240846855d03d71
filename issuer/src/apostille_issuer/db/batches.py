"""What waits for the same thing is done together.

A commit costs about as much for thirty as for one. While one batch is under
way, what arrives waits; then all of it goes into the next one. Who is alone
does not wait at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from apostille_contracts.problems import ProblemCode
from apostille_issuer.problems import IssuerProblem

__all__ = ["Batches"]

MAX_BATCH: Final = 100
"""Of one batch; bounds how long its transaction holds locks."""

TURNS: Final = 4
"""Turns of the event loop before a batch.

Requests that are there already, but not yet read, come along: without this,
clients that are answered together come back as one, then all the others, and
every second batch is for one alone. An idle loop turns in microseconds.
"""

Ask = TypeVar("Ask")
Outcome = TypeVar("Outcome")


class Batches(Generic[Ask, Outcome]):
    """Hands over what waits, one batch after the other."""

    def __init__(self, commit: Callable[[Sequence[Ask]], Awaitable[Sequence[Outcome]]]) -> None:
        """Take what is done with a batch.

        Args:
            commit: Does all of it, and returns the outcomes in the same order;
                or raises, and has done nothing. Then halves of the batch are
                tried, and halves of these.
        """
        self._commit = commit
        self._waiting: list[tuple[Ask, asyncio.Future[Outcome]]] = []
        self._working: asyncio.Task[None] | None = None

    async def outcome_of(self, ask: Ask) -> Outcome:
        """Return what comes of *ask*, once that is committed.

        It may be committed all the same if the caller is cancelled.

        Raises:
            Exception: What ``commit`` raises for *ask* alone; for any batch
                it is in, where that is ``database_unavailable``.
        """
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, outcome))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await outcome

    async def _work(self) -> None:
        try:
            while self._waiting:
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                await self._settle(batch)
        finally:
            self._working = None

    async def _settle(self, batch: Sequence[tuple[Ask, asyncio.Future[Outcome]]]) -> None:
        """Give every future in *batch* its outcome."""
        try:
            outcomes = await self._commit([ask for ask, _ in batch])
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits
            if len(batch) == 1 or _is_unavailable(error):
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                return
            # One that cannot be served must not spoil the others: nothing has been
            # done so far, so either half is tried again, and each part as often as
            # it takes to find it.
            half = len(batch) // 2
            await self._settle(batch[:half])
            await self._settle(batch[half:])
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)


def _is_unavailable(error: Exception) -> bool:
    return isinstance(error, IssuerProblem) and error.code is ProblemCode.DATABASE_UNAVAILABLE
