"""Which session gets which index: taken from the database in blocks, given out from memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from secrets import SystemRandom
from typing import Final

from sqlalchemy import exists, func, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.status.models import StatusList
from apostille_issuer.status.schemas import LIST_SIZE, StatusIndex

__all__ = ["BLOCK", "KEEP_BLOCK", "IndexAllocator"]

BLOCK: Final = 256
"""Indexes taken at once; what a replica has not given out when it ends is lost."""

KEEP_BLOCK: Final = timedelta(days=1)
"""How long a replica gives out what it has taken; the rest is lost.

So that one with little to do does not give out indexes of a list that all
others have long forgotten (:mod:`.retiring`).
"""


class IndexAllocator:
    """Gives out indexes, each once, whatever number of replicas does the same.

    A block is taken by one conditional update in a transaction of its own, so
    an act that needs an index has it before its own transaction begins.
    """

    def __init__(self, database: Database, clock: Clock, changed: Callable[[], None]) -> None:
        """Take where the lists are, who dates them, and whom to tell of blocks taken."""
        self._database = database
        self._clock = clock
        self._changed = changed
        self._free: list[StatusIndex] = []
        # When the oldest of them was taken.
        self._free_since = datetime.min.replace(tzinfo=UTC)
        self._refill = asyncio.Lock()

    async def take(self, count: int) -> list[StatusIndex]:
        """Return *count* indexes that nobody has.

        Raises:
            IssuerProblem: ``database_unavailable``, if a block has to be taken.
        """
        self._forget_old()
        while len(self._free) < count:
            async with self._refill:
                # Who waited for another's block may not need one any more.
                if len(self._free) < count:
                    begun = self._clock()
                    block = await self._block()
                    if not self._free:
                        self._free_since = begun
                    self._free.extend(block)
        kept = len(self._free) - count
        taken, self._free = self._free[kept:], self._free[:kept]
        return taken

    def give_back(self, unused: Iterable[StatusIndex]) -> None:
        """Take back indexes that were never sent to the database."""
        self._free.extend(unused)

    def _forget_old(self) -> None:
        now = self._clock()
        if now - self._free_since >= KEEP_BLOCK:
            self._free = []
        # A clock that was set back must not make them younger than they are by more than that.
        self._free_since = min(self._free_since, now)

    async def _block(self) -> list[StatusIndex]:
        async with self._database.begin() as session:
            list_id, end = await self._claim(session)
        self._changed()  # it may be the first of a new list
        block = [StatusIndex(list_id, idx) for idx in range(end - BLOCK, end)]
        # In no order: an index does not tell whose login came before whose.
        SystemRandom().shuffle(block)
        return block

    async def _claim(self, session: AsyncSession) -> tuple[int, int]:
        """Take a block of the newest list, or of a new one, and return where it ends."""
        while True:
            row = (await session.execute(_TAKE_BLOCK)).one_or_none()
            if row is not None:
                return row.id, row.next_index
            # Of replicas that find the newest list full one adds the next.
            newest = select(func.coalesce(func.max(StatusList.id), 0).label("id")).subquery()
            created_at = literal(self._clock(), StatusList.created_at.type)
            added = select(newest.c.id + 1, literal(0), literal(0), created_at).where(
                ~exists().where(*_ROOM)
            )
            columns = ["id", "next_index", "revision", "created_at"]
            insert = sqlite.insert if self._database.dialect == "sqlite" else postgresql.insert
            await session.execute(
                insert(StatusList).from_select(columns, added).on_conflict_do_nothing()
            )


_ROOM = (
    StatusList.id == select(func.max(StatusList.id)).scalar_subquery(),
    StatusList.next_index + BLOCK <= LIST_SIZE,
)

_TAKE_BLOCK = (
    update(StatusList)
    .where(*_ROOM)
    .values(next_index=StatusList.next_index + BLOCK)
    .returning(StatusList.id, StatusList.next_index)
    .execution_options(synchronize_session=False)
)
