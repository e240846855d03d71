"""Litestar: our guard beside Litestar's own JWT authentication."""

import asyncio
from typing import Any

from litestar import Litestar, get
from litestar.connection import ASGIConnection
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.security.jwt import JWTAuth, Token

from apostille import AsyncVerifier
from apostille_adapters.litestar import ApostillePlugin, HasPermission
from bench.in_process import AsgiRoute, Route
from bench.tokens import AUDIENCE, ISSUER, Mint

__all__ = ["litestar_routes"]


@get("/open")
async def plain() -> dict[str, int]:
    return {"stock": 7}


@get("/stock", guards=[HasPermission("inventory.read")])
async def protected() -> dict[str, int]:
    return {"stock": 7}


def litestar_routes(runner: asyncio.Runner, mint: Mint) -> dict[str, Route]:
    """Return the same route unprotected, with ours and with Litestar's own."""
    verifier = AsyncVerifier(ISSUER, audience=AUDIENCE, **mint.sources)
    ours = Litestar([protected], plugins=[ApostillePlugin(verifier)], logging_config=None)
    return {
        "unprotected": AsgiRoute(runner, Litestar([plain], logging_config=None), "/open"),
        "Apostille": AsgiRoute(runner, ours, "/stock"),
        "litestar.security.jwt": AsgiRoute(runner, _own(mint), "/stock"),
    }


def _own(mint: Mint) -> Litestar:
    async def whom(token: Token, _: ASGIConnection[Any, Any, Any, Any]) -> Token:
        return token

    def may_read(connection: ASGIConnection[Any, Token, Any, Any], _: BaseRouteHandler) -> None:
        if "inventory.read" not in connection.user.extras["permissions"]:
            raise PermissionDeniedException

    @get("/stock", guards=[may_read])
    async def stock() -> dict[str, int]:
        return {"stock": 7}

    own = JWTAuth[Token](
        retrieve_user_handler=whom,
        token_secret=mint.public_pem,
        algorithm="ES256",
        accepted_audiences=[AUDIENCE],
        accepted_issuers=[ISSUER],
    )
    return Litestar([stock], on_app_init=[own.on_app_init], logging_config=None)
