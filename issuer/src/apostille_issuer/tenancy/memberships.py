"""Members of organizations: added, changed, removed; given roles."""

from __future__ import annotations

import uuid
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from msgspec import UNSET, structs
from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.administrators import keeping_administrator
from apostille_issuer.access.authority import authorize, reach_of
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.holdings import holdings_in
from apostille_issuer.access.memberships import (
    GrantedRole,
    Member,
    require_may_take,
)
from apostille_issuer.access.policy import Change
from apostille_issuer.access.service import AccessService
from apostille_issuer.accounts.drafts import checked_login
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.ending import SessionEnder
from apostille_issuer.tenancy.extras import (
    Extras,
    check_plan,
    check_scopes,
    require_may_grant,
)
from apostille_issuer.tenancy.lineage import require_active
from apostille_issuer.tenancy.members import member_in, members_in, place_of
from apostille_issuer.tenancy.membership_rules import MembershipRules, find_membership
from apostille_issuer.tenancy.models import SERVICE_ACCOUNTS, USERS, Membership, Organization
from apostille_issuer.tenancy.schemas.memberships import (
    MemberDraft,
    MemberFilter,
    MemberPatch,
    MemberView,
)
from apostille_issuer.tenancy.seats import require_seat

__all__ = ["Memberships"]

READ: Final = IssuerPermission.MEMBERS_READ.value
WRITE: Final = IssuerPermission.MEMBERS_WRITE.value

CREATED: Final = EventTag.MEMBERSHIP_CREATED
UPDATED: Final = EventTag.MEMBERSHIP_UPDATED
DELETED: Final = EventTag.MEMBERSHIP_DELETED


class Memberships:
    """Acts on the members of organizations, each in a transaction of its own.

    Administrators of the platform act in all organizations, those of a tenant
    where they hold the permission. Nobody hands on more than he holds himself,
    nor changes the membership of somebody who may do more there than he. The
    sessions concerned follow at once: those that speak for organizations where
    the member's rights change get new access tokens, those that speak for
    organizations where he does not stand any more end.
    """

    def __init__(
        self, database: Database, clock: Clock, *, access: AccessService, ender: SessionEnder
    ) -> None:
        """Take what is needed.

        Args:
            database: Holds the memberships.
            clock: Dates changes.
            access: Knows who may do what, and keeps the roles of members.
            ender: Ends sessions of who is no member any more.
        """
        self._database = database
        self._clock = clock
        self._access = access
        self._roles = access.members
        self._rules = MembershipRules(clock, roles=access.members, ender=ender)

    async def page(
        self,
        organization_id: uuid.UUID,
        wanted: MemberFilter,
        context: RequestContext,
        *,
        cursor: str | None,
        limit: int,
    ) -> Page[MemberView]:
        """Return a page of members, in the order in which their accounts were created.

        With ``subtree`` somebody is there once for each organization that he is in.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``;
                ``validation_failed`` for a cursor that is not ours, or what no
                login name begins with.
        """
        after = place_of(cursor)
        async with self._database.read(reach_of(context)) as session:
            await authorize(session, context, organization_id, READ)
            tenant_id = await _tenant_of(session, organization_id)
            return await members_in(
                session, tenant_id, organization_id, wanted, self._roles, after=after, limit=limit
            )

    async def get(
        self, organization_id: uuid.UUID, user_id: uuid.UUID, context: RequestContext
    ) -> MemberView:
        """Return a member.

        Raises:
            IssuerProblem: ``not_found``, also for who is a member further up
                alone; ``permission_denied``.
        """
        async with self._database.read(reach_of(context)) as session:
            await authorize(session, context, organization_id, READ)
            return await member_in(session, organization_id, user_id, self._roles)

    async def add(
        self, organization_id: uuid.UUID, draft: MemberDraft, context: RequestContext
    ) -> MemberView:
        """Make a user a member, with roles.

        Who acts in a tenant adds users who are in that tenant already, and its
        service accounts, and learns of no others: those he invites.

        Raises:
            IssuerProblem: ``not_found`` for the organization or the user;
                ``permission_denied``; ``validation_failed``;
                ``organization_inactive``; ``already_a_member``;
                ``seats_exhausted``; ``protected``; ``grant_exceeds_own``;
                ``platform_only`` for a plan that a tenant's administrator names.
        """
        login_key = _checked_subject(draft)
        extras = Extras(check_plan(draft.plan), check_scopes(draft.scopes))
        async with self._change(context, CREATED, organization_id) as change:
            session = change.session
            own = await holdings_in(session, context, organization_id, WRITE)
            await require_active(session, organization_id)
            tenant_id = await _tenant_of(session, organization_id)
            user_id = await _subject(session, draft.user_id, login_key, tenant_id, context)
            if await find_membership(session, organization_id, user_id) is not None:
                raise IssuerProblem(ProblemCode.ALREADY_A_MEMBER)
            await require_may_grant(session, context, organization_id, extras)
            roles = await self._roles.find(session, organization_id, draft.roles)
            member = Member(new_id(), tenant_id, organization_id, user_id)
            await self._rules.require_may_give(change, own, member, roles)
            await require_seat(session, tenant_id, self._clock(), user_id=user_id)
            await self._rules.insert(session, member, roles, extras, granted_by=change.actor_id)
            # He may have stood there before, by a role that he has further up.
            await self._rules.rights_changed(change, member, roles)
            view = await member_in(session, organization_id, user_id, self._roles)
            self._record(change, CREATED, member, after=view)
        return view

    async def update(
        self,
        organization_id: uuid.UUID,
        user_id: uuid.UUID,
        patch: MemberPatch,
        context: RequestContext,
    ) -> MemberView:
        """Replace what of a membership *patch* names.

        Suspending takes everything away that the membership gives, until it is
        active again; that takes a seat, as adding does.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``,
                ``validation_failed``, ``grant_exceeds_own``, ``platform_only``,
                ``seats_exhausted``, ``last_administrator``.
        """
        wanted = _checked(patch)
        async with self._change(context, UPDATED, organization_id) as change:
            session = change.session
            managed = await self._rules.manage(change, organization_id, user_id, context)
            before = managed.before
            after = structs.replace(before, **wanted)
            if after == before:
                return before
            had, extras = (Extras(view.plan, view.scopes) for view in (before, after))
            await require_may_grant(session, context, organization_id, extras, had)
            roles = await self._roles.of(session, managed.member.membership_id)
            if after.state != before.state:
                await self._rules.require_may_turn(
                    change, managed, roles, active=after.state == "active"
                )
            row = managed.row
            async with keeping_administrator(session, context, organization_id):
                row.state, row.plan, row.scopes = after.state, after.plan, list(after.scopes)
                row.updated_at = self._clock()
            await self._rules.rights_changed(change, managed.member, roles)
            if after.state == "suspended" != before.state:
                await self._rules.end_sessions(change, managed.member, context)
            after = structs.replace(after, updated_at=row.updated_at)
            self._record(change, UPDATED, managed.member, before=before, after=after)
        return after

    async def remove(
        self, organization_id: uuid.UUID, user_id: uuid.UUID, context: RequestContext
    ) -> None:
        """End a membership, and with it the roles that it gave.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``,
                ``grant_exceeds_own``, ``last_administrator``.
        """
        async with self._change(context, DELETED, organization_id) as change:
            session = change.session
            managed = await self._rules.manage(change, organization_id, user_id, context)
            roles = await self._roles.of(session, managed.member.membership_id)
            require_may_take(managed.own, roles)
            async with keeping_administrator(session, context, organization_id):
                await session.delete(managed.row)
            await self._rules.rights_changed(change, managed.member, roles)
            await self._rules.end_sessions(change, managed.member, context)
            self._record(change, DELETED, managed.member, before=managed.before)

    async def give_role(
        self, organization_id: uuid.UUID, user_id: uuid.UUID, role: str, context: RequestContext
    ) -> None:
        """Give a member a role; giving it twice changes nothing.

        Raises:
            IssuerProblem: ``not_found`` for the member or the role;
                ``permission_denied``; ``grant_exceeds_own`` if the role allows
                or denies what the actor does not hold wherever it counts;
                ``protected`` for ``superuser``; ``last_administrator`` if it
                denies what he is administrator by.
        """
        tag = EventTag.ROLE_ASSIGNED
        async with self._access.change(context, tag, f"user:{user_id}") as change:
            session = change.session
            managed = await self._rules.manage(change, organization_id, user_id, context)
            member, own = managed.member, managed.own
            given = await self._roles.find_one(session, organization_id, role)
            if given.name in managed.before.roles:
                return
            await self._rules.require_may_give(change, own, member, (given,))
            async with keeping_administrator(session, context, organization_id):
                await self._roles.give(
                    session, member, (given,), granted_by=change.actor_id, at=self._clock()
                )
            await self._rules.rights_changed(change, member, (given,))
            self._record_role(change, tag, member, after=given)

    async def take_role(
        self, organization_id: uuid.UUID, user_id: uuid.UUID, role: str, context: RequestContext
    ) -> None:
        """Take a role away from a member; taking it twice changes nothing.

        Raises:
            IssuerProblem: ``not_found`` for the member or the role;
                ``permission_denied``; ``grant_exceeds_own``; ``last_administrator``.
        """
        tag = EventTag.ROLE_UNASSIGNED
        async with self._access.change(context, tag, f"user:{user_id}") as change:
            session = change.session
            managed = await self._rules.manage(change, organization_id, user_id, context)
            member = managed.member
            taken = await self._roles.find_one(session, organization_id, role)
            if taken.name not in managed.before.roles:
                return
            require_may_take(managed.own, (taken,))
            async with keeping_administrator(session, context, organization_id):
                await self._roles.take(session, member, taken)
            await self._rules.rights_changed(change, member, (taken,))
            if taken.inherited:
                await self._rules.end_sessions(change, member, context)
            self._record_role(change, tag, member, before=taken)

    # Inside.

    def _change(
        self, context: RequestContext, tag: EventTag, organization_id: uuid.UUID
    ) -> AbstractAsyncContextManager[Change]:
        return self._access.change(context, tag, f"organization:{organization_id}")

    def _record(
        self,
        change: Change,
        tag: EventTag,
        member: Member,
        *,
        before: MemberView | None = None,
        after: MemberView | None = None,
    ) -> None:
        change.record(
            tag,
            f"organization:{member.organization_id}",
            before=before and _audited(before),
            after=after and _audited(after),
            tenant_id=member.tenant_id,
            affects_policy=False,
        )

    def _record_role(
        self,
        change: Change,
        tag: EventTag,
        member: Member,
        *,
        before: GrantedRole | None = None,
        after: GrantedRole | None = None,
    ) -> None:
        def shown(role: GrantedRole | None) -> dict[str, Any] | None:
            if role is None:
                return None
            return {"role": role.name, "organization": member.organization_id}

        change.record(
            tag,
            f"user:{member.user_id}",
            before=shown(before),
            after=shown(after),
            tenant_id=member.tenant_id,
            affects_policy=False,
        )


async def _subject(
    session: AsyncSession,
    user_id: uuid.UUID | None,
    login_key: str | None,
    tenant_id: uuid.UUID,
    context: RequestContext,
) -> uuid.UUID:
    """Return the user named, if the actor may know of him; nobody deletes him meanwhile.

    Raises:
        IssuerProblem: ``not_found``.
    """
    named = USERS.c.id == user_id if login_key is None else USERS.c.login_key == login_key
    statement = select(USERS.c.id).where(named)
    if context.organization_id is not None:
        statement = statement.where(
            or_(
                exists().where(Membership.user_id == USERS.c.id, Membership.tenant_id == tenant_id),
                # A service account is in its tenant, a member there or not.
                exists().where(
                    SERVICE_ACCOUNTS.c.id == USERS.c.id, SERVICE_ACCOUNTS.c.tenant_id == tenant_id
                ),
            )
        )
    # FOR KEY SHARE: he may be changed meanwhile, not deleted.
    kept = statement.with_for_update(read=True, key_share=True)
    found: uuid.UUID | None = await session.scalar(kept)
    if found is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return found


async def _tenant_of(session: AsyncSession, organization_id: uuid.UUID) -> uuid.UUID:
    organization = await session.get_one(Organization, organization_id)
    return organization.tenant_id


def _checked_subject(draft: MemberDraft) -> str | None:
    """Return the key of the login name that *draft* names, unless it names an identifier."""
    if (draft.user_id is None) == (draft.login is None):
        raise IssuerProblem.invalid_field("user_id", "either this or login")
    return None if draft.login is None else checked_login(draft.login).key


def _checked(patch: MemberPatch) -> dict[str, Any]:
    """Return the fields that *patch* names, if they can be stored."""
    wanted = {name: value for name, value in structs.asdict(patch).items() if value is not UNSET}
    if "plan" in wanted:
        check_plan(wanted["plan"])
    if "scopes" in wanted:
        wanted["scopes"] = check_scopes(wanted["scopes"])
    return wanted


def _audited(view: MemberView) -> dict[str, Any]:
    return {name: getattr(view, name) for name in ("user_id", "state", "roles", "plan", "scopes")}
