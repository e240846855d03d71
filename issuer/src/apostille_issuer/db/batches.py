"""What waits for the same thing is done together.

A commit costs about as much for thirty as for one. While one batch is under
way, what arrives waits; then all of it goes into the next one. Who is alone
does not wait at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final, Generic, NamedTuple, TypeVar

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


class _Waiting(NamedTuple, Generic[Ask, Outcome]):
    ask: Ask
    outcome: asyncio.Future[Outcome]
    since: float


class Batches(Generic[Ask, Outcome]):
    """Hands over what waits, one batch after the other."""

    def __init__(
        self,
        commit: Callable[[Sequence[Ask]], Awaitable[Sequence[Outcome]]],
        *,
        patience: timedelta,
    ) -> None:
        """Take what is done with a batch.

        Args:
            commit: Does all of it, and returns the outcomes in the same order;
                or raises, and has done nothing. Then halves of the batch are
                tried, and halves of these.
            patience: While ``commit`` finds the database unavailable, who has
                waited for so long is told, too, and not tried first.
        """
        self._commit = commit
        self._patience = patience.total_seconds()
        self._waiting: list[_Waiting[Ask, Outcome]] = []
        self._working: asyncio.Task[None] | None = None

    async def outcome_of(self, ask: Ask) -> Outcome:
        """Return what comes of *ask*, once that is committed.

        Who is cancelled before his batch begins has nothing committed; later he may.

        Raises:
            Exception: What ``commit`` raises for *ask* alone; for any batch
                it is in, where that is ``database_unavailable``.
        """
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(ask, outcome, time.monotonic()))
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
            for left in self._waiting:  # if this is cancelled, as when the loop ends
                left.outcome.cancel()
            self._waiting = []

    async def _settle(self, batch: Sequence[_Waiting[Ask, Outcome]]) -> None:
        """Give everybody in *batch* his outcome."""
        # Not for who has gone away.
        batch = [each for each in batch if not each.outcome.done()]
        if not batch:
            return
        try:
            outcomes = await self._commit([each.ask for each in batch])
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits
            if _is_unavailable(error):
                _fail([*batch, *self._out_of_patience()], error)
            elif len(batch) == 1:
                _fail(batch, error)
            else:
                # One that cannot be served must not spoil the others: nothing has been
                # done so far, so either half is tried again, and each part as often as
                # it takes to find it. Whoever else waits for the database has his turn.
                half = len(batch) // 2
                for part in (batch[:half], batch[half:]):
                    await asyncio.sleep(0)
                    await self._settle(part)
            return
        for each, outcome in zip(batch, outcomes, strict=True):
            if not each.outcome.done():
                each.outcome.set_result(outcome)

    def _out_of_patience(self) -> Sequence[_Waiting[Ask, Outcome]]:
        """Take out who has waited for too long already: always those in front."""
        since = time.monotonic() - self._patience
        late = [each for each in self._waiting if each.since <= since]
        self._waiting = self._waiting[len(late) :]
        return late


def _fail(batch: Sequence[_Waiting[Any, Any]], error: Exception) -> None:
    for each in batch:
        if not each.outcome.done():
            each.outcome.set_exception(error)


def _is_unavailable(error: Exception) -> bool:
    return isinstance(error, IssuerProblem) and error.code is ProblemCode.DATABASE_UNAVAILABLE
