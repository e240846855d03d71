"""Locks on sessions: whoever takes more than one takes them in one order.

On PostgreSQL an update locks its rows in whatever order it finds them. Two that
find the same rows in different orders wait for each other, until the database
gives one up: a refresh that is tried again, or an administrator's act that is not.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.sessions.models import LoginSession

__all__ = ["lock_sessions"]


async def lock_sessions(session: AsyncSession, *which: ColumnElement[bool]) -> None:
    """Lock the sessions *which*, lowest identifier first, until the transaction ends.

    On SQLite there is nothing to do: one transaction writes at a time.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    locked = select(LoginSession.id).where(*which).order_by(LoginSession.id).with_for_update()
    await session.execute(select(func.count()).select_from(locked.subquery()))
