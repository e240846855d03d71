"""Purging: what has ended is deleted some time later, by whatever serves, or on command."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final, Protocol

from apostille_issuer.clock import Clock, SettledClock
from apostille_issuer.problems import IssuerProblem

__all__ = ["Perishable", "Purge"]

PURGE_SECONDS: Final = 3_600
"""How often a serving process looks for what nobody needs any more."""

BELIEVED_AFTER: Final = timedelta(days=1)
"""How long a clock that was set forward must have been so before anything is deleted by it."""

logger = logging.getLogger(__name__)


class Perishable(Protocol):
    """Rows of one kind, which are needed for a while only."""

    @property
    def name(self) -> str:
        """What they are, in the plural."""

    async def purge(self, stop: asyncio.Event, now: datetime) -> int:
        """Delete what is due, a few rows at a time, and return how many this call has deleted.

        Args:
            stop: Once this happens no further transaction begins.
            now: The present.

        Raises:
            IssuerProblem: ``database_unavailable``.
        """


class Purge:
    """Deletes what is due of each kind, one after the other.

    Any number of processes may be at it: each deletes what the others have not.
    Nothing of it is in the audit trail, which has what happened to each row.
    """

    def __init__(self, clock: Clock, *kinds: Perishable) -> None:
        """Take what tells the time, and what there is to be purged, in order."""
        self._clock = clock
        self._kinds = kinds
        self._stop = asyncio.Event()

    async def purge_due(self) -> dict[str, int]:
        """Delete what is due, and return how many rows of which name those were.

        Raises:
            IssuerProblem: ``database_unavailable``.
        """
        now = self._clock()
        return {kind.name: await kind.purge(self._stop, now) for kind in self._kinds}

    @asynccontextmanager
    async def purging(self) -> AsyncIterator[None]:
        """Delete what is due, now and again and again, for as long as the block runs.

        At its end the transaction under way is finished; the rest is left to the next time.
        A clock that is set forward meanwhile is believed a day later.
        """
        self._stop.clear()
        task = asyncio.create_task(self._keep_purging(), name="purging")
        try:
            yield
        finally:
            self._stop.set()  # not cancelled: a connection in use would not be given back
            await task

    async def _keep_purging(self) -> None:
        settled = SettledClock(self._clock, BELIEVED_AFTER)
        while not self._stop.is_set():
            now = settled()
            for kind in self._kinds:
                await self._try(kind, now)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), PURGE_SECONDS)

    async def _try(self, kind: Perishable, now: datetime) -> None:
        try:
            purged = await kind.purge(self._stop, now)
        except IssuerProblem as problem:
            logger.warning("cannot purge %s: %s", kind.name, problem)
        except Exception:
            # Nothing may end this task before its time: nothing would ever be purged again.
            logger.exception("purging %s failed", kind.name)
        else:
            if purged:
                logger.info("purged %d %s", purged, kind.name)
