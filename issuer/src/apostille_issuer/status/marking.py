"""Setting bits, in the transaction of whatever is the reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Select, event, exists, insert, literal, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.clock import Clock
from apostille_issuer.status.models import StatusEntry, StatusList

__all__ = ["TOKENS_DIE_WITHIN", "StatusMarks"]

TOKENS_DIE_WITHIN: Final = timedelta(minutes=70)
"""After this long no access token made before can be accepted anywhere.

The longest lifetime that settings allow, not the present one, which may have
been longer when the token was made; and ten minutes for replays, the leeway of
verifiers, and clocks that were set back.
"""


class StatusMarks:
    """Marks sessions' indexes as revoked; opens no transaction of its own."""

    def __init__(self, clock: Clock, changed: Callable[[], None]) -> None:
        """Take the clock, and whom to tell when marks have been committed."""
        self._clock = clock
        self._changed = changed

    def horizon(self) -> datetime:
        """Return the moment before which no token was made that may still be alive."""
        return self._clock() - TOKENS_DIE_WITHIN

    async def revoke(self, session: AsyncSession, used: Select[int | None, int | None]) -> None:
        """Set the bits of the indexes that *used* finds: of list and index, neither null.

        Call it last in a transaction: from here to its end no other one can
        set bits in the same lists. Setting a bit twice changes nothing.
        """
        found = used.subquery()
        list_id, idx = found.c
        lists = sorted(await session.scalars(select(list_id).distinct()))
        if not lists:
            return
        await self._grow(session, StatusList.id.in_(lists))
        drop_at = literal(self._clock() + TOKENS_DIE_WITHIN, StatusEntry.drop_at.type)
        entry = exists().where(StatusEntry.list_id == list_id, StatusEntry.idx == idx)
        marks = (
            select(list_id, idx, StatusList.revision, drop_at)
            .join(StatusList, StatusList.id == list_id)
            .where(~entry)
        )
        columns = ["list_id", "idx", "revision", "drop_at"]
        await session.execute(insert(StatusEntry).from_select(columns, marks))

    async def renew_lists(self, session: AsyncSession) -> None:
        """Have every process make all lists anew within half a second, though no bit was set.

        For what else they say: which keys there are. Call it last in a
        transaction, as :meth:`revoke`.
        """
        await self._grow(session, true())

    async def _grow(self, session: AsyncSession, which: ColumnElement[bool]) -> None:
        """Let *which* lists have changed."""
        # In order, so that no two transactions wait for each other.
        await session.execute(
            select(StatusList.id).where(which).order_by(StatusList.id).with_for_update()
        )
        await session.execute(
            update(StatusList)
            .where(which)
            .values(revision=StatusList.revision + 1)
            .execution_options(synchronize_session=False)
        )
        event.listen(session.sync_session, "after_commit", lambda _: self._changed(), once=True)
