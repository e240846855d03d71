"""The protected service of the shared suite in Litestar."""

from typing import Any

from litestar import Litestar, MediaType, get, post
from litestar.connection import ASGIConnection
from litestar.params import FromPath

from apostille import AsyncVerifier
from apostille.http import TokenCookie
from apostille_adapters.litestar import (
    ApostillePlugin,
    CurrentPrincipal,
    HasAnyPermission,
    HasPermission,
    OptionalPrincipal,
    authenticated,
)

TEXT = MediaType.TEXT


def asked(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    return connection.headers.get("x-organization")


@get("/public", media_type=TEXT)
async def public() -> str:
    return "public"


@get("/stock", media_type=TEXT, guards=[HasPermission("inventory.read")])
async def stock() -> str:
    """What is there."""
    return "stock"


@post(
    "/stock",
    media_type=TEXT,
    status_code=200,
    guards=[HasPermission("inventory.read", "inventory.write")],
)
async def change() -> str:
    return "changed"


@get("/either", media_type=TEXT, guards=[HasAnyPermission("inventory.read", "inventory.admin")])
async def either() -> str:
    return "either"


@get(
    "/composed",
    media_type=TEXT,
    guards=[HasPermission("inventory.read") & ~HasPermission("inventory.frozen")],
)
async def composed() -> str:
    return "composed"


@get("/me", media_type=TEXT, guards=[authenticated])
async def me(principal: CurrentPrincipal) -> str:
    return principal.subject


@get("/maybe", media_type=TEXT)
async def maybe(optional_principal: OptionalPrincipal) -> str:
    return optional_principal.subject if optional_principal else "nobody"


@get(
    "/organizations/{organization_id:str}/stock",
    media_type=TEXT,
    guards=[HasPermission("inventory.read", organization="organization_id")],
)
async def organization_stock(organization_id: FromPath[str]) -> str:
    assert organization_id
    return "organization"


@get("/owned", media_type=TEXT, guards=[HasPermission("inventory.read", organization=asked)])
async def owned(principal: CurrentPrincipal) -> str:
    return principal.subject


@get("/inside", media_type=TEXT)
async def inside(principal: CurrentPrincipal) -> str:
    principal.require("inventory.write")
    return "inside"


HANDLERS = [
    public,
    stock,
    change,
    either,
    composed,
    me,
    maybe,
    organization_stock,
    owned,
    inside,
]


def create_app(verifier: AsyncVerifier) -> Litestar:
    return Litestar(HANDLERS, plugins=[ApostillePlugin(verifier, cookie=TokenCookie())])
