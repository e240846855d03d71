"""What every act on a membership does: who may change it, and which sessions follow."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.holders import just_him
from apostille_issuer.access.holdings import Holdings, holdings_in
from apostille_issuer.access.memberships import (
    GrantedRole,
    Member,
    MemberRoles,
    require_may_give,
    require_may_take,
)
from apostille_issuer.access.policy import Change
from apostille_issuer.clock import Clock
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.ending import Ending, EndReason, SessionEnder
from apostille_issuer.tenancy.extras import Extras
from apostille_issuer.tenancy.members import member_in
from apostille_issuer.tenancy.models import Membership
from apostille_issuer.tenancy.schemas.memberships import MemberView
from apostille_issuer.tenancy.seats import require_seat

__all__ = ["Managed", "MembershipRules", "find_membership"]


class Managed(Struct, frozen=True):
    """A membership that the actor may change."""

    row: Membership
    member: Member
    own: Holdings
    """What he may hand on there."""
    before: MemberView


class MembershipRules:
    """Joins the transactions in which memberships change; opens none."""

    def __init__(self, clock: Clock, *, roles: MemberRoles, ender: SessionEnder) -> None:
        """Take what is needed.

        Args:
            clock: Dates changes.
            roles: Keeps the roles of members.
            ender: Ends sessions of who is no member any more.
        """
        self._clock = clock
        self._roles = roles
        self._ender = ender

    async def manage(
        self,
        change: Change,
        organization_id: uuid.UUID,
        user_id: uuid.UUID,
        context: RequestContext,
    ) -> Managed:
        """Return a membership that the actor may change.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``, ``grant_exceeds_own``.
        """
        session = change.session
        own = await holdings_in(session, context, organization_id, IssuerPermission.MEMBERS_WRITE)
        row = await find_membership(session, organization_id, user_id)
        if row is None:
            raise IssuerProblem(ProblemCode.NOT_FOUND)
        member = Member(row.id, row.tenant_id, organization_id, user_id)
        await self._roles.require_may_manage(session, context, own, member)
        before = await member_in(session, organization_id, user_id, self._roles)
        return Managed(row, member, own, before)

    async def require_may_give(
        self, change: Change, own: Holdings, member: Member, roles: Sequence[GrantedRole]
    ) -> None:
        """Let the actor give a member *roles*.

        Raises:
            IssuerProblem: ``grant_exceeds_own``, ``protected``.
        """
        require_may_give(own, roles)
        await self._roles.require_may_manage(
            change.session, change.context, own, member, new_roles=roles
        )

    async def require_may_turn(
        self, change: Change, managed: Managed, roles: Sequence[GrantedRole], *, active: bool
    ) -> None:
        """Let the actor suspend a membership that gives *roles*, or make it active again.

        Raises:
            IssuerProblem: ``grant_exceeds_own``, ``protected``, ``seats_exhausted``.
        """
        if not active:
            require_may_take(managed.own, roles)
            return
        member = managed.member
        await self.require_may_give(change, managed.own, member, roles)
        await require_seat(change.session, member.tenant_id, self._clock(), user_id=member.user_id)

    async def rights_changed(
        self, change: Change, member: Member, roles: Iterable[GrantedRole]
    ) -> None:
        """Void his access tokens where his rights change if a membership with *roles* does."""
        within = self._roles.places_concerned(member.organization_id, roles)
        await change.rights_changed(just_him(member.user_id), within)

    async def end_sessions(self, change: Change, member: Member, context: RequestContext) -> None:
        """End his sessions where he does not stand any more; after :meth:`rights_changed`.

        That has locked them all, in the one order in which sessions are locked.
        """
        ending = Ending(EndReason.MEMBERSHIP_ENDED, self._clock(), context)
        await self._ender.end_in(
            change.session,
            self._roles.places_lost(member.organization_id, member.user_id),
            ending,
            user_id=member.user_id,
            target=f"user:{member.user_id}",
        )

    async def insert(
        self,
        session: AsyncSession,
        member: Member,
        roles: Iterable[GrantedRole],
        extras: Extras,
        *,
        granted_by: uuid.UUID | None,
    ) -> None:
        """Write down a new membership with *roles*, without asking whether it may be."""
        now = self._clock()
        session.add(
            Membership(
                id=member.membership_id,
                tenant_id=member.tenant_id,
                organization_id=member.organization_id,
                user_id=member.user_id,
                state="active",
                plan=extras.plan,
                scopes=list(extras.scopes),
                created_at=now,
                updated_at=now,
            )
        )
        await session.flush()
        await self._roles.give(session, member, roles, granted_by=granted_by, at=now)


async def find_membership(
    session: AsyncSession, organization_id: uuid.UUID, user_id: uuid.UUID
) -> Membership | None:
    """Return the membership of a user in an organization itself, if he has one."""
    return await session.scalar(
        select(Membership).where(
            Membership.organization_id == organization_id, Membership.user_id == user_id
        )
    )
