"""What people do with their own sessions."""

from __future__ import annotations

import uuid

from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page
from apostille_issuer.sessions.ending import Ending, EndReason, SessionEnder
from apostille_issuer.sessions.listing import living_sessions, require_session
from apostille_issuer.sessions.schemas import SessionView

__all__ = ["OwnSessions"]


class OwnSessions:
    """Shows people where they are logged in, and logs them out there."""

    def __init__(self, database: Database, clock: Clock, ender: SessionEnder) -> None:
        """Take what these acts need."""
        self._database = database
        self._clock = clock
        self._ender = ender

    async def page(
        self,
        user_id: uuid.UUID,
        current: uuid.UUID | None,
        *,
        cursor: str | None,
        limit: int,
    ) -> Page[SessionView]:
        """Return a page of one's sessions, newest first; see :func:`.living_sessions`."""
        async with self._database.read(EVERY_TENANT) as session:
            return await living_sessions(
                session, user_id, self._clock(), current=current, cursor=cursor, limit=limit
            )

    async def end(self, user_id: uuid.UUID, session_id: uuid.UUID, context: RequestContext) -> None:
        """End one of one's sessions; that it has ended already is no error.

        Raises:
            IssuerProblem: ``not_found``; it never was one's own.
        """
        async with self._database.begin(EVERY_TENANT) as session:
            await require_session(session, user_id, session_id)
            await self._ender.end(session, session_id, self._ending(EndReason.BY_USER, context))

    async def end_others(
        self, user_id: uuid.UUID, current: uuid.UUID | None, context: RequestContext
    ) -> None:
        """End all of one's sessions but the *current* one."""
        async with self._database.begin(EVERY_TENANT) as session:
            ending = self._ending(EndReason.BY_USER, context)
            await self._ender.end_all(session, user_id, ending, but=current)

    async def end_everywhere(self, user_id: uuid.UUID, context: RequestContext) -> None:
        """End all of one's sessions."""
        async with self._database.begin(EVERY_TENANT) as session:
            await self._ender.end_all(session, user_id, self._ending(EndReason.LOGOUT, context))

    def _ending(self, reason: EndReason, context: RequestContext) -> Ending:
        return Ending(reason, self._clock(), context)
