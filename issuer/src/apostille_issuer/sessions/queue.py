"""Refreshes wait for each other and are committed together (:mod:`apostille_issuer.db.batches`)."""

from __future__ import annotations

from collections.abc import Sequence

from apostille_issuer.db.attempts import until_it_holds
from apostille_issuer.db.batches import Batches
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.sessions.store import Ask, Outcome, RefreshStore
from apostille_issuer.status.allocation import IndexAllocator

__all__ = ["RefreshQueue"]


class RefreshQueue:
    """Uses refresh tokens, as many in one transaction as are waiting."""

    def __init__(self, database: Database, store: RefreshStore, indexes: IndexAllocator) -> None:
        """Take where sessions are, who moves them on, and whence they get indexes."""
        self._database = database
        self._store = store
        self._indexes = indexes
        self._batches = Batches(self._commit, patience=database.timeout)

    async def use(self, ask: Ask) -> Outcome:
        """Return what comes of *ask*, once that is committed.

        A caller that is cancelled may or may not have used its token; within
        the replay window it gets the same successor.

        Raises:
            IssuerProblem: ``database_unavailable``, and what
                :meth:`RefreshStore.use` raises.
        """
        return await self._batches.outcome_of(ask)

    async def _commit(self, asks: Sequence[Ask]) -> list[Outcome]:
        return await until_it_holds(lambda: self._transact(asks))

    async def _transact(self, asks: Sequence[Ask]) -> list[Outcome]:
        # Before the transaction, for a block of indexes takes one of its own.
        spare = await self._indexes.take(len(asks))
        try:
            async with self._database.begin(EVERY_TENANT) as session:
                return await self._store.use(session, asks, spare)
        finally:
            # Most sessions have one; those handed out are lost if this fails.
            self._indexes.give_back(spare)
