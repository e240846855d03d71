"""Routes of organizations."""

from __future__ import annotations

import uuid
from typing import Annotated, TypeAlias, get_args

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from apostille_adapters.litestar import HasPermission
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.http.answers import guarded
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import DEFAULT_LIMIT, Cursor, Limit, Page
from apostille_issuer.http.platform import WITHIN_ORGANIZATION
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.schemas.organizations import (
    EffectiveSettings,
    OrganizationDraft,
    OrganizationFilter,
    OrganizationMove,
    OrganizationPatch,
    OrganizationState,
    OrganizationView,
)
from apostille_issuer.tenancy.service import TenancyService

__all__ = ["OrganizationController"]

Tenancy: TypeAlias = NamedDependency[TenancyService]
Context: TypeAlias = NamedDependency[RequestContext]
OrganizationId: TypeAlias = FromPath[uuid.UUID]

READ = HasPermission(IssuerPermission.ORGANIZATIONS_READ)
WRITE = HasPermission(IssuerPermission.ORGANIZATIONS_WRITE)
END_SESSIONS = HasPermission(IssuerPermission.SESSIONS_WRITE)

NOT_FOUND = ProblemCode.NOT_FOUND
INVALID = ProblemCode.VALIDATION_FAILED
TAKEN = ProblemCode.NAME_TAKEN
IN_USE = ProblemCode.IN_USE
PROTECTED = ProblemCode.PROTECTED
INACTIVE = ProblemCode.ORGANIZATION_INACTIVE
TOO_DEEP = ProblemCode.ORGANIZATION_TOO_DEEP
FULL = ProblemCode.CONFLICT
CYCLE = ProblemCode.ORGANIZATION_CYCLE
EXCEEDS = ProblemCode.GRANT_EXCEEDS_OWN

TenantFilter = Annotated[uuid.UUID | None, QueryParameter(description="Only this tenant's.")]
ParentFilter = Annotated[
    uuid.UUID | None, QueryParameter(description="Only its subsidiaries, one level down.")
]
SubtreeFilter = Annotated[
    uuid.UUID | None, QueryParameter(description="Only it, and all below it.")
]
# "state" is a name that Litestar keeps for itself. Checked here, since Litestar
# would name the parameter of the handler in its complaint.
StateFilter = Annotated[
    str | None,
    QueryParameter(
        name="state",
        description="Only these; without it, all but deleted ones.",
        schema_extra={"enum": list(get_args(OrganizationState))},
    ),
]
NamePrefix = Annotated[
    str | None, QueryParameter(description="What the name begins with, in any case.")
]
Subtree = Annotated[bool, QueryParameter(description="All below it, too.")]


class OrganizationController(Controller):
    """Organizations of tenants."""

    path = "/v1/organizations"
    tags = ["Organizations"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {WITHIN_ORGANIZATION: True}  # noqa: RUF012 - the same

    @get(guards=[READ], responses=guarded(INVALID, anywhere=True))
    async def list_organizations(  # noqa: PLR0913 - the filters, by name
        self,
        *,
        tenancy: Tenancy,
        context: Context,
        tenant_id: TenantFilter = None,
        parent: ParentFilter = None,
        subtree_of: SubtreeFilter = None,
        organization_state: StateFilter = None,
        search: NamePrefix = None,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[OrganizationView]:
        """List organizations in order of their names.

        Whose token speaks for an organization sees those of its tenant that he may read.
        """
        wanted = OrganizationFilter(
            tenant_id=tenant_id,
            parent_id=parent,
            subtree_of=subtree_of,
            state=_state(organization_state),
            search=search,
        )
        return await tenancy.organizations.page(wanted, context, cursor=cursor, limit=limit)

    @post(
        guards=[WRITE],
        responses=guarded(NOT_FOUND, TAKEN, INACTIVE, TOO_DEEP, FULL, body=True, anywhere=True),
    )
    async def create_organization(
        self, data: JSONBody[OrganizationDraft], tenancy: Tenancy, context: Context
    ) -> Response[OrganizationView]:
        """Create a subsidiary of an organization, at most 8 levels below the root, which counts."""
        organization = await tenancy.organizations.create(data, context)
        location = f"/v1/organizations/{organization.id}"
        return Response(organization, headers={"location": location})

    @get("/{organization_id:uuid}", guards=[READ], responses=guarded(NOT_FOUND, anywhere=True))
    async def get_organization(
        self, organization_id: OrganizationId, tenancy: Tenancy, context: Context
    ) -> OrganizationView:
        """Show one organization; a deleted one is only in lists."""
        return await tenancy.organizations.get(organization_id, context)

    @patch(
        "/{organization_id:uuid}",
        guards=[WRITE],
        responses=guarded(NOT_FOUND, TAKEN, PROTECTED, body=True, anywhere=True),
    )
    async def update_organization(
        self,
        organization_id: OrganizationId,
        data: JSONBody[OrganizationPatch],
        tenancy: Tenancy,
        context: Context,
    ) -> OrganizationView:
        """Rename, set up, deactivate or activate an organization.

        Deactivating ends the sessions that speak for it or for one below it,
        and leaves it to who has rights in it from further up; activating
        brings no session back. The root cannot be deactivated: suspend the tenant.
        """
        return await tenancy.organizations.update(organization_id, data, context)

    @delete(
        "/{organization_id:uuid}",
        guards=[WRITE],
        responses=guarded(NOT_FOUND, INVALID, PROTECTED, IN_USE, anywhere=True),
    )
    async def delete_organization(
        self,
        organization_id: OrganizationId,
        tenancy: Tenancy,
        context: Context,
        subtree: Subtree = False,  # noqa: FBT002 - a query parameter
    ) -> None:
        """Delete an organization for good, and end the sessions that speak for it.

        One that has subsidiaries goes with all of them, `subtree`, or not at all.
        """
        await tenancy.organizations.delete(organization_id, context, subtree=subtree)

    @post(
        "/{organization_id:uuid}/move",
        guards=[WRITE],
        status_code=200,
        responses=guarded(
            NOT_FOUND,
            CYCLE,
            INACTIVE,
            TOO_DEEP,
            TAKEN,
            IN_USE,
            EXCEEDS,
            PROTECTED,
            body=True,
            anywhere=True,
        ),
    )
    async def move_organization(
        self,
        organization_id: OrganizationId,
        data: JSONBody[OrganizationMove],
        tenancy: Tenancy,
        context: Context,
    ) -> OrganizationView:
        """Make an organization, with all below it, a subsidiary of another one of its tenant.

        It takes the permission in all three: the organization, what it leaves
        and what it comes to. Whose roles are inherited there has them in it
        from now on; nobody can hand over by that what he does not hold.
        """
        return await tenancy.organizations.move(organization_id, data.parent_id, context)

    @get(
        "/{organization_id:uuid}/settings",
        guards=[READ],
        responses=guarded(NOT_FOUND, anywhere=True),
    )
    async def effective_settings(
        self, organization_id: OrganizationId, tenancy: Tenancy, context: Context
    ) -> EffectiveSettings:
        """Show the settings in force in an organization, and where each of them comes from."""
        return await tenancy.organizations.settings(organization_id, context)

    @delete(
        "/{organization_id:uuid}/sessions",
        guards=[END_SESSIONS],
        responses=guarded(NOT_FOUND, INVALID, anywhere=True),
    )
    async def end_organization_sessions(
        self,
        organization_id: OrganizationId,
        tenancy: Tenancy,
        context: Context,
        subtree: Subtree = False,  # noqa: FBT002 - a query parameter
    ) -> None:
        """End the sessions that speak for an organization; with `subtree`, for one below it."""
        await tenancy.organizations.end_sessions(organization_id, context, subtree=subtree)


def _state(text: str | None) -> OrganizationState | None:
    try:
        state: OrganizationState | None = msgspec.convert(text, OrganizationState | None)
    except msgspec.ValidationError as error:
        states = ", ".join(get_args(OrganizationState))
        raise IssuerProblem.invalid_field("state", f"must be one of {states}") from error
    return state
