"""Roles of organizations: for the one they belong to and those below it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_issuer.access.authority import authorize, reach_of
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.holdings import from_here_down, holdings_in, just_here
from apostille_issuer.access.models import (
    ORGANIZATIONS,
    Role,
)
from apostille_issuer.access.naming import reference
from apostille_issuer.access.organization_role_desk import RoleDesk, find_visible, visible_in
from apostille_issuer.access.policy import Policy
from apostille_issuer.access.role_holders import page_of_holders
from apostille_issuer.access.role_records import (
    checked_clone,
    checked_draft,
    checked_patch,
    drafted,
    grants_of,
    view_of,
)
from apostille_issuer.access.schemas import RoleClone, RoleDraft, RoleHolder, RolePatch, RoleView
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, key_of, page_of

__all__ = ["OrganizationRoles"]


class OrganizationRoles:
    """Acts on roles in an organization.

    To be seen there are its own roles, those of organizations above it, and
    those that are for all, but for ``superuser``. Changed are its own alone.

    Nobody hands on, by a role, what he does not hold where the role counts:
    in the organization, and below it if the role is inherited or was given
    there.
    """

    def __init__(self, policy: Policy, *, per_tenant: int) -> None:
        """Take what every change of policy needs, and how many roles a tenant may have."""
        self._policy = policy
        self._per_tenant = per_tenant

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
            .where(visible_in(organization_id), Role.name > key_of(cursor))
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
            found = await find_visible(session, organization_id, wanted)
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
            found = await find_visible(session, organization_id, wanted)
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
                does not hold there; ``conflict``: the tenant has as many as it
                may have.
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
            source = await find_visible(desk.session, organization_id, found)
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
    ) -> AsyncIterator[RoleDesk]:
        opened = self._policy.change(context, tag, f"role:{role}", reach=reach_of(context))
        async with opened as change:
            session, write = change.session, IssuerPermission.ROLES_WRITE
            own = await holdings_in(session, context, organization_id, write)
            tenant = select(ORGANIZATIONS.c.tenant_id).where(ORGANIZATIONS.c.id == organization_id)
            tenant_id = await session.scalar(tenant)
            yield RoleDesk(
                self._policy, change, context, own, organization_id, tenant_id, self._per_tenant
            )
