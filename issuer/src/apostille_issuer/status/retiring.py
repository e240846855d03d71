"""Which status lists are over: full long ago, and nobody stands in them any more.

A token's place is either its session's, or has been voided, which is a row
of its own for as long as a token lives. So a list without either has no
living token pointing to it, and as it is full, none ever will. The newest
list is never over, so no number is given twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Select, delete, exists, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from apostille_issuer.status.allocation import KEEP_BLOCK
from apostille_issuer.status.models import StatusEntry, StatusList

__all__ = ["FULL_FOR", "lists_over", "retire"]

FULL_FOR: Final = 7 * KEEP_BLOCK
"""How long after the next list was begun nobody can be given a place in one.

Far longer than replicas keep what they have taken of it, and than clocks are apart.
"""

MAX_LISTS: Final = 1_000
"""Lists deleted in one go; the others have their turn the next time."""


async def lists_over(session: AsyncSession, used: Select[int], now: datetime) -> Sequence[int]:
    """Return lists that are over, oldest first.

    Args:
        session: A transaction.
        used: Finds the lists in which sessions stand, each once. That may
            take a look at every session, and is not done for nothing.
        now: The present.
    """
    unused = StatusList.id.not_in(used)
    found = select(StatusList.id).where(*_empty(now), unused).order_by(StatusList.id)
    return (await session.scalars(found.limit(MAX_LISTS))).all()


async def retire(session: AsyncSession, lists: Collection[int], now: datetime) -> int:
    """Delete those of *lists* that are still empty, and return how many those were.

    Services that ask for one of them are told that it is not there; replicas
    know it within half a second.

    Args:
        session: A transaction.
        lists: What :func:`lists_over` has found.
        now: The present.
    """
    # In order, as whoever sets bits.
    over = select(StatusList.id).where(StatusList.id.in_(lists), *_empty(now))
    locked = over.order_by(StatusList.id).with_for_update()
    found = (await session.scalars(locked)).all()
    gone = delete(StatusList).where(StatusList.id.in_(found))
    await session.execute(gone.execution_options(synchronize_session=False))
    return len(found)


def _empty(now: datetime) -> tuple[ColumnElement[bool], ...]:
    later = aliased(StatusList)  # not only the next one, which may be gone already
    full = exists().where(later.id > StatusList.id, later.created_at <= now - FULL_FOR)
    return full, ~exists().where(StatusEntry.list_id == StatusList.id)
