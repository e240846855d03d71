"""Refreshes wait for each other and are committed together.

A commit costs about as much for thirty sessions as for one. While one
transaction is under way, what arrives waits; then all of it goes into the next
one. A refresh that is alone does not wait at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from sqlalchemy.exc import DBAPIError

from apostille_contracts.problems import ProblemCode
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.store import Ask, Outcome, RefreshStore
from apostille_issuer.status.allocation import IndexAllocator

__all__ = ["RefreshQueue"]

MAX_BATCH: Final = 100
"""Refreshes in one transaction; bounds how long it holds its locks."""

TURNS: Final = 4
"""Turns of the event loop before a transaction.

Requests that are there already, but not yet read, come along: without this,
clients that are answered together come back as one, then all the others, and
every second transaction is for one alone. An idle loop turns in microseconds.
"""

ATTEMPTS: Final = 5
"""Transactions tried where PostgreSQL gives up one for the sake of another."""

_SERIALIZATION_FAILURE: Final = "40001"
_DEADLOCK_DETECTED: Final = "40P01"

_Waiting = tuple[Ask, asyncio.Future[Outcome]]


class RefreshQueue:
    """Uses refresh tokens, as many in one transaction as are waiting."""

    def __init__(self, database: Database, store: RefreshStore, indexes: IndexAllocator) -> None:
        """Take where sessions are, who moves them on, and whence they get indexes."""
        self._database = database
        self._store = store
        self._indexes = indexes
        self._waiting: list[_Waiting] = []
        self._working: asyncio.Task[None] | None = None

    async def use(self, ask: Ask) -> Outcome:
        """Return what comes of *ask*, once that is committed.

        A caller that is cancelled may or may not have used its token; within
        the replay window it gets the same successor.

        Raises:
            IssuerProblem: ``database_unavailable``, and what
                :meth:`RefreshStore.use` raises.
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

    async def _settle(self, batch: Sequence[_Waiting]) -> None:
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
            # used so far, so either half is asked again, and each part as often as
            # it takes to find it.
            half = len(batch) // 2
            await self._settle(batch[:half])
            await self._settle(batch[half:])
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)

    async def _commit(self, asks: Sequence[Ask]) -> list[Outcome]:
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._transact(asks)
            except IssuerProblem as problem:
                if not _gave_way(problem):
                    raise
        return await self._transact(asks)

    async def _transact(self, asks: Sequence[Ask]) -> list[Outcome]:
        # Before the transaction, for a block of indexes takes one of its own.
        spare = await self._indexes.take(len(asks))
        try:
            async with self._database.begin(EVERY_TENANT) as session:
                return await self._store.use(session, asks, spare)
        finally:
            # Most sessions have one; those handed out are lost if this fails.
            self._indexes.give_back(spare)


def _is_unavailable(error: Exception) -> bool:
    return isinstance(error, IssuerProblem) and error.code is ProblemCode.DATABASE_UNAVAILABLE


def _gave_way(problem: IssuerProblem) -> bool:
    """Say whether the transaction was given up for another one's sake: trying again helps."""
    cause = problem.__cause__
    state = getattr(cause.orig, "sqlstate", None) if isinstance(cause, DBAPIError) else None
    return state in (_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED)
