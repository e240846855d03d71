"""Tenants: created, shown, changed, suspended, deleted and restored."""

from __future__ import annotations

import uuid
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.authority import authorize_tenant, reach_of
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.policy import Change
from apostille_issuer.access.service import AccessService
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, page_of
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.ending import Ending, EndReason, SessionEnder
from apostille_issuer.tenancy.branding import check_branding, stored_branding
from apostille_issuer.tenancy.documents import check_document
from apostille_issuer.tenancy.lineage import add_root
from apostille_issuer.tenancy.models import Membership, Tenant
from apostille_issuer.tenancy.naming import LAST, Place, check_name, place_of, prefix_key
from apostille_issuer.tenancy.schemas.tenants import (
    SeatsView,
    TenantDraft,
    TenantFilter,
    TenantPatch,
    TenantView,
)
from apostille_issuer.tenancy.seats import used_seats
from apostille_issuer.tenancy.tenant_records import (
    AUDITED,
    checked_patch,
    checked_plan,
    find_tenant,
    organizations_of,
    require_platform,
    roots_of,
    target_of,
    view_of,
)

__all__ = ["Tenants"]

READ: Final = IssuerPermission.TENANTS_READ.value
WRITE: Final = IssuerPermission.TENANTS_WRITE.value


class Tenants:
    """Acts on tenants.

    Administrators of the platform act on all of them. Those of a tenant see
    their own and no other, and change what is theirs to decide: its name,
    settings and branding.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        access: AccessService,
        ender: SessionEnder,
        purge_after: timedelta,
    ) -> None:
        """Take what is needed.

        Args:
            database: Holds the tenants.
            clock: Dates changes.
            access: Knows who may do what.
            ender: Ends sessions that speak for a tenant's organizations.
            purge_after: How long a deleted tenant can be restored.
        """
        self._database = database
        self._clock = clock
        self._access = access
        self._ender = ender
        self._purge_after = purge_after

    async def page(
        self, wanted: TenantFilter, context: RequestContext, *, cursor: str | None, limit: int
    ) -> Page[TenantView]:
        """Return a page of tenants in order of their names.

        Whose token speaks for an organization finds his own tenant, or nothing
        if he has no rights in its root.

        Raises:
            IssuerProblem: ``validation_failed`` for a cursor that is not ours,
                or a name that none can have; ``permission_denied``.
        """
        statement = select(Tenant).order_by(Tenant.name_key, Tenant.id).limit(limit + 1)
        if (last := place_of(cursor)) is not None:
            statement = statement.where(
                tuple_(Tenant.name_key, Tenant.id) > tuple_(last.key, last.id)
            )
        if wanted.name:
            prefix = prefix_key("name", wanted.name)
            statement = statement.where(Tenant.name_key.between(prefix, prefix + LAST))
        if wanted.state is not None:
            statement = statement.where(Tenant.state == wanted.state)
        async with self._database.read(reach_of(context)) as session:
            if context.tenant_id is not None:
                if not await _is_his(session, context, context.tenant_id):
                    return Page((), None)
                statement = statement.where(Tenant.id == context.tenant_id)
            rows = (await session.scalars(statement)).all()
            roots = await roots_of(session, [row.id for row in rows])
        return page_of(
            rows,
            limit,
            view=lambda row: view_of(row, roots[row.id]),
            key=lambda row: Place(row.name_key, row.id),
        )

    async def get(self, tenant_id: uuid.UUID, context: RequestContext) -> TenantView:
        """Return a tenant.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``.
        """
        async with self._database.read(reach_of(context)) as session:
            await authorize_tenant(session, context, tenant_id, READ)
            return await self._viewed(session, await find_tenant(session, tenant_id))

    async def seats(self, tenant_id: uuid.UUID, context: RequestContext) -> SeatsView:
        """Return how many seats a tenant has, and how many are taken.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``.
        """
        async with self._database.read(reach_of(context)) as session:
            await authorize_tenant(session, context, tenant_id, READ)
            tenant = await find_tenant(session, tenant_id)
            used = await used_seats(session, tenant_id, self._clock())
        return SeatsView(seats=tenant.seats, used=used)

    async def create(self, draft: TenantDraft, context: RequestContext) -> TenantView:
        """Create a tenant and its root organization.

        Raises:
            IssuerProblem: ``validation_failed``.
        """
        name = check_name("name", draft.name)
        root_name = name if draft.root_name is None else check_name("root_name", draft.root_name)
        now = self._clock()
        tenant = Tenant(
            id=new_id(),
            name=name.text,
            name_key=name.key,
            state="active",
            plan=checked_plan(draft.plan),
            seats=draft.seats,
            entitlements=check_document("entitlements", draft.entitlements),
            settings=check_document("settings", draft.settings),
            branding=stored_branding(check_branding(draft.branding)),
            created_at=now,
            updated_at=now,
        )
        async with self._change(context, EventTag.TENANT_CREATED, tenant.id) as change:
            change.session.add(tenant)
            await change.session.flush()
            root = await add_root(change.session, tenant.id, root_name, now)
            view = view_of(tenant, root.id)
            self._record(change, EventTag.TENANT_CREATED, None, view)
        return view

    async def update(
        self, tenant_id: uuid.UUID, patch: TenantPatch, context: RequestContext
    ) -> TenantView:
        """Replace the fields of a tenant that *patch* names.

        Suspending ends the sessions that speak for its organizations; a new
        plan is in the access tokens of its members within seconds.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``;
                ``platform_only``, naming the fields that his tenant's
                administrator may not change; ``validation_failed``;
                ``seats_exhausted`` for fewer seats than are taken;
                ``conflict`` for a deleted tenant.
        """
        wanted = checked_patch(patch)
        async with self._change(context, EventTag.TENANT_UPDATED, tenant_id) as change:
            await authorize_tenant(change.session, context, tenant_id, WRITE)
            require_platform(patch, context)
            tenant = await find_tenant(change.session, tenant_id, lock=True)
            if tenant.state == "deleted":
                raise IssuerProblem(ProblemCode.CONFLICT)
            before = await self._viewed(change.session, tenant)
            for field, value in wanted.items():
                setattr(tenant, field, value)
            after = view_of(tenant, before.root_organization_id)
            if after == before:
                return before
            await self._require_seats(change.session, before, after)
            tenant.updated_at = self._clock()
            await change.session.flush()
            self._record(change, EventTag.TENANT_UPDATED, before, after)
            await self._follow(change, before, after, context)
            return view_of(tenant, before.root_organization_id)

    async def delete(self, tenant_id: uuid.UUID, context: RequestContext) -> None:
        """Delete a tenant: nobody acts in it any more, and after the grace it is purged.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``; ``conflict`` if
                it is deleted already.
        """
        async with self._change(context, EventTag.TENANT_DELETED, tenant_id) as change:
            await authorize_tenant(change.session, context, tenant_id, WRITE)
            tenant = await find_tenant(change.session, tenant_id, lock=True)
            if tenant.state == "deleted":
                raise IssuerProblem(ProblemCode.CONFLICT)
            before = await self._viewed(change.session, tenant)
            now = self._clock()
            tenant.state, tenant.updated_at = "deleted", now
            tenant.deleted_at, tenant.purge_at = now, now + self._purge_after
            await change.session.flush()
            after = view_of(tenant, before.root_organization_id)
            self._record(change, EventTag.TENANT_DELETED, before, after)
            await self._follow(change, before, after, context)

    async def restore(self, tenant_id: uuid.UUID, context: RequestContext) -> TenantView:
        """Make a deleted tenant active again, within the grace; its sessions stay ended.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``; ``conflict`` if
                it is not deleted, or the grace is over.
        """
        async with self._change(context, EventTag.TENANT_UPDATED, tenant_id) as change:
            await authorize_tenant(change.session, context, tenant_id, WRITE)
            tenant = await find_tenant(change.session, tenant_id, lock=True)
            now = self._clock()
            if tenant.purge_at is None or tenant.purge_at <= now:
                raise IssuerProblem(ProblemCode.CONFLICT)
            before = await self._viewed(change.session, tenant)
            tenant.state, tenant.updated_at = "active", now
            tenant.deleted_at = tenant.purge_at = None
            await change.session.flush()
            after = view_of(tenant, before.root_organization_id)
            self._record(change, EventTag.TENANT_UPDATED, before, after)
        return after

    # Inside.

    def _change(
        self, context: RequestContext, tag: EventTag, tenant_id: uuid.UUID
    ) -> AbstractAsyncContextManager[Change]:
        return self._access.change(context, tag, target_of(tenant_id))

    async def _viewed(self, session: AsyncSession, tenant: Tenant) -> TenantView:
        return view_of(tenant, (await roots_of(session, [tenant.id]))[tenant.id])

    def _record(
        self, change: Change, tag: EventTag, before: TenantView | None, after: TenantView
    ) -> None:
        """Record what differs. Nothing that is cached by policy depends on tenants."""
        differing = [
            name
            for name in AUDITED
            if before is None or getattr(before, name) != getattr(after, name)
        ]
        change.record(
            tag,
            target_of(after.id),
            before=before and {name: getattr(before, name) for name in differing},
            after={name: getattr(after, name) for name in differing},
            tenant_id=after.id,
            affects_policy=False,
        )

    async def _require_seats(
        self, session: AsyncSession, before: TenantView, after: TenantView
    ) -> None:
        if after.seats is None or (before.seats is not None and before.seats <= after.seats):
            return
        used = await used_seats(session, after.id, self._clock())
        if used > after.seats:
            raise IssuerProblem(
                ProblemCode.SEATS_EXHAUSTED, errors=(FieldError("seats", f"{used} are taken"),)
            )

    async def _follow(
        self, change: Change, before: TenantView, after: TenantView, context: RequestContext
    ) -> None:
        """Let the sessions that speak for the tenant's organizations follow; to be called last."""
        within = organizations_of(after.id)
        if before.state == "active" != after.state:
            now = self._clock()
            ending = Ending(EndReason.ORGANIZATION_INACTIVE, now, context)
            await self._ender.end_in(change.session, within, ending, target=target_of(after.id))
        elif before.plan != after.plan:
            members = select(Membership.user_id).where(
                Membership.tenant_id == after.id, Membership.plan.is_(None)
            )
            await change.rights_changed(members, within)


async def _is_his(session: AsyncSession, context: RequestContext, tenant_id: uuid.UUID) -> bool:
    try:
        await authorize_tenant(session, context, tenant_id, READ)
    except IssuerProblem as problem:
        if problem.code is ProblemCode.NOT_FOUND:
            return False
        raise
    return True
