"""What administrators do with other people's sessions."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.assignments import require_user
from apostille_issuer.access.service import AccessService
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.ending import Ending, EndReason, SessionEnder
from apostille_issuer.sessions.listing import living_sessions, require_session
from apostille_issuer.sessions.schemas import SessionView

__all__ = ["ManagedSessions"]


class ManagedSessions:
    """Shows administrators where somebody is logged in, and logs him out there."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        access: AccessService,
        ender: SessionEnder,
    ) -> None:
        """Take what these acts need."""
        self._database = database
        self._clock = clock
        self._audit = audit
        self._access = access
        self._ender = ender

    async def page(
        self, user_id: uuid.UUID, current: uuid.UUID | None, *, cursor: str | None, limit: int
    ) -> Page[SessionView]:
        """Return a page of a user's sessions, newest first; see :func:`.living_sessions`.

        Raises:
            IssuerProblem: ``not_found``; ``validation_failed``.
        """
        async with self._database.read(EVERY_TENANT) as session:
            await require_user(session, user_id)
            return await living_sessions(
                session, user_id, self._clock(), current=current, cursor=cursor, limit=limit
            )

    async def end(self, user_id: uuid.UUID, session_id: uuid.UUID, context: RequestContext) -> None:
        """End a session of a user; that it has ended already is no error.

        Raises:
            IssuerProblem: ``not_found``; ``grant_exceeds_own`` where he has
                more rights over the issuer than the actor.
        """
        async with self._managing(user_id, context) as session:
            await require_session(session, user_id, session_id)
            await self._ender.end(session, session_id, self._ending(context))

    async def end_all(self, user_id: uuid.UUID, context: RequestContext) -> None:
        """End all sessions of a user.

        Raises:
            IssuerProblem: ``not_found``, ``grant_exceeds_own``.
        """
        async with self._managing(user_id, context) as session:
            await self._ender.end_all(session, user_id, self._ending(context))

    @asynccontextmanager
    async def _managing(
        self, user_id: uuid.UUID, context: RequestContext
    ) -> AsyncIterator[AsyncSession]:
        """Open a transaction for whoever may manage the user; who may not is recorded.

        Attempts to go around a control are events of their own (ASVS 5.0 V16.3.3).
        """
        try:
            async with self._database.begin(EVERY_TENANT) as session:
                await require_user(session, user_id)
                await self._access.ensure_may_manage(session, context.actor_id, user_id)
                yield session
        except IssuerProblem as problem:
            if problem.code is ProblemCode.GRANT_EXCEEDS_OWN:
                async with self._database.begin(EVERY_TENANT) as session:
                    self._audit.record(
                        session,
                        EventTag.SESSION_ENDED,
                        context=context,
                        target=f"user:{user_id}",
                        outcome="refused",
                        after={"code": problem.code.value, "missing": list(problem.missing)},
                    )
            raise

    def _ending(self, context: RequestContext) -> Ending:
        return Ending(EndReason.BY_ADMINISTRATOR, self._clock(), context)
