"""Routes of tenants and their host names."""

from __future__ import annotations

import uuid
from typing import Annotated, Final, TypeAlias, get_args

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
from apostille_issuer.tenancy.schemas.domains import DomainDraft, DomainView
from apostille_issuer.tenancy.schemas.tenants import (
    SeatsView,
    TenantDraft,
    TenantFilter,
    TenantPatch,
    TenantState,
    TenantView,
)
from apostille_issuer.tenancy.service import TenancyService

__all__ = ["TenantController", "TenantDomainController"]

TENANTS_READ = HasPermission(IssuerPermission.TENANTS_READ)
TENANTS_WRITE = HasPermission(IssuerPermission.TENANTS_WRITE)

NOT_FOUND = ProblemCode.NOT_FOUND
INVALID = ProblemCode.VALIDATION_FAILED
CONFLICT = ProblemCode.CONFLICT

ANYWHERE: Final = {WITHIN_ORGANIZATION: True}
"""For routes that tell tenants apart; the others are the platform's alone."""

Tenancy: TypeAlias = NamedDependency[TenancyService]
Context: TypeAlias = NamedDependency[RequestContext]
TenantId: TypeAlias = FromPath[uuid.UUID]
DomainId: TypeAlias = FromPath[uuid.UUID]

NamePrefix = Annotated[
    str | None, QueryParameter(description="What the name begins with, in any case.")
]
# "state" is a name that Litestar keeps for itself. Checked here, since Litestar
# would name the parameter of the handler in its complaint.
StateFilter = Annotated[
    str | None,
    QueryParameter(
        name="state", description="Only these.", schema_extra={"enum": list(get_args(TenantState))}
    ),
]


class TenantController(Controller):
    """Tenants."""

    path = "/v1/tenants"
    tags = ["Tenants"]  # noqa: RUF012 - Litestar's way to configure a controller

    @get(guards=[TENANTS_READ], opt=ANYWHERE, responses=guarded(INVALID, anywhere=True))
    async def list_tenants(  # noqa: PLR0913 - what may be asked for, by name
        self,
        *,
        tenancy: Tenancy,
        context: Context,
        name: NamePrefix = None,
        tenant_state: StateFilter = None,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[TenantView]:
        """List tenants in order of their names.

        An administrator of a tenant finds his own.
        """
        wanted = TenantFilter(name=name, state=_state(tenant_state))
        return await tenancy.tenants.page(wanted, context, cursor=cursor, limit=limit)

    @post(guards=[TENANTS_WRITE], responses=guarded(body=True))
    async def create_tenant(
        self, data: JSONBody[TenantDraft], tenancy: Tenancy, context: Context
    ) -> Response[TenantView]:
        """Create a tenant with its root organization."""
        tenant = await tenancy.tenants.create(data, context)
        return Response(tenant, headers={"location": f"/v1/tenants/{tenant.id}"})

    @get(
        "/{tenant_id:uuid}",
        guards=[TENANTS_READ],
        opt=ANYWHERE,
        responses=guarded(NOT_FOUND, anywhere=True),
    )
    async def get_tenant(
        self, tenant_id: TenantId, tenancy: Tenancy, context: Context
    ) -> TenantView:
        """Show one tenant."""
        return await tenancy.tenants.get(tenant_id, context)

    @get(
        "/{tenant_id:uuid}/seats",
        guards=[TENANTS_READ],
        opt=ANYWHERE,
        responses=guarded(NOT_FOUND, anywhere=True),
    )
    async def get_seats(self, tenant_id: TenantId, tenancy: Tenancy, context: Context) -> SeatsView:
        """Show how many seats a tenant has, and how many are taken."""
        return await tenancy.tenants.seats(tenant_id, context)

    @patch(
        "/{tenant_id:uuid}",
        guards=[TENANTS_WRITE],
        opt=ANYWHERE,
        responses=guarded(
            NOT_FOUND,
            ProblemCode.PLATFORM_ONLY,
            ProblemCode.SEATS_EXHAUSTED,
            CONFLICT,
            body=True,
            anywhere=True,
        ),
    )
    async def update_tenant(
        self,
        tenant_id: TenantId,
        data: JSONBody[TenantPatch],
        tenancy: Tenancy,
        context: Context,
    ) -> TenantView:
        """Change a tenant; each field that is named is replaced as a whole.

        State, plan, seats and entitlements are the platform's to change.
        Suspending ends the sessions that speak for the tenant's organizations.
        """
        return await tenancy.tenants.update(tenant_id, data, context)

    @delete("/{tenant_id:uuid}", guards=[TENANTS_WRITE], responses=guarded(NOT_FOUND, CONFLICT))
    async def delete_tenant(self, tenant_id: TenantId, tenancy: Tenancy, context: Context) -> None:
        """Delete a tenant. It can be restored until `purge_at`; then all of it is gone."""
        await tenancy.tenants.delete(tenant_id, context)

    @post(
        "/{tenant_id:uuid}/restore",
        status_code=200,
        guards=[TENANTS_WRITE],
        responses=guarded(NOT_FOUND, CONFLICT),
    )
    async def restore_tenant(
        self, tenant_id: TenantId, tenancy: Tenancy, context: Context
    ) -> TenantView:
        """Make a deleted tenant active again; the sessions that were ended stay so."""
        return await tenancy.tenants.restore(tenant_id, context)


class TenantDomainController(Controller):
    """Host names at which a tenant's people log in."""

    path = "/v1/tenants/{tenant_id:uuid}/domains"
    tags = ["Tenants"]  # noqa: RUF012
    opt = ANYWHERE

    @get(guards=[TENANTS_READ], responses=guarded(NOT_FOUND, INVALID, anywhere=True))
    async def list_domains(
        self,
        tenant_id: TenantId,
        *,
        tenancy: Tenancy,
        context: Context,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[DomainView]:
        """List a tenant's host names in alphabetical order, verified or not."""
        return await tenancy.domains.page(tenant_id, context, cursor=cursor, limit=limit)

    @post(
        guards=[TENANTS_WRITE],
        responses=guarded(NOT_FOUND, ProblemCode.NAME_TAKEN, CONFLICT, body=True, anywhere=True),
    )
    async def add_domain(
        self,
        tenant_id: TenantId,
        data: JSONBody[DomainDraft],
        tenancy: Tenancy,
        context: Context,
    ) -> Response[DomainView]:
        """Add a host name; the answer says what has to be written into the DNS."""
        domain = await tenancy.domains.add(tenant_id, data, context)
        location = f"/v1/tenants/{tenant_id}/domains/{domain.id}"
        return Response(domain, headers={"location": location})

    @get("/{domain_id:uuid}", guards=[TENANTS_READ], responses=guarded(NOT_FOUND, anywhere=True))
    async def get_domain(
        self, tenant_id: TenantId, domain_id: DomainId, tenancy: Tenancy, context: Context
    ) -> DomainView:
        """Show one host name, and what has to be in the DNS."""
        return await tenancy.domains.get(tenant_id, domain_id, context)

    @post(
        "/{domain_id:uuid}/verify",
        status_code=200,
        guards=[TENANTS_WRITE],
        responses=guarded(
            NOT_FOUND,
            ProblemCode.DOMAIN_UNVERIFIED,
            ProblemCode.DOMAIN_TAKEN,
            CONFLICT,
            ProblemCode.DNS_UNAVAILABLE,
            ProblemCode.OVERLOADED,
            anywhere=True,
        ),
    )
    async def verify_domain(
        self, tenant_id: TenantId, domain_id: DomainId, tenancy: Tenancy, context: Context
    ) -> DomainView:
        """Look into the DNS whether the host name is the tenant's."""
        return await tenancy.domains.verify(tenant_id, domain_id, context)

    @delete(
        "/{domain_id:uuid}",
        guards=[TENANTS_WRITE],
        responses=guarded(NOT_FOUND, CONFLICT, anywhere=True),
    )
    async def remove_domain(
        self, tenant_id: TenantId, domain_id: DomainId, tenancy: Tenancy, context: Context
    ) -> None:
        """Remove a host name."""
        await tenancy.domains.remove(tenant_id, domain_id, context)


def _state(text: str | None) -> TenantState | None:
    try:
        state: TenantState | None = msgspec.convert(text, TenantState | None)
    except msgspec.ValidationError as error:
        raise IssuerProblem.invalid_field(
            "state", f"must be one of {', '.join(get_args(TenantState))}"
        ) from error
    return state
