"""Roles of organizations: for the one they belong to and those below it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from msgspec import UNSET, Struct
from sqlalchemy import ColumnElement, Select, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.authority import authorize, reach_of
from apostille_issuer.access.catalogue import IssuerPermission, SystemRole
from apostille_issuer.access.denying import OVER_ISSUER, require_may_deny
from apostille_issuer.access.holders import Holders, holders_below, holders_of_role
from apostille_issuer.access.holdings import Holdings, from_here_down, holdings_in, just_here
from apostille_issuer.access.memberships import MemberRoles
from apostille_issuer.access.models import (
    LINEAGE,
    MEMBERSHIPS,
    ORGANIZATIONS,
    MembershipRole,
    Role,
    RoleGrant,
)
from apostille_issuer.access.naming import reference
from apostille_issuer.access.policy import Change, Policy, require_held
from apostille_issuer.access.rights import Rights
from apostille_issuer.access.role_holders import count_of_holders, page_of_holders
from apostille_issuer.access.role_records import (
    Regrant,
    added,
    audited,
    checked_clone,
    checked_draft,
    checked_patch,
    drafted,
    grants_of,
    patched,
    require_free,
    require_known,
    store_grants,
    view_of,
)
from apostille_issuer.access.schemas import RoleClone, RoleDraft, RoleHolder, RolePatch, RoleView
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, key_of, page_of
from apostille_issuer.problems import IssuerProblem

__all__ = ["OrganizationRoles"]


class OrganizationRoles:
    """Acts on roles in an organization.

    To be seen there are its own roles, those of organizations above it, and
    those that are for all, but for ``superuser``. Changed are its own alone.

    Nobody hands on, by a role, what he does not hold where the role counts:
    in the organization, and below it if the role is inherited or was given
    there.
    """

    def __init__(self, policy: Policy) -> None:
        """Take what every change of policy needs."""
        self._policy = policy

    async def page(
        self,
        organization_id: uuid.UUID,
        context: RequestContext,
        *,
        cursor: str | None,
        limit: int,
    ) -> Page[RoleView]:
        """Return a page of the roles to be seen there in order of their names.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``.
        """
        statement = (
            select(Role)
            .where(_visible_in(organization_id), Role.name > key_of(cursor))
            .order_by(Role.name)
            .limit(limit + 1)
        )
        async with self._reading(organization_id, context) as session:
            roles = (await session.scalars(statement)).all()
            grants = await grants_of(session, [role.id for role in roles])
        return page_of(
            roles,
            limit,
            view=lambda role: view_of(role, grants[role.id]),
            key=lambda role: role.name,
        )

    async def get(self, organization_id: uuid.UUID, role: str, context: RequestContext) -> RoleView:
        """Return the role of that name or identifier, if it is to be seen there.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``.
        """
        wanted = reference(role)
        async with self._reading(organization_id, context) as session:
            found = await _find(session, organization_id, wanted)
            return view_of(found, (await grants_of(session, [found.id]))[found.id])

    async def members(
        self,
        organization_id: uuid.UUID,
        role: str,
        context: RequestContext,
        *,
        cursor: str | None,
        limit: int,
    ) -> Page[RoleHolder]:
        """Return a page of who holds a role by membership there, and below.

        Below only for who may see it there, too: because he acts for the
        platform, or by a role that is inherited.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``.
        """
        wanted = reference(role)
        read = IssuerPermission.ROLES_READ
        async with self._policy.database.read(reach_of(context)) as session:
            own = await holdings_in(session, context, organization_id, read)
            found = await _find(session, organization_id, wanted)
            within = from_here_down if own.below.cover(read) else just_here
            return await page_of_holders(
                session, found.id, within=within(organization_id), cursor=cursor, limit=limit
            )

    async def create(
        self, organization_id: uuid.UUID, draft: RoleDraft, context: RequestContext
    ) -> RoleView:
        """Create a role of the organization.

        Raises:
            IssuerProblem: ``validation_failed``; ``not_found``,
                ``permission_denied``; ``name_taken`` by another role of the
                tenant or one that is for all; ``unknown_permission`` for a
                grant that nothing in the catalogue answers to;
                ``grant_exceeds_own`` if the role would allow what the actor
                does not hold there.
        """
        grants = checked_draft(draft)
        act = EventTag.ROLE_CREATED
        async with self._changing(organization_id, draft.name, act, context) as desk:
            return await desk.create(draft, grants)

    async def clone(
        self, organization_id: uuid.UUID, role: str, clone: RoleClone, context: RequestContext
    ) -> RoleView:
        """Create a role of the organization that grants what one to be seen there does.

        Raises:
            IssuerProblem: What creating raises.
        """
        wanted, found = checked_clone(clone), reference(role)
        act = EventTag.ROLE_CREATED
        async with self._changing(organization_id, clone.name, act, context) as desk:
            source = await _find(desk.session, organization_id, found)
            grants = (await grants_of(desk.session, [source.id]))[source.id]
            return await desk.create(drafted(view_of(source, grants), wanted), grants)

    async def update(
        self, organization_id: uuid.UUID, role: str, patch: RolePatch, context: RequestContext
    ) -> RoleView:
        """Replace the fields of a role of the organization that *patch* names.

        As for a role that is for all (:meth:`.Roles.update`), with the rights
        that the actor has in the organization, and compared with those that
        its holders have by membership where they hold it; where it denies more,
        with those that they have further up, too.

        Raises:
            IssuerProblem: ``protected`` for a role that is not the
                organization's own; ``last_administrator`` if nobody would
                administer the tenant any more; and what creating raises.
        """
        wanted, found = checked_patch(patch), reference(role)
        act = EventTag.ROLE_UPDATED
        async with self._changing(organization_id, role, act, context) as desk:
            own = await desk.own(found)
            async with desk.keeping_administrator():
                return await desk.update(own, wanted)

    async def delete(self, organization_id: uuid.UUID, role: str, context: RequestContext) -> None:
        """Delete a role of the organization, and take it away from everybody.

        What the role denied is denied no longer, so the actor must hold that;
        and none who holds the role may have more rights over the organization
        than he.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``, ``protected``,
                ``grant_exceeds_own``, ``last_administrator``.
        """
        found, act = reference(role), EventTag.ROLE_DELETED
        async with self._changing(organization_id, role, act, context) as desk:
            own = await desk.own(found)
            async with desk.keeping_administrator():
                await desk.delete(own)

    @asynccontextmanager
    async def _reading(
        self, organization_id: uuid.UUID, context: RequestContext
    ) -> AsyncIterator[AsyncSession]:
        async with self._policy.database.read(reach_of(context)) as session:
            await authorize(session, context, organization_id, IssuerPermission.ROLES_READ)
            yield session

    @asynccontextmanager
    async def _changing(
        self, organization_id: uuid.UUID, role: str, tag: EventTag, context: RequestContext
    ) -> AsyncIterator[_Desk]:
        opened = self._policy.change(context, tag, f"role:{role}", reach=reach_of(context))
        async with opened as change:
            session, write = change.session, IssuerPermission.ROLES_WRITE
            own = await holdings_in(session, context, organization_id, write)
            tenant = select(ORGANIZATIONS.c.tenant_id).where(ORGANIZATIONS.c.id == organization_id)
            tenant_id = await session.scalar(tenant)
            yield _Desk(self._policy, change, context, own, organization_id, tenant_id)


class _Desk(Struct, frozen=True):
    """One change under way, of who may make it."""

    policy: Policy
    change: Change
    context: RequestContext
    holdings: Holdings
    """What the actor may hand on in the organization."""
    organization_id: uuid.UUID
    tenant_id: uuid.UUID | None

    @property
    def session(self) -> AsyncSession:
        """The transaction."""
        return self.change.session

    def keeping_administrator(self) -> AbstractAsyncContextManager[None]:
        """Let what the block does leave the tenant somebody who administers it."""
        return MemberRoles().keeping_administrator(self.session, self.context, self.organization_id)

    async def own(self, role: str | uuid.UUID) -> Role:
        """Return the role if it is the organization's own.

        Raises:
            IssuerProblem: ``not_found``, ``protected``.
        """
        found = await _find(self.session, self.organization_id, role)
        if found.organization_id != self.organization_id:
            raise IssuerProblem(ProblemCode.PROTECTED)
        return found

    async def create(self, draft: RoleDraft, grants: Rights) -> RoleView:
        """Write the role that *draft* describes."""
        await require_free(self.session, draft.name, self.tenant_id)
        await require_known(self.session, grants)
        require_held(self.holdings.behind(inherited=draft.inherited), grants.allows)
        now = self.policy.clock()
        role = Role(
            id=new_id(),
            tenant_id=self.tenant_id,
            organization_id=self.organization_id,
            name=draft.name,
            description=draft.description,
            system=False,
            inherited=draft.inherited,
            created_at=now,
            updated_at=now,
        )
        self.session.add(role)
        await self.session.flush()
        await store_grants(self.session, role, grants)
        view = view_of(role, grants)
        self._record(EventTag.ROLE_CREATED, view.name, after=view)
        return view

    async def update(self, row: Role, wanted: RolePatch) -> RoleView:
        """Make of the role what *wanted* says."""
        session, change = self.session, self.change
        held = (await grants_of(session, [row.id]))[row.id]
        before, grants = view_of(row, held), patched(held, wanted)
        inherited = row.inherited if wanted.inherited is UNSET else wanted.inherited
        regrant = Regrant.between(held, grants, was_inherited=row.inherited, inherited=inherited)
        holders = holders_of_role(row.id, inherited=row.inherited or inherited)
        await require_known(session, added(held, grants))
        await self._require(row, regrant, holders, inherited=inherited)
        if wanted.name not in (UNSET, row.name):
            await require_free(session, wanted.name, self.tenant_id)
            row.name = wanted.name
        if wanted.description is not UNSET:
            row.description = wanted.description
        row.inherited = inherited
        after = view_of(row, grants)
        if after == before:
            return before
        row.updated_at = self.policy.clock()
        await store_grants(session, row, grants)
        if (before.name, held) != (after.name, grants):
            await change.rights_changed(_members_of(holders))
        elif before.inherited != inherited:
            await change.rights_changed(holders_below(row.id))
        self._record(EventTag.ROLE_UPDATED, before.name, before=before, after=after)
        return view_of(row, grants)

    async def delete(self, row: Role) -> None:
        """Delete the role."""
        session = self.session
        held = (await grants_of(session, [row.id]))[row.id]
        holders = holders_of_role(row.id, inherited=row.inherited)
        regrant = Regrant(held.denies, takes_away=True, denies=False)
        await self._require(row, regrant, holders, inherited=row.inherited)
        members = await count_of_holders(session, row.id)
        # As long as it can be told who held it.
        await self.change.rights_changed(_members_of(holders))
        await session.execute(delete(Role).where(Role.id == row.id))
        self._record(EventTag.ROLE_DELETED, row.name, before=view_of(row, held), members=members)

    async def _require(
        self, role: Role, regrant: Regrant, holders: Holders, *, inherited: bool
    ) -> None:
        """Let the actor do to holders of *role* what *regrant* says.

        Raises:
            IssuerProblem: ``grant_exceeds_own``; ``protected`` if a superuser
                would be denied something.
        """
        below = role.inherited or inherited or await self._is_given_below(role)
        own = self.holdings.behind(inherited=below)
        if regrant.takes_away:
            held = await self.session.scalars(_over_issuer(holders, self.context.actor_id))
            require_held(own, held.all())
        require_held(own, regrant.must_hold)
        if regrant.denies:
            await require_may_deny(
                self.session, self.context, holders.users, self.organization_id, field="deny"
            )

    async def _is_given_below(self, role: Role) -> bool:
        given = (
            select(MEMBERSHIPS.c.id)
            .join(MembershipRole, MembershipRole.membership_id == MEMBERSHIPS.c.id)
            .where(
                MembershipRole.role_id == role.id,
                MEMBERSHIPS.c.organization_id != self.organization_id,
            )
        )
        return await self.session.scalar(given.limit(1)) is not None

    def _record(
        self,
        tag: EventTag,
        name: str,
        *,
        before: RoleView | None = None,
        after: RoleView | None = None,
        members: int | None = None,
    ) -> None:
        extra = {} if members is None else {"members": members}
        self.change.record(
            tag,
            f"role:{name}",
            before=None if before is None else audited(before) | extra,
            after=None if after is None else audited(after),
            tenant_id=self.tenant_id,
        )


def _visible_in(organization_id: uuid.UUID) -> ColumnElement[bool]:
    """Return what is true of roles to be seen in an organization."""
    above = select(LINEAGE.c.ancestor_id).where(LINEAGE.c.organization_id == organization_id)
    for_all = Role.organization_id.is_(None) & (Role.name != SystemRole.SUPERUSER.value)
    return or_(for_all, Role.organization_id.in_(above))


async def _find(session: AsyncSession, organization_id: uuid.UUID, role: str | uuid.UUID) -> Role:
    column = Role.id if isinstance(role, uuid.UUID) else Role.name
    found = await session.scalar(select(Role).where(column == role, _visible_in(organization_id)))
    if found is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return found


def _members_of(holders: Holders) -> Holders:
    """Return those alone who hold it by membership: nobody has an organization's role else."""
    return Holders(None, holders.places)


def _over_issuer(holders: Holders, actor_id: uuid.UUID | None) -> Select[str]:
    """Return the statement that finds what holders may do to the issuer where they hold it.

    By membership there, and by inheritance from further up; the actor's own
    rights are nobody else's business.
    """
    place = holders.places.subquery()
    return (
        select(RoleGrant.grant)
        .distinct()
        .select_from(place)
        .join(LINEAGE, LINEAGE.c.organization_id == place.c.organization_id)
        .join(
            MEMBERSHIPS,
            (MEMBERSHIPS.c.organization_id == LINEAGE.c.ancestor_id)
            & (MEMBERSHIPS.c.user_id == place.c.user_id),
        )
        .join(MembershipRole, MembershipRole.membership_id == MEMBERSHIPS.c.id)
        .join(
            Role,
            (Role.id == MembershipRole.role_id) & or_(LINEAGE.c.distance == 0, Role.inherited),
        )
        .join(RoleGrant, RoleGrant.role_id == Role.id)
        .where(
            place.c.user_id != actor_id,
            RoleGrant.effect == "allow",
            OVER_ISSUER,
        )
    )
