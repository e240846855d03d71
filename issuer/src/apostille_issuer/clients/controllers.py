"""Routes of service accounts and their API keys."""

from __future__ import annotations

import uuid
from typing import Annotated, TypeAlias

from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from apostille_adapters.litestar import HasPermission
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.clients.schemas import (
    ApiKeyCreated,
    ApiKeyDraft,
    ApiKeyRotation,
    ApiKeyView,
    ServiceAccountDraft,
    ServiceAccountFilter,
    ServiceAccountPatch,
    ServiceAccountView,
)
from apostille_issuer.clients.service import ClientsService
from apostille_issuer.http.answers import guarded
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import DEFAULT_LIMIT, Cursor, Limit, Page
from apostille_issuer.http.platform import WITHIN_ORGANIZATION

__all__ = ["ApiKeyController", "ServiceAccountController"]

Clients: TypeAlias = NamedDependency[ClientsService]
Context: TypeAlias = NamedDependency[RequestContext]
AccountId: TypeAlias = FromPath[uuid.UUID]
KeyId: TypeAlias = FromPath[uuid.UUID]
OrganizationFilter = Annotated[
    uuid.UUID | None,
    QueryParameter(
        description="Those of this organization; by default of the one that the token speaks for."
    ),
]

CLIENTS_READ = HasPermission(IssuerPermission.CLIENTS_READ)
CLIENTS_WRITE = HasPermission(IssuerPermission.CLIENTS_WRITE)

NOT_FOUND = ProblemCode.NOT_FOUND
INVALID = ProblemCode.VALIDATION_FAILED
EXCEEDS = ProblemCode.GRANT_EXCEEDS_OWN
CONFLICT = ProblemCode.CONFLICT


class ServiceAccountController(Controller):
    """Service accounts."""

    path = "/v1/service-accounts"
    tags = ["Service accounts"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {WITHIN_ORGANIZATION: True}  # noqa: RUF012

    @get(guards=[CLIENTS_READ], responses=guarded(NOT_FOUND, INVALID, anywhere=True))
    async def list_service_accounts(
        self,
        clients: Clients,
        context: Context,
        organization: OrganizationFilter = None,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[ServiceAccountView]:
        """List service accounts in the order they were created in."""
        wanted = ServiceAccountFilter(organization_id=organization)
        return await clients.accounts.page(wanted, context, cursor=cursor, limit=limit)

    @post(guards=[CLIENTS_WRITE], responses=guarded(NOT_FOUND, CONFLICT, body=True, anywhere=True))
    async def create_service_account(
        self, data: JSONBody[ServiceAccountDraft], clients: Clients, context: Context
    ) -> Response[ServiceAccountView]:
        """Create a service account, which holds no role yet."""
        account = await clients.accounts.create(data, context)
        return Response(account, headers={"location": f"/v1/service-accounts/{account.id}"})

    @get(
        "/{account_id:uuid}",
        guards=[CLIENTS_READ],
        responses=guarded(NOT_FOUND, anywhere=True),
    )
    async def get_service_account(
        self, account_id: AccountId, clients: Clients, context: Context
    ) -> ServiceAccountView:
        """Show one service account."""
        return await clients.accounts.get(account_id, context)

    @patch(
        "/{account_id:uuid}",
        guards=[CLIENTS_WRITE],
        responses=guarded(NOT_FOUND, EXCEEDS, body=True, anywhere=True),
    )
    async def update_service_account(
        self,
        account_id: AccountId,
        data: JSONBody[ServiceAccountPatch],
        clients: Clients,
        context: Context,
    ) -> ServiceAccountView:
        """Rename, disable or enable a service account.

        Disabling voids its access tokens within seconds. Its keys stay, and
        work again once it is enabled.
        """
        return await clients.accounts.update(account_id, data, context)

    @delete(
        "/{account_id:uuid}",
        guards=[CLIENTS_WRITE],
        responses=guarded(NOT_FOUND, EXCEEDS, anywhere=True),
    )
    async def delete_service_account(
        self, account_id: AccountId, clients: Clients, context: Context
    ) -> None:
        """Delete a service account, and with it its keys and roles."""
        await clients.accounts.delete(account_id, context)


class ApiKeyController(Controller):
    """API keys of a service account."""

    path = "/v1/service-accounts/{account_id:uuid}/keys"
    tags = ["Service accounts"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {WITHIN_ORGANIZATION: True}  # noqa: RUF012

    @get(guards=[CLIENTS_READ], responses=guarded(NOT_FOUND, INVALID, anywhere=True))
    async def list_api_keys(
        self,
        account_id: AccountId,
        clients: Clients,
        context: Context,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[ApiKeyView]:
        """List the keys of a service account, the newest first, those that have ended too."""
        return await clients.keys.page(account_id, context, cursor=cursor, limit=limit)

    @post(
        guards=[CLIENTS_WRITE],
        responses=guarded(NOT_FOUND, EXCEEDS, CONFLICT, body=True, anywhere=True),
    )
    async def create_api_key(
        self,
        account_id: AccountId,
        data: JSONBody[ApiKeyDraft],
        clients: Clients,
        context: Context,
    ) -> Response[ApiKeyCreated]:
        """Make a key; a secret is shown this once.

        Nobody can make a key of an account that holds what he does not.
        """
        return _made(account_id, await clients.keys.create(account_id, data, context))

    @delete(
        "/{key_id:uuid}",
        guards=[CLIENTS_WRITE],
        responses=guarded(NOT_FOUND, EXCEEDS, anywhere=True),
    )
    async def revoke_api_key(
        self, account_id: AccountId, key_id: KeyId, clients: Clients, context: Context
    ) -> None:
        """Revoke a key and void its access tokens; that it was revoked before is no error."""
        await clients.keys.revoke(account_id, key_id, context)

    @post(
        "/{key_id:uuid}/rotate",
        guards=[CLIENTS_WRITE],
        responses=guarded(NOT_FOUND, EXCEEDS, CONFLICT, body=True, anywhere=True),
    )
    async def rotate_api_key(
        self,
        account_id: AccountId,
        key_id: KeyId,
        data: JSONBody[ApiKeyRotation],
        clients: Clients,
        context: Context,
    ) -> Response[ApiKeyCreated]:
        """Make a key in the place of another one, which goes on working for a while."""
        return _made(account_id, await clients.keys.rotate(account_id, key_id, data, context))


def _made(account_id: uuid.UUID, key: ApiKeyCreated) -> Response[ApiKeyCreated]:
    where = f"/v1/service-accounts/{account_id}/keys/{key.id}"
    return Response(key, headers={"location": where})
