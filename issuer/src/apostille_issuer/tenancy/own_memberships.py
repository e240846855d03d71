"""The organizations that somebody may speak for."""

from __future__ import annotations

import uuid

from sqlalchemy import select

from apostille_issuer.access.memberships import RolesThere
from apostille_issuer.access.service import AccessService
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.paging import Page, page_of
from apostille_issuer.tenancy.lineage import is_active
from apostille_issuer.tenancy.listing import Range, organizations_in
from apostille_issuer.tenancy.models import Organization, Tenant
from apostille_issuer.tenancy.naming import Place, place_of
from apostille_issuer.tenancy.schemas.memberships import OwnMembership
from apostille_issuer.tenancy.schemas.organizations import OrganizationFilter

__all__ = ["OwnMemberships"]


class OwnMemberships:
    """Lists what the bearer of a token may switch to, in whichever tenants."""

    def __init__(self, database: Database, *, access: AccessService) -> None:
        """Take where memberships are, and who knows the roles."""
        self._database = database
        self._roles = access.members

    async def page(
        self, user_id: uuid.UUID, *, cursor: str | None, limit: int
    ) -> Page[OwnMembership]:
        """Return a page of the organizations that a user may speak for, in order of their names.

        Those that he is a member of, and those below one in which he has a
        role that is inherited; as long as they, all above them and their
        tenant are active.

        Raises:
            IssuerProblem: ``validation_failed`` for a cursor that is not ours.
        """
        part = Range(place_of(cursor), "", limit + 1)
        async with self._database.read(EVERY_TENANT) as session:
            territory = await self._roles.territory(session, user_id)
            found = await organizations_in(
                session, OrganizationFilter(), territory, part, only=is_active()
            )
            named = (
                select(Organization, Tenant.name.label("tenant"))
                .join(Tenant, Tenant.id == Organization.tenant_id)
                .where(Organization.id.in_(list(await session.scalars(found))))
                .order_by(Organization.name_key, Organization.id)
            )
            rows = (await session.execute(named)).all()
            there = await self._roles.roles_in(
                session, user_id, [row.Organization.id for row in rows]
            )
        page = page_of(
            rows,
            limit,
            view=lambda row: _view(row.Organization, row.tenant, there),
            key=lambda row: Place(row.Organization.name_key, row.Organization.id),
        )
        # Each statement may see another moment: what he has lost since is left out.
        kept = tuple(item for item in page.items if item.organization_id in there)
        return Page(kept, page.next_cursor)


def _view(
    organization: Organization, tenant: str, there: dict[uuid.UUID, RolesThere]
) -> OwnMembership:
    found = there.get(organization.id, RolesThere((), direct=False))
    return OwnMembership(
        organization_id=organization.id,
        organization=organization.name,
        tenant_id=organization.tenant_id,
        tenant=tenant,
        direct=found.direct,
        roles=found.names,
    )
