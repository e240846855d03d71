"""One change of a role of an organization, of who may make it."""

from __future__ import annotations

import uuid
from contextlib import AbstractAsyncContextManager

from msgspec import UNSET, Struct
from sqlalchemy import ColumnElement, Select, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.administrators import keeping_administrator
from apostille_issuer.access.catalogue import SystemRole
from apostille_issuer.access.denying import OVER_ISSUER, require_may_deny
from apostille_issuer.access.holders import Holders, holders_below, holders_of_role
from apostille_issuer.access.holdings import Holdings
from apostille_issuer.access.models import (
    LINEAGE,
    MEMBERSHIPS,
    MembershipRole,
    Role,
    RoleGrant,
)
from apostille_issuer.access.policy import Change, Policy, require_held
from apostille_issuer.access.rights import Rights
from apostille_issuer.access.role_holders import count_of_holders
from apostille_issuer.access.role_records import (
    Regrant,
    add_role,
    added,
    audited,
    describe,
    grants_of,
    patched,
    require_free,
    require_known,
    store_grants,
    view_of,
)
from apostille_issuer.access.schemas import RoleDraft, RolePatch, RoleView
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.quotas import require_fewer

__all__ = ["RoleDesk", "find_visible", "visible_in"]


class RoleDesk(Struct, frozen=True):
    """One change under way, of who may make it."""

    policy: Policy
    change: Change
    context: RequestContext
    holdings: Holdings
    """What the actor may hand on in the organization."""
    organization_id: uuid.UUID
    tenant_id: uuid.UUID | None
    per_tenant: int
    """Most roles that organizations of the tenant may have."""

    @property
    def session(self) -> AsyncSession:
        """The transaction."""
        return self.change.session

    def keeping_administrator(self) -> AbstractAsyncContextManager[None]:
        """Let what the block does leave the tenant somebody who administers it."""
        return keeping_administrator(self.session, self.context, self.organization_id)

    async def own(self, role: str | uuid.UUID) -> Role:
        """Return the role if it is the organization's own.

        Raises:
            IssuerProblem: ``not_found``, ``protected``.
        """
        found = await find_visible(self.session, self.organization_id, role)
        if found.organization_id != self.organization_id:
            raise IssuerProblem(ProblemCode.PROTECTED)
        return found

    async def create(self, draft: RoleDraft, grants: Rights) -> RoleView:
        """Write the role that *draft* describes."""
        await require_free(self.session, draft.name, self.tenant_id)
        existing = select(Role.id).where(Role.tenant_id == self.tenant_id)
        await require_fewer(self.session, existing, self.per_tenant, field="roles")
        await require_known(self.session, grants)
        require_held(self.holdings.behind(inherited=draft.inherited), grants.allows)
        role = await add_role(
            self.session,
            draft,
            grants,
            self.policy.clock(),
            tenant_id=self.tenant_id,
            organization_id=self.organization_id,
        )
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
        await describe(session, row, wanted, inherited=inherited)
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


def visible_in(organization_id: uuid.UUID) -> ColumnElement[bool]:
    """Return what is true of roles to be seen in an organization."""
    above = select(LINEAGE.c.ancestor_id).where(LINEAGE.c.organization_id == organization_id)
    for_all = Role.organization_id.is_(None) & (Role.name != SystemRole.SUPERUSER.value)
    return or_(for_all, Role.organization_id.in_(above))


async def find_visible(
    session: AsyncSession, organization_id: uuid.UUID, role: str | uuid.UUID
) -> Role:
    """Return the role of that name or identifier, if it is to be seen in an organization.

    Raises:
        IssuerProblem: ``not_found``.
    """
    column = Role.id if isinstance(role, uuid.UUID) else Role.name
    found = await session.scalar(select(Role).where(column == role, visible_in(organization_id)))
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
