"""Acts on organizations: created, shown, changed, moved, deleted, and those who speak for them."""

from __future__ import annotations

import uuid
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from msgspec import UNSET
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.authority import authorize, reach_of
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.policy import Change
from apostille_issuer.access.service import AccessService
from apostille_issuer.access.territory import territory_of
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, page_of
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.quotas import require_fewer
from apostille_issuer.sessions.ending import Ending, EndReason, SessionEnder
from apostille_issuer.tenancy.documents import check_document
from apostille_issuer.tenancy.lineage import (
    add_organization,
    just_it,
    move_organization,
    rename_organization,
    require_active,
    subtree_of,
    tenant_of,
)
from apostille_issuer.tenancy.listing import Range, organizations_in
from apostille_issuer.tenancy.models import Organization, OrganizationLineage, Tenant
from apostille_issuer.tenancy.moving import hand_over, require_room
from apostille_issuer.tenancy.naming import (
    DisplayName,
    Place,
    check_name,
    place_of,
    prefix_key,
)
from apostille_issuer.tenancy.organization_records import (
    WRITE,
    audited,
    find_to_change,
    record,
    require_depth,
    require_free,
    shown,
    target_of,
    view_of,
    viewed,
)
from apostille_issuer.tenancy.schemas.organizations import (
    EffectiveSetting,
    EffectiveSettings,
    OrganizationDraft,
    OrganizationFilter,
    OrganizationPatch,
    OrganizationView,
)

__all__ = ["AccountKeeper", "Organizations"]

READ: Final = IssuerPermission.ORGANIZATIONS_READ.value
END_SESSIONS: Final = IssuerPermission.SESSIONS_WRITE.value


class AccountKeeper(Protocol):
    """Who keeps the service accounts of organizations."""

    async def remove_in(self, change: Change, organizations: Select[uuid.UUID]) -> None:
        """Delete those of *organizations*, for which nothing speaks any more."""


class Organizations:
    """Acts on organizations, each for who has the right in them.

    One that is deactivated is in the hands of who has rights in it from
    further up the tree. A deleted one is only in lists.
    """

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        *,
        access: AccessService,
        ender: SessionEnder,
        accounts: AccountKeeper,
        per_tenant: int,
    ) -> None:
        """Take what is needed.

        Args:
            database: Holds the organizations.
            clock: Dates changes.
            access: Knows who may do what.
            ender: Ends sessions that speak for what is active no longer.
            accounts: Keeps service accounts, which go with their organization.
            per_tenant: Most that a tenant may have, its root and no deleted ones included.
        """
        self._database = database
        self._clock = clock
        self._access = access
        self._ender = ender
        self._accounts = accounts
        self._per_tenant = per_tenant

    async def page(
        self,
        wanted: OrganizationFilter,
        context: RequestContext,
        *,
        cursor: str | None,
        limit: int,
    ) -> Page[OrganizationView]:
        """Return a page of organizations in order of their names.

        Whose token speaks for an organization finds those of its tenant that
        he may read.

        Raises:
            IssuerProblem: ``validation_failed`` for a cursor that is not ours,
                or a name that none can have.
        """
        prefix = prefix_key("search", wanted.search) if wanted.search else ""
        part = Range(after=place_of(cursor), prefix=prefix, limit=limit + 1)
        async with self._database.read(reach_of(context)) as session:
            within = None
            if context.tenant_id is not None:
                if wanted.tenant_id not in (None, context.tenant_id):
                    return Page((), None)
                within = await territory_of(session, context, READ)
            found = await organizations_in(session, wanted, within, part)
            ids = (await session.scalars(found)).all()
            page = shown().where(Organization.id.in_(ids)).order_by(*_BY_NAME)
            rows = (await session.execute(page)).all()
        return page_of(
            rows,
            limit,
            view=lambda row: view_of(row.Organization, active=row.active),
            key=lambda row: Place(row.Organization.name_key, row.Organization.id),
        )

    async def get(self, organization_id: uuid.UUID, context: RequestContext) -> OrganizationView:
        """Return an organization.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``.
        """
        async with self._database.read(reach_of(context)) as session:
            await authorize(session, context, organization_id, READ)
            return await viewed(session, organization_id)

    async def settings(
        self, organization_id: uuid.UUID, context: RequestContext
    ) -> EffectiveSettings:
        """Return the settings in force in an organization, and where each comes from.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``.
        """
        from_the_root = (
            select(Organization, Tenant.settings.label("of_tenant"))
            .join(OrganizationLineage, OrganizationLineage.ancestor_id == Organization.id)
            .join(Tenant, Tenant.id == Organization.tenant_id)
            .where(OrganizationLineage.organization_id == organization_id)
            .order_by(OrganizationLineage.distance.desc())
        )
        async with self._database.read(reach_of(context)) as session:
            await authorize(session, context, organization_id, READ)
            rows = (await session.execute(from_the_root)).all()
        root = rows[0]
        held = {
            name: EffectiveSetting(
                value=value, source="tenant", source_id=root.Organization.tenant_id
            )
            for name, value in root.of_tenant.items()
        }
        for row in rows:
            source = row.Organization
            for name, value in source.settings.items():
                held[name] = EffectiveSetting(
                    value=value, source="organization", source_id=source.id
                )
        return EffectiveSettings(
            organization_id=organization_id, settings=dict(sorted(held.items()))
        )

    async def create(self, draft: OrganizationDraft, context: RequestContext) -> OrganizationView:
        """Create a subsidiary of an organization.

        Raises:
            IssuerProblem: ``not_found`` for the parent; ``permission_denied``
                in it; ``validation_failed``; ``name_taken``;
                ``organization_inactive``; ``organization_too_deep``;
                ``conflict``: the tenant has as many as it may have.
        """
        name = check_name("name", draft.name)
        settings = check_document("settings", draft.settings)
        now, ident = self._clock(), new_id()
        async with self._change(context, EventTag.ORGANIZATION_CREATED, ident) as change:
            session = change.session
            await authorize(session, context, draft.parent_id, WRITE)
            parent = await session.get_one(Organization, draft.parent_id)
            await require_active(session, parent.id)
            require_depth(parent.depth + 1)
            await require_free(session, parent.id, name)
            existing = select(Organization.id).where(
                Organization.tenant_id == parent.tenant_id, Organization.state != "deleted"
            )
            await require_fewer(session, existing, self._per_tenant, field="organizations")
            organization = Organization(
                id=ident,
                tenant_id=parent.tenant_id,
                parent_id=parent.id,
                name=name.text,
                name_key=name.key,
                state="active",
                depth=parent.depth + 1,
                settings=settings,
                created_at=now,
                updated_at=now,
            )
            await add_organization(session, organization)
            record(change, EventTag.ORGANIZATION_CREATED, organization)
            return view_of(organization, active=True)

    async def update(
        self, organization_id: uuid.UUID, patch: OrganizationPatch, context: RequestContext
    ) -> OrganizationView:
        """Replace the fields of an organization that *patch* names.

        Deactivating ends the sessions that speak for it or for one below it;
        activating does not bring them back. The root is what the tenant is:
        suspend that.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``,
                ``validation_failed``, ``name_taken``; ``protected``: the root
                cannot be deactivated.
        """
        name = None if patch.name is UNSET else check_name("name", patch.name)
        settings = patch.settings
        if settings is not UNSET:
            check_document("settings", settings)
        async with self._change(context, EventTag.ORGANIZATION_UPDATED, organization_id) as change:
            session = change.session
            organization = await find_to_change(session, context, organization_id)
            before = audited(organization)
            if name is not None and name.text != organization.name:
                await _rename(session, organization, name)
            if settings is not UNSET:
                organization.settings = settings
            if patch.state is not UNSET:
                if organization.parent_id is None and patch.state != organization.state:
                    raise IssuerProblem(ProblemCode.PROTECTED)
                organization.state = patch.state
            after = audited(organization)
            if after != before:
                organization.updated_at = self._clock()
                await session.flush()
                if after["state"] == "deactivated" != before["state"]:
                    await self._end_sessions(change, organization, context)
                record(change, EventTag.ORGANIZATION_UPDATED, organization, before=before)
            return await viewed(session, organization_id)

    async def move(
        self, organization_id: uuid.UUID, parent_id: uuid.UUID, context: RequestContext
    ) -> OrganizationView:
        """Make an organization, with all below it, a subsidiary of another one of its tenant.

        It takes the right in all three: the organization, what it leaves and
        what it comes to. Who has rights there that are inherited has them in
        the organization from now on, so the actor must hold them.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``;
                ``organization_cycle``: the new parent is below it, or it is
                the root; ``organization_inactive`` for the new parent;
                ``organization_too_deep``; ``name_taken``; ``in_use``: members
                have roles in it that belong to an organization that it leaves;
                ``grant_exceeds_own``, ``protected``: of :func:`.hand_over`.
        """
        async with self._change(context, EventTag.ORGANIZATION_MOVED, organization_id) as change:
            session = change.session
            organization = await find_to_change(session, context, organization_id)
            if organization.parent_id is None:
                raise IssuerProblem(ProblemCode.ORGANIZATION_CYCLE)
            await authorize(session, context, organization.parent_id, WRITE)
            parent = await find_to_change(session, context, parent_id)
            if parent.tenant_id != organization.tenant_id:
                raise IssuerProblem(ProblemCode.NOT_FOUND)
            if parent.id == organization.parent_id:
                return await viewed(session, organization_id)
            await require_room(session, organization, parent)
            await hand_over(change, context, organization, parent)
            before = audited(organization)
            await move_organization(session, organization, parent)
            organization.updated_at = self._clock()
            record(change, EventTag.ORGANIZATION_MOVED, organization, before=before)
            await session.flush()
            return await viewed(session, organization_id)

    async def delete(
        self, organization_id: uuid.UUID, context: RequestContext, *, subtree: bool = False
    ) -> None:
        """Delete an organization, for good; the sessions that speak for it end.

        Its roles and its service accounts go with it.

        Args:
            organization_id: Which one.
            context: Who acts.
            subtree: And all below it.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``; ``protected``
                for the root; ``in_use``: it has subsidiaries.
        """
        async with self._change(context, EventTag.ORGANIZATION_DELETED, organization_id) as change:
            session = change.session
            organization = await find_to_change(session, context, organization_id)
            if organization.parent_id is None:
                raise IssuerProblem(ProblemCode.PROTECTED)
            statement = select(Organization).where(
                Organization.id.in_(subtree_of(organization_id)), Organization.state != "deleted"
            )
            doomed = (await session.scalars(statement.order_by(Organization.depth))).all()
            if len(doomed) > 1 and not subtree:
                raise IssuerProblem(ProblemCode.IN_USE)
            now = self._clock()
            for each in doomed:
                before = audited(each)
                each.state, each.updated_at, each.deleted_at = "deleted", now, now
                record(change, EventTag.ORGANIZATION_DELETED, each, before=before)
            await session.flush()
            await self._end_sessions(change, organization, context)
            gone = subtree_of(organization_id)
            await self._access.remove_roles(change, gone)
            await self._accounts.remove_in(change, gone)

    async def end_sessions(
        self, organization_id: uuid.UUID, context: RequestContext, *, subtree: bool = False
    ) -> None:
        """End the sessions that speak for an organization, and their access tokens with them.

        Args:
            organization_id: For which one.
            context: Who acts.
            subtree: Or for one below it.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``.
        """
        async with self._database.begin(reach_of(context)) as session:
            await authorize(session, context, organization_id, END_SESSIONS)
            await tenant_of(session, organization_id)  # there is one
            await self._ender.end_in(
                session,
                subtree_of(organization_id) if subtree else just_it(organization_id),
                Ending(EndReason.BY_ADMINISTRATOR, self._clock(), context),
                target=target_of(organization_id),
            )

    def _change(
        self, context: RequestContext, tag: EventTag, organization_id: uuid.UUID
    ) -> AbstractAsyncContextManager[Change]:
        return self._access.change(context, tag, target_of(organization_id))

    async def _end_sessions(
        self, change: Change, organization: Organization, context: RequestContext
    ) -> None:
        """End the sessions that speak for what is active no longer."""
        await self._ender.end_in(
            change.session,
            subtree_of(organization.id),
            Ending(EndReason.ORGANIZATION_INACTIVE, organization.updated_at, context),
            target=target_of(organization.id),
        )


_BY_NAME = (Organization.name_key, Organization.id)


async def _rename(session: AsyncSession, organization: Organization, name: DisplayName) -> None:
    # The root has no siblings, and another case is no other name.
    if organization.parent_id is not None and name.key != organization.name_key:
        await require_free(session, organization.parent_id, name)
    await rename_organization(session, organization, name)
