"""Status lists: which sessions' access tokens are no longer good."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select, tuple_

from apostille.status import StaticStatus
from apostille_issuer.clock import Clock, SettledClock
from apostille_issuer.db.engine import Database
from apostille_issuer.keys.service import KeyService
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.status.allocation import IndexAllocator
from apostille_issuer.status.board import Posted, StatusBoard
from apostille_issuer.status.documents import ListDocument
from apostille_issuer.status.marking import TOKENS_DIE_WITHIN, StatusMarks
from apostille_issuer.status.models import StatusEntry
from apostille_issuer.status.publishing import StatusPublisher
from apostille_issuer.status.schemas import Aggregation, list_uri

__all__ = ["StatusService"]

SWEEP_SECONDS: Final = 60
"""How often bits are dropped that no living token needs."""

SWEEP_ROWS: Final = 1_000
"""Bits dropped in one transaction: no login waits for more."""

_log = logging.getLogger(__name__)


class StatusService:
    """The face of the status domain.

    Sessions get their indexes from :attr:`indexes` and are revoked through
    :attr:`marks`; services read what :meth:`document` returns.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        keys: KeyService,
        issuer_url: str,
        ttl: timedelta,
    ) -> None:
        """Take what is needed; see :class:`.StatusPublisher`."""
        self._database = database
        self._clock = clock
        self._issuer_url = issuer_url
        self._board = StatusBoard(database, clock)
        self._publisher = StatusPublisher(self._board, clock, keys, issuer_url=issuer_url, ttl=ttl)
        self.indexes = IndexAllocator(database, clock, self._board.changed)
        self.marks = StatusMarks(clock, self._board.changed)
        self.given = StaticStatus()
        """The lists, for a verifier in this process; see :meth:`catch_up`."""
        self._caught_up: dict[int, Posted] = {}

    async def document(self, list_id: int) -> ListDocument:
        """Return a list as it is served, no older than half a second.

        Raises:
            IssuerProblem: ``not_found``, ``database_unavailable``,
                ``keys_unavailable``.
        """
        return await self._publisher.document(list_id)

    def get(self, path: str, /) -> ListDocument | None:
        """Return the list at *path* if it is at hand; who gets none asks for :meth:`document`.

        Raises:
            IssuerProblem: ``keys_unavailable``.
        """
        return self._publisher.at_hand(path)

    async def aggregation(self) -> Aggregation:
        """Return the addresses of all lists, oldest first."""
        ids = sorted(await self._board.lists())
        return Aggregation(tuple(list_uri(self._issuer_url, list_id) for list_id in ids))

    async def catch_up(self) -> None:
        """Bring :attr:`given` to what is in the database, or was half a second ago.

        Raises:
            IssuerProblem: ``database_unavailable``.
        """
        lists = await self._board.lists()
        if lists is not self._caught_up:
            self.given.replace(
                {
                    list_uri(self._issuer_url, list_id): posted.bits.octets
                    for list_id, posted in lists.items()
                }
            )
            self._caught_up = lists

    async def sweep(self, now: datetime | None = None) -> int:
        """Drop the bits that no living token needs, and return how many those were.

        Lists get smaller by it when they are next read whole; nobody who
        verifies a token sees a difference.

        Args:
            now: The present, if not what the clock says.
        """
        dropped, now = 0, now or self._clock()
        while True:
            async with self._database.begin() as session:
                due = select(StatusEntry.list_id, StatusEntry.idx)
                due = due.where(StatusEntry.drop_at <= now).limit(SWEEP_ROWS)
                rows = (await session.execute(due.with_for_update(skip_locked=True))).all()
                if rows:
                    key = tuple_(StatusEntry.list_id, StatusEntry.idx)
                    await session.execute(delete(StatusEntry).where(key.in_(map(tuple, rows))))
            dropped += len(rows)
            if len(rows) < SWEEP_ROWS:
                return dropped

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        """Sweep again and again for as long as the block runs.

        A clock that is set forward is not believed for as long as bits stay.
        """
        stop = asyncio.Event()
        task = asyncio.create_task(self._sweep_until(stop))
        try:
            yield
        finally:
            stop.set()  # not cancelled: a connection in use would not be given back
            await task

    async def _sweep_until(self, stop: asyncio.Event) -> None:
        settled = SettledClock(self._clock, TOKENS_DIE_WITHIN)
        settled()  # as it is at the start, to compare with
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SWEEP_SECONDS)
            if stop.is_set():
                return
            try:
                await self.sweep(settled())
            except IssuerProblem:
                # What is not dropped now is dropped later; a list is right either way.
                _log.warning("could not drop old entries of status lists", exc_info=True)
            except Exception:  # noqa: BLE001 - logged
                # Nothing may end this task before its time: nothing would ever be dropped again.
                _log.exception("dropping old entries of status lists failed")
