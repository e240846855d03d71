"""Roles that are for all, and their grants."""

from __future__ import annotations

import uuid

from msgspec import UNSET
from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import SystemRole
from apostille_issuer.access.holders import holders_below, holders_of_role
from apostille_issuer.access.models import LINEAGE, Role
from apostille_issuer.access.naming import reference
from apostille_issuer.access.policy import Policy
from apostille_issuer.access.role_holders import count_of_holders, page_of_holders
from apostille_issuer.access.role_records import (
    Regrant,
    add_role,
    added,
    audited,
    checked_clone,
    checked_draft,
    checked_patch,
    describe,
    drafted,
    grants_of,
    patched,
    require_custom,
    require_free,
    require_known,
    store_grants,
    view_of,
)
from apostille_issuer.access.schemas import (
    RoleClone,
    RoleDraft,
    RoleHolder,
    RolePatch,
    RoleView,
)
from apostille_issuer.access.superusers import require_no_superuser
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, key_of, page_of
from apostille_issuer.problems import IssuerProblem

__all__ = ["Roles", "find_role", "find_role_in", "grants_of"]


class Roles:
    """Acts on roles that are for all. System roles can be read and cloned, never changed."""

    def __init__(self, policy: Policy) -> None:
        """Take what every change of policy needs."""
        self._policy = policy

    async def page(self, *, cursor: str | None, limit: int) -> Page[RoleView]:
        """Return a page of roles in order of their names."""
        statement = (
            select(Role)
            .where(Role.tenant_id.is_(None), Role.name > key_of(cursor))
            .order_by(Role.name)
            .limit(limit + 1)
        )
        async with self._policy.database.read() as session:
            roles = (await session.scalars(statement)).all()
            grants = await grants_of(session, [role.id for role in roles])
        return page_of(
            roles,
            limit,
            view=lambda role: view_of(role, grants[role.id]),
            key=lambda role: role.name,
        )

    async def get(self, role: str) -> RoleView:
        """Return the role of that name or identifier.

        Raises:
            IssuerProblem: ``not_found``.
        """
        async with self._policy.database.read() as session:
            found = await find_role(session, reference(role))
            return view_of(found, (await grants_of(session, [found.id]))[found.id])

    async def members(self, role: str, *, cursor: str | None, limit: int) -> Page[RoleHolder]:
        """Return a page of who holds the role, everywhere or in any tenant's organization.

        In order of users; of one user, first what he holds everywhere.

        Raises:
            IssuerProblem: ``not_found``.
        """
        wanted = reference(role)
        async with self._policy.database.read(EVERY_TENANT) as session:
            found = await find_role(session, wanted)
            return await page_of_holders(session, found.id, cursor=cursor, limit=limit)

    async def create(self, draft: RoleDraft, context: RequestContext) -> RoleView:
        """Create a custom role.

        Raises:
            IssuerProblem: ``validation_failed``; ``name_taken``, by a role of
                any tenant, too; ``unknown_permission`` for a grant that
                nothing in the catalogue answers to; ``grant_exceeds_own`` if
                the role would allow what the actor does not hold.
        """
        grants, target = checked_draft(draft), f"role:{draft.name}"
        now = self._policy.clock()
        async with self._policy.change(context, EventTag.ROLE_CREATED, target) as change:
            await require_free(change.session, draft.name, None)
            await require_known(change.session, grants)
            await change.require(grants.allows)
            role = await add_role(change.session, draft, grants, now)
            view = view_of(role, grants)
            change.record(EventTag.ROLE_CREATED, target, after=audited(view))
        return view

    async def clone(self, role: str, clone: RoleClone, context: RequestContext) -> RoleView:
        """Create a custom role that grants what another one does.

        Raises:
            IssuerProblem: ``not_found``; ``protected`` for ``superuser``; and
                what creating raises.
        """
        wanted = checked_clone(clone)
        source = await self.get(role)
        if source.name == SystemRole.SUPERUSER:
            raise IssuerProblem(ProblemCode.PROTECTED)
        return await self.create(drafted(source, wanted), context)

    async def update(self, role: str, patch: RolePatch, context: RequestContext) -> RoleView:
        """Replace the fields of a custom role that *patch* names.

        Allowing more, or denying less, hands rights to everybody who holds
        the role, so the actor must hold them; so he must what is newly
        denied. Denying more or allowing less takes rights away from everybody
        who holds the role: none of them may have more rights over the issuer
        than he, and a superuser is denied nothing. To be inherited or not is
        to be granted, or taken away, below.

        Raises:
            IssuerProblem: ``not_found``, ``protected``, and what creating raises.
        """
        found, wanted = reference(role), checked_patch(patch)
        async with self._policy.change(context, EventTag.ROLE_UPDATED, f"role:{role}") as change:
            row = await find_role(change.session, found)
            require_custom(row)
            held = (await grants_of(change.session, [row.id]))[row.id]
            before, grants = view_of(row, held), patched(held, wanted)
            inherited = row.inherited if wanted.inherited is UNSET else wanted.inherited
            regrant = Regrant.between(
                held, grants, was_inherited=row.inherited, inherited=inherited
            )
            holders = holders_of_role(row.id, inherited=row.inherited or inherited)
            await require_known(change.session, added(held, grants))
            if regrant.takes_away:
                await change.require_may_manage(holders.users)
            await change.require(regrant.must_hold)
            if regrant.denies:
                await require_no_superuser(change.session, holders.users, "deny")
            await describe(change.session, row, wanted, inherited=inherited)
            after = view_of(row, grants)
            if after == before:
                return before
            row.updated_at = self._policy.clock()
            await store_grants(change.session, row, grants)
            if (before.name, held) != (after.name, grants):
                await change.rights_changed(holders)
            elif before.inherited != inherited:
                await change.rights_changed(holders_below(row.id))
            change.record(
                EventTag.ROLE_UPDATED,
                f"role:{before.name}",
                before=audited(before),
                after=audited(after),
            )
        return view_of(row, grants)

    async def delete(self, role: str, context: RequestContext) -> None:
        """Delete a custom role, and with it everybody's assignment of it.

        What the role denied is denied no longer, so the actor must hold that;
        and none who holds the role may have more rights over the issuer than he.

        Raises:
            IssuerProblem: ``not_found``, ``protected``, ``grant_exceeds_own``.
        """
        found = reference(role)
        async with self._policy.change(context, EventTag.ROLE_DELETED, f"role:{role}") as change:
            row = await find_role(change.session, found)
            require_custom(row)
            held = (await grants_of(change.session, [row.id]))[row.id]
            holders = holders_of_role(row.id, inherited=row.inherited)
            await change.require_may_manage(holders.users)
            await change.require(held.denies)
            members = await count_of_holders(change.session, row.id)
            # As long as it can be told who held it.
            await change.rights_changed(holders)
            await change.session.execute(delete(Role).where(Role.id == row.id))
            change.record(
                EventTag.ROLE_DELETED,
                f"role:{row.name}",
                before={**audited(view_of(row, held)), "members": members},
            )


async def find_role(session: AsyncSession, role: str | uuid.UUID) -> Role:
    """Return the role for all of that name or identifier.

    Raises:
        IssuerProblem: ``not_found``.
    """
    column = Role.id if isinstance(role, uuid.UUID) else Role.name
    found = await session.scalar(select(Role).where(column == role, Role.tenant_id.is_(None)))
    if found is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return found


async def find_role_in(
    session: AsyncSession, organization_id: uuid.UUID, role: str | uuid.UUID
) -> Role:
    """Return the role of that name or identifier if it can be given in an organization.

    That is one that is for all, or belongs to the organization or one above it.

    Raises:
        IssuerProblem: ``not_found``; ``protected`` for ``superuser``, which
            nobody is in an organization alone.
    """
    above = select(LINEAGE.c.ancestor_id).where(LINEAGE.c.organization_id == organization_id)
    column = Role.id if isinstance(role, uuid.UUID) else Role.name
    found = await session.scalar(
        select(Role).where(
            column == role, or_(Role.organization_id.is_(None), Role.organization_id.in_(above))
        )
    )
    if found is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    if found.system and found.name == SystemRole.SUPERUSER:
        raise IssuerProblem(ProblemCode.PROTECTED)
    return found
