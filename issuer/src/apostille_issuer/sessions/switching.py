"""A session that speaks for another organization from now on, without a new login."""

from __future__ import annotations

import uuid

import msgspec

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.sessions.rights import RightsReader
from apostille_issuer.sessions.store import Ask, Outcome, RefreshStore
from apostille_issuer.status.allocation import IndexAllocator

__all__ = ["OrganizationSwitch"]


class OrganizationSwitch:
    """Uses a refresh token, alone in its transaction, for tokens that speak for somebody else."""

    def __init__(
        self,
        database: Database,
        audit: AuditTrail,
        *,
        store: RefreshStore,
        indexes: IndexAllocator,
        rights: RightsReader,
    ) -> None:
        """Take where sessions are, and what they need."""
        self._database = database
        self._audit = audit
        self._store = store
        self._indexes = indexes
        self._rights = rights

    async def use(self, ask: Ask, organization_id: uuid.UUID | None) -> Outcome:
        """Return what comes of *ask*, once that is committed.

        Membership is looked up now, and nobody changes it meanwhile.

        Raises:
            IssuerProblem: ``not_a_member``, and what a refresh raises. Nothing
                has been used up.
        """
        spare = await self._indexes.take(1)
        try:
            async with self._database.begin(EVERY_TENANT) as session:
                await self._rights.hold(session)
                before, outcome = await self._store.switch(session, ask, organization_id, spare)
                if not isinstance(outcome, ProblemCode) and before != organization_id:
                    bearer = outcome.bearer
                    self._audit.record(
                        session,
                        EventTag.ORGANIZATION_SWITCHED,
                        context=msgspec.structs.replace(ask.context, actor_id=bearer.user_id),
                        target=f"session:{bearer.session_id}",
                        before={"organization": before},
                        after={"organization": organization_id},
                        tenant_id=outcome.claims.tenant_id,
                    )
            return outcome
        finally:
            self._indexes.give_back(spare)
