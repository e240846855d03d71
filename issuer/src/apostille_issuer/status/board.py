"""What the bits are now, held in memory, and no older than half a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.status.bits import NO_BITS, StatusBits
from apostille_issuer.status.models import StatusEntry, StatusList

__all__ = ["PERIOD", "Posted", "StatusBoard"]

LOOK_AGAIN_SECONDS: Final = 0.5
"""How old may be what we know before the database is asked.

Half of the second that services have beyond ``ttl``: see the SDK's
``PATIENCE_SECONDS``, which is what they take of the other half.
"""

PERIOD: Final = timedelta(minutes=30)
"""All bits are read anew in each period, which leaves out those that were dropped."""


class Posted(Struct, frozen=True):
    """One list as it is now."""

    revision: int
    period: int
    bits: StatusBits


class _State(Struct, frozen=True):
    """What one look has found; replaced as one, never changed."""

    lists: dict[int, Posted]
    period: int
    looked_at: float
    """Monotonic time at which the look began."""
    changes: int
    """Changes by this process that the look has seen."""


class _Look(Struct, frozen=True):
    """A look that is under way, and that callers share."""

    changes: int
    task: asyncio.Task[_State]


class StatusBoard:
    """Holds all lists' bits, which are kept in the database.

    A look there reads the lists' revisions, which is a row for each 131,072
    sessions; of a list whose revision has grown, what was added since. Any
    number of callers share one look, and what this process itself has changed
    is seen by the next caller.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what is needed.

        Args:
            database: Holds the bits.
            clock: Tells which of them are dropped.
            monotonic: Tells how long ago we looked, in seconds.
        """
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._changes = 0
        self._state = _State({}, -1, float("-inf"), 0)
        self._look: _Look | None = None

    def changed(self) -> None:
        """Know that this process has committed something: what was seen before is old."""
        self._changes += 1

    def at_hand(self) -> dict[int, Posted] | None:
        """Return what :meth:`lists` does, or ``None`` if the database has to be asked."""
        state = self._state
        if (
            state.changes == self._changes
            and self._monotonic() - state.looked_at < LOOK_AGAIN_SECONDS
        ):
            return state.lists
        return None

    async def lists(self) -> dict[int, Posted]:
        """Return every list by its number; the same object until one of them changes.

        Raises:
            IssuerProblem: ``database_unavailable``: what may be old is not
                passed off as new.
        """
        lists = self.at_hand()
        if lists is not None:
            return lists
        look = self._look
        if look is None or look.changes != self._changes:
            look = self._look = _Look(self._changes, asyncio.create_task(self._look_again()))
            look.task.add_done_callback(self._looked)
        # One caller that goes away takes nothing from the others.
        return (await asyncio.shield(look.task)).lists

    def _looked(self, task: asyncio.Task[_State]) -> None:
        if self._look is not None and self._look.task is task:
            self._look = None
        if not task.cancelled():
            task.exception()  # where everybody who waited has gone away

    async def _look_again(self) -> _State:
        before, changes, started = self._state, self._changes, self._monotonic()
        now = self._clock()
        period = int(now.timestamp() // PERIOD.total_seconds())
        known = before.lists if before.period == period else {}
        async with self._database.read() as session:
            rows = await session.execute(_REVISIONS)
            revisions = {row.id: row.revision for row in rows}
            grown = [
                list_id
                for list_id, revision in revisions.items()
                if list_id not in known or known[list_id].revision != revision
            ]
            # Read after the revisions: there may be more than those say, never less.
            added = await _added(session, grown, known, now) if grown else {}
        lists = known
        if not known.keys() <= revisions.keys():  # some have been retired
            lists = {list_id: known[list_id] for list_id in known.keys() & revisions.keys()}
        if grown:
            fresh = {
                list_id: Posted(
                    revisions[list_id],
                    period,
                    _bits(known.get(list_id)).with_set(added.get(list_id, ())),
                )
                for list_id in grown
            }
            lists = lists | fresh
        state = _State(lists, period, started, changes)
        # A look that began later may have been faster.
        if (self._state.changes, self._state.looked_at) <= (changes, started):
            self._state = state
        return self._state


_REVISIONS = select(StatusList.id, StatusList.revision)


async def _added(
    session: AsyncSession, lists: Iterable[int], known: Mapping[int, Posted], now: datetime
) -> dict[int, list[int]]:
    """Return which bits of *lists* are set that are not in what is *known*."""
    news = [
        and_(StatusEntry.list_id == list_id, StatusEntry.revision > known[list_id].revision)
        for list_id in lists
        if list_id in known
    ]
    # Of lists we know nothing of, all; mostly that is at the start, all there are.
    news.append(StatusEntry.list_id.in_([each for each in lists if each not in known]))
    rows = await session.execute(
        select(StatusEntry.list_id, StatusEntry.idx).where(or_(*news), StatusEntry.drop_at > now)
    )
    added: dict[int, list[int]] = {}
    for list_id, idx in rows:
        added.setdefault(list_id, []).append(idx)
    return added


def _bits(posted: Posted | None) -> StatusBits:
    return NO_BITS if posted is None else posted.bits
