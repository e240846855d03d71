"""Deleting sessions that ended long ago, logins and those of API keys alike."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import cast

from sqlalchemy import Table, or_

from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.purging import purge_rows
from apostille_issuer.sessions.models import LoginSession

__all__ = ["SessionPurge"]

SESSIONS = cast("Table", LoginSession.__table__)


class SessionPurge:
    """Sessions; what happened to them stays in the audit trail.

    Nothing that is refused because of a session's row is accepted without it. A
    refresh token of one that is gone has the same answer, ``session_ended``: only
    we can have made it. Its access tokens have died long before, and a bit that
    was set for them does not go by the row.
    """

    name = "sessions"

    def __init__(self, database: Database, clock: Clock, *, retention: timedelta) -> None:
        """Take what is needed.

        Args:
            database: Holds the sessions.
            clock: Tells which have ended.
            retention: How long they are kept after that; longer than
                :data:`.TOKENS_DIE_WITHIN`.
        """
        self._database = database
        self._clock = clock
        self._retention = retention

    async def purge(self, stop: asyncio.Event) -> int:
        """Delete those that were ended, or expired, long ago; see :func:`.purge_rows`."""
        kept_since = self._clock() - self._retention
        # Idle is never later than the absolute end.
        over = or_(SESSIONS.c.revoked_at <= kept_since, SESSIONS.c.idle_expires_at <= kept_since)
        return await purge_rows(self._database, SESSIONS, over, stop)
