"""Members who are made by an import, whoever asks."""

from __future__ import annotations

import uuid

from apostille_contracts.events import EventTag
from apostille_issuer.access.memberships import Member
from apostille_issuer.access.policy import Change
from apostille_issuer.clock import Clock
from apostille_issuer.db.types import new_id
from apostille_issuer.tenancy.extras import NO_EXTRAS
from apostille_issuer.tenancy.membership_rules import MembershipRules, find_membership
from apostille_issuer.tenancy.models import Organization
from apostille_issuer.tenancy.seats import require_seat

__all__ = ["Enrolment"]


class Enrolment:
    """Joins the transaction of an import at the command line; no route leads here."""

    def __init__(self, clock: Clock, rules: MembershipRules) -> None:
        """Take the clock, and who writes memberships."""
        self._clock = clock
        self._rules = rules

    async def enroll(
        self, change: Change, organization_id: uuid.UUID, user_id: uuid.UUID
    ) -> tuple[Member, bool]:
        """Return the member that a user is in an organization, and whether he was none before.

        Who becomes one has no roles yet, and takes a seat.

        Raises:
            IssuerProblem: ``seats_exhausted``.
        """
        session = change.session
        row = await find_membership(session, organization_id, user_id)
        if row is not None:
            return Member(row.id, row.tenant_id, organization_id, user_id), False
        organization = await session.get_one(Organization, organization_id)
        member = Member(new_id(), organization.tenant_id, organization_id, user_id)
        await require_seat(session, member.tenant_id, self._clock(), user_id=user_id)
        await self._rules.insert(session, member, (), NO_EXTRAS, granted_by=change.actor_id)
        change.record(
            EventTag.MEMBERSHIP_CREATED,
            f"organization:{organization_id}",
            after={"user_id": user_id, "state": "active"},
            tenant_id=member.tenant_id,
            affects_policy=False,
        )
        return member, True
