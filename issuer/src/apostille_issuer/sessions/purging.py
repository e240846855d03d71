"""Deleting sessions that ended long ago, of people and API keys alike, and where they stood."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Table, or_, select

from apostille_issuer.db.engine import Database
from apostille_issuer.db.purging import purge_rows
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.status.retiring import lists_over, retire

__all__ = ["SessionPurge", "StatusListPurge"]

SESSIONS = cast("Table", LoginSession.__table__)


class SessionPurge:
    """Sessions; what happened to them stays in the audit trail.

    Nothing that is refused because of a session's row is accepted without it. A
    refresh token of one that is gone has the same answer, ``session_ended``: only
    we can have made it. Its access tokens have died long before, and a bit that
    was set for them does not go by the row.
    """

    name = "sessions"

    def __init__(self, database: Database, *, retention: timedelta) -> None:
        """Take what is needed.

        Args:
            database: Holds the sessions.
            retention: How long they are kept after that; longer than
                :data:`.TOKENS_DIE_WITHIN`.
        """
        self._database = database
        self._retention = retention

    async def purge(self, stop: asyncio.Event, now: datetime) -> int:
        """Delete those that were ended, or expired, long ago; see :func:`.purge_rows`."""
        kept_since = now - self._retention
        # Idle is never later than the absolute end.
        over = or_(SESSIONS.c.revoked_at <= kept_since, SESSIONS.c.idle_expires_at <= kept_since)
        return await purge_rows(self._database, SESSIONS, over, stop)


class StatusListPurge:
    """Status lists in which no session stands any more; purge sessions first."""

    name = "status lists"

    def __init__(self, database: Database) -> None:
        """Take where sessions and lists are."""
        self._database = database

    async def purge(self, stop: asyncio.Event, now: datetime) -> int:
        """Delete those that are over, and return how many those were.

        Args:
            stop: Once this happens nothing is deleted.
            now: The present.

        Raises:
            IssuerProblem: ``database_unavailable``.
        """
        place = SESSIONS.c.status_list_id
        used = select(place).where(place.is_not(None)).distinct()
        async with self._database.read(EVERY_TENANT) as session:
            over = await lists_over(session, used, now)
        if not over or stop.is_set():
            return 0
        async with self._database.begin() as session:
            return await retire(session, over, now)
