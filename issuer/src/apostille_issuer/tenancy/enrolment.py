"""Members who are made by an import, whoever asks."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_issuer.access.memberships import Member
from apostille_issuer.access.policy import Change
from apostille_issuer.clock import Clock
from apostille_issuer.db.types import new_id
from apostille_issuer.tenancy.lineage import tenant_of
from apostille_issuer.tenancy.models import Membership
from apostille_issuer.tenancy.seats import lock_seats, require_seat

__all__ = ["Enrolment"]


class Enrolment:
    """Joins the transaction of an import at the command line; no route leads here."""

    def __init__(self, clock: Clock) -> None:
        """Take the clock that dates memberships."""
        self._clock = clock

    async def enroll(
        self, change: Change, organization_id: uuid.UUID, user_ids: Collection[uuid.UUID]
    ) -> tuple[dict[uuid.UUID, Member], frozenset[uuid.UUID]]:
        """Return the members that users are in an organization, and which were none before.

        Who becomes one has no roles yet, and takes a seat.

        Raises:
            IssuerProblem: ``seats_exhausted``.
        """
        session = change.session
        tenant_id = await tenant_of(session, organization_id)
        members = await _members(session, organization_id, user_ids)
        new = [user_id for user_id in user_ids if user_id not in members]
        limited = bool(new) and await lock_seats(session, tenant_id) is not None
        now = self._clock()
        for user_id in new:
            if limited:
                await session.flush()
                await require_seat(session, tenant_id, now, user_id=user_id)
            member = Member(new_id(), tenant_id, organization_id, user_id)
            session.add(
                Membership(
                    id=member.membership_id,
                    tenant_id=tenant_id,
                    organization_id=organization_id,
                    user_id=user_id,
                    state="active",
                    scopes=[],
                    created_at=now,
                    updated_at=now,
                )
            )
            members[user_id] = member
            change.record(
                EventTag.MEMBERSHIP_CREATED,
                f"organization:{organization_id}",
                after={"user_id": user_id, "state": "active"},
                tenant_id=tenant_id,
                affects_policy=False,
            )
        await session.flush()
        return members, frozenset(new)


async def _members(
    session: AsyncSession, organization_id: uuid.UUID, user_ids: Collection[uuid.UUID]
) -> dict[uuid.UUID, Member]:
    """Return those who are members already, whatever state that is in."""
    found = select(Membership.id, Membership.tenant_id, Membership.user_id).where(
        Membership.organization_id == organization_id, Membership.user_id.in_(user_ids)
    )
    return {
        row.user_id: Member(row.id, row.tenant_id, organization_id, row.user_id)
        for row in await session.execute(found)
    }
