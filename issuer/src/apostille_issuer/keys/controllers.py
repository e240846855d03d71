"""Routes of signing keys: public parts only."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter

from apostille_adapters.litestar import HasPermission
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.http.answers import guarded
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import DEFAULT_LIMIT, Cursor, Limit, Page
from apostille_issuer.keys.administration import KeyAdministration
from apostille_issuer.keys.schemas import KeyView, RotationRequest

__all__ = ["KeyController"]

KEYS_READ = HasPermission(IssuerPermission.KEYS_READ)
KEYS_WRITE = HasPermission(IssuerPermission.KEYS_WRITE)

Keys = NamedDependency[KeyAdministration]
Context = NamedDependency[RequestContext]
Kid = Annotated[str, PathParameter(description="`kid` of the key.")]


class KeyController(Controller):
    """Signing keys."""

    path = "/v1/keys"
    tags = ["Keys"]  # noqa: RUF012 - Litestar's way to configure a controller

    @get(guards=[KEYS_READ], responses=guarded(ProblemCode.VALIDATION_FAILED))
    async def list_keys(
        self, keys: Keys, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
    ) -> Page[KeyView]:
        """List keys, the newest first, retired ones included."""
        return await keys.page(cursor=cursor, limit=limit)

    @get("/{kid:str}", guards=[KEYS_READ], responses=guarded(ProblemCode.NOT_FOUND))
    async def get_key(self, kid: Kid, keys: Keys) -> KeyView:
        """Show one key."""
        return await keys.get(kid)

    @post("/rotate", status_code=200, guards=[KEYS_WRITE], responses=guarded(body=True))
    async def rotate_key(
        self, data: JSONBody[RotationRequest], keys: Keys, context: Context
    ) -> KeyView:
        """Let the next key take over, and show it.

        It does so at once if it has been published for as long as services
        may keep an older key set; otherwise `activates_at` says when.
        """
        return await keys.rotate(context, data.algorithm)

    @post(
        "/{kid:str}/withdraw",
        status_code=200,
        guards=[KEYS_WRITE],
        responses=guarded(ProblemCode.NOT_FOUND),
    )
    async def withdraw_key(self, kid: Kid, keys: Keys, context: Context) -> KeyView:
        """Take a compromised key out of the key set at once, and show it.

        Whatever it signed is refused as soon as a service next asks for a
        status list, and so is every access token there is, if the key ever
        signed. Sessions live on: their next refresh yields a token by the next
        key. Answers after a few seconds, when all of this is done; sent
        again, it finishes what was interrupted.
        """
        return (await keys.withdraw(kid, context)).key
