"""Ending sessions by an operator's word: one, a user's, an organization's, or everybody's."""

from __future__ import annotations

import uuid
from typing import Final

from sqlalchemy import select

from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import RequestContext
from apostille_issuer.sessions.ending import Ending, EndReason, SessionEnder
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.tenancy.lineage import just_it, subtree_of, tenant_of

__all__ = ["SessionRevoker"]

BATCH: Final = 1_000
"""Sessions ended in one transaction: nobody waits for more."""


class SessionRevoker:
    """Ends sessions, and with them their access tokens; returns how many those were."""

    def __init__(self, database: Database, clock: Clock, ender: SessionEnder) -> None:
        """Take where sessions are and who ends them."""
        self._database = database
        self._clock = clock
        self._ender = ender

    async def revoke(self, session_id: uuid.UUID, context: RequestContext) -> int:
        """End one session."""
        async with self._database.begin(EVERY_TENANT) as session:
            return int(await self._ender.end(session, session_id, self._ending(context)))

    async def revoke_user(self, user_id: uuid.UUID, context: RequestContext) -> int:
        """End all sessions of a user."""
        async with self._database.begin(EVERY_TENANT) as session:
            return await self._ender.end_all(session, user_id, self._ending(context))

    async def revoke_organization(
        self, organization_id: uuid.UUID, context: RequestContext, *, subtree: bool = False
    ) -> int:
        """End all sessions that speak for an organization; with *subtree*, for one below it, too.

        Raises:
            IssuerProblem: ``not_found``; there is no such organization.
        """
        async with self._database.begin(EVERY_TENANT) as session:
            await tenant_of(session, organization_id)  # there is one
            return await self._ender.end_in(
                session,
                subtree_of(organization_id) if subtree else just_it(organization_id),
                self._ending(context),
                target=f"organization:{organization_id}",
            )

    async def revoke_everybody(self, context: RequestContext) -> int:
        """End all sessions there are, a batch at a time; those that begin meanwhile stay.

        API keys stay, too (:class:`.SessionEnder`): their access tokens do not.
        """
        ending = self._ending(context)
        living = (
            select(LoginSession.id)
            .where(
                LoginSession.revoked_at.is_(None),
                LoginSession.expires_at > ending.at,
                LoginSession.created_at <= ending.at,
            )
            .order_by(LoginSession.id)
            .limit(BATCH)
        )
        ended, last = 0, uuid.UUID(int=0)
        while True:
            async with self._database.begin(EVERY_TENANT) as session:
                batch = (await session.scalars(living.where(LoginSession.id > last))).all()
                ended += await self._ender.end_these(session, batch, ending)
            if len(batch) < BATCH:
                return ended
            last = batch[-1]

    def _ending(self, context: RequestContext) -> Ending:
        return Ending(EndReason.REVOKED, self._clock(), context)
