"""Setting bits, in the transaction of whatever is the reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Select, event, exists, insert, literal, select, update
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
        touched = StatusList.id.in_(lists)
        # In order, so that no two transactions wait for each other.
        await session.execute(
            select(StatusList.id).where(touched).order_by(StatusList.id).with_for_update()
        )
        await session.execute(
            update(StatusList)
            .where(touched)
            .values(revision=StatusList.revision + 1)
            .execution_options(synchronize_session=False)
        )
        drop_at = literal(self._clock() + TOKENS_DIE_WITHIN, StatusEntry.drop_at.type)
        entry = exists().where(StatusEntry.list_id == list_id, StatusEntry.idx == idx)
        marks = (
            select(list_id, idx, StatusList.revision, drop_at)
            .join(StatusList, StatusList.id == list_id)
            .where(~entry)
        )
        columns = ["list_id", "idx", "revision", "drop_at"]
        await session.execute(insert(StatusEntry).from_select(columns, marks))
        event.listen(session.sync_session, "after_commit", lambda _: self._changed(), once=True)
