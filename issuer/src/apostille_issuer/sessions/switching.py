"""A session that speaks for another organization from now on, without a new login."""

from __future__ import annotations

import uuid

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.throttle import Buckets, Throttled
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clock import Clock
from apostille_issuer.db.attempts import until_it_holds
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.mint import Bearer
from apostille_issuer.sessions.rights import RightsReader
from apostille_issuer.sessions.store import Ask, Outcome, RefreshStore, Spoken
from apostille_issuer.settings import RateLimit
from apostille_issuer.status.allocation import IndexAllocator

__all__ = ["OrganizationSwitch"]


class OrganizationSwitch:
    """Uses a refresh token, alone in its transaction, for tokens that speak for somebody else."""

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        limit: RateLimit,
        store: RefreshStore,
        indexes: IndexAllocator,
        rights: RightsReader,
    ) -> None:
        """Take where sessions are, what they need, and how often one may switch."""
        self._database = database
        self._clock = clock
        self._places = Buckets(limit)
        self._audit = audit
        self._store = store
        self._indexes = indexes
        self._rights = rights

    async def use(self, ask: Ask, organization_id: uuid.UUID | None) -> Outcome:
        """Return what comes of *ask*, once that is committed.

        Membership is looked up now, and nobody changes it meanwhile.

        Raises:
            IssuerProblem: ``not_a_member``; ``rate_limited``, with
                ``retry_after``: each switch voids a token, which is kept in a
                status list for an hour; and what a refresh raises. Nothing has
                been used up.
        """
        self._take_place(ask.use.session_id)
        return await until_it_holds(lambda: self._switch(ask, organization_id))

    def _take_place(self, session_id: uuid.UUID) -> None:
        key, now = (str(session_id),), self._clock().timestamp()
        bucket = self._places.look(key, now)
        try:
            self._places.require(bucket, now)
        except Throttled as throttled:
            raise IssuerProblem(
                ProblemCode.RATE_LIMITED, retry_after=throttled.retry_after
            ) from None
        self._places.take(key, bucket)

    async def _switch(self, ask: Ask, organization_id: uuid.UUID | None) -> Outcome:
        spare = await self._indexes.take(1)
        try:
            async with self._database.begin(EVERY_TENANT) as session:
                await session.run_sync(self._rights.hold)
                before, outcome = await self._store.switch(session, ask, organization_id, spare)
                if not isinstance(outcome, ProblemCode):
                    after = Spoken(outcome.claims.tenant_id, organization_id)
                    self._record(session, ask, outcome.bearer, before, after)
            return outcome
        finally:
            self._indexes.give_back(spare)

    def _record(
        self, session: AsyncSession, ask: Ask, bearer: Bearer, before: Spoken, after: Spoken
    ) -> None:
        """Tell each tenant concerned what it lost or won, and nothing of the other one."""
        if before == after:
            return
        for tenant_id in {before.tenant_id, after.tenant_id} - {None}:
            self._audit.record(
                session,
                EventTag.ORGANIZATION_SWITCHED,
                context=msgspec.structs.replace(ask.context, actor_id=bearer.user_id),
                target=f"session:{bearer.session_id}",
                before=_seen_by(tenant_id, before),
                after=_seen_by(tenant_id, after),
                tenant_id=tenant_id,
            )


def _seen_by(tenant_id: uuid.UUID | None, spoken: Spoken) -> dict[str, uuid.UUID | None]:
    """Return for which of its organizations a tenant sees that a session spoke."""
    return {"organization": spoken.organization_id if spoken.tenant_id == tenant_id else None}
