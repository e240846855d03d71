"""Routes of services, by whose manifests the catalogue grows."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, Response, delete, get, put
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody, PathParameter, QueryParameter

from apostille_adapters.litestar import HasPermission
from apostille_contracts.manifest import InvalidManifest, Manifest, parse_manifest
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.controllers import (
    IN_USE,
    INVALID,
    NOT_FOUND,
    PROTECTED,
    TAKEN,
    Access,
    Context,
)
from apostille_issuer.access.schemas import ServiceOutcome, ServiceView
from apostille_issuer.http.answers import guarded
from apostille_issuer.http.paging import DEFAULT_LIMIT, Cursor, Limit, Page
from apostille_issuer.problems import IssuerProblem

__all__ = ["ServiceController"]

SERVICES_READ = HasPermission(IssuerPermission.SERVICES_READ)
SERVICES_WRITE = HasPermission(IssuerPermission.SERVICES_WRITE)

ServiceName = Annotated[str, PathParameter(description="Name or identifier of the service.")]
DryRun = Annotated[bool, QueryParameter(description="Only say what would change.")]


class ServiceController(Controller):
    """Services that verify the issuer's tokens."""

    path = "/v1/services"
    tags = ["Services"]  # noqa: RUF012

    @get(guards=[SERVICES_READ], responses=guarded(INVALID))
    async def list_services(
        self,
        access: Access,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[ServiceView]:
        """List services in order of their names."""
        return await access.services.page(cursor=cursor, limit=limit)

    @get("/{service:str}", guards=[SERVICES_READ], responses=guarded(NOT_FOUND))
    async def get_service(self, service: ServiceName, access: Access) -> ServiceView:
        """Show one service with the permissions it declares."""
        return await access.services.get(service)

    @put(
        "/{service:str}",
        guards=[SERVICES_WRITE],
        responses={
            201: ResponseSpec(ServiceOutcome, description="Registered.", generate_examples=False),
            **guarded(TAKEN, PROTECTED, ProblemCode.CONFLICT, body=True),
        },
    )
    async def push_manifest(
        self,
        service: ServiceName,
        data: JSONBody[Manifest],
        access: Access,
        context: Context,
        dry_run: DryRun = False,  # noqa: FBT002 - a query parameter
    ) -> Response[ServiceOutcome]:
        """Register a service by its manifest, or bring it up to a new one.

        The same manifest again changes nothing. A permission that it no
        longer declares leaves the catalogue; one that roles still name is
        deprecated instead.
        """
        if data.service != service:
            raise IssuerProblem.invalid_field("service", "the path names another service")
        outcome = await access.push_manifest(_checked(data), context, dry_run=dry_run)
        created = outcome.applied and outcome.changes.created
        return Response(outcome, status_code=201 if created else 200)

    @delete(
        "/{service:str}", guards=[SERVICES_WRITE], responses=guarded(NOT_FOUND, PROTECTED, IN_USE)
    )
    async def delete_service(
        self,
        service: ServiceName,
        access: Access,
        context: Context,
    ) -> None:
        """Remove a service whose permissions no role names."""
        await access.services.delete(service, context)


def _checked(manifest: Manifest) -> Manifest:
    """Return *manifest* if what no type says about it holds, too."""
    try:
        return parse_manifest(
            {name: getattr(manifest, name) for name in manifest.__struct_fields__}
        )
    except InvalidManifest as error:
        place, _, complaint = str(error).partition(": ")
        raise IssuerProblem.invalid_field(place, complaint or str(error)) from error
