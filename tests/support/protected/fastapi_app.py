"""The protected service of the shared suite in FastAPI."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import PlainTextResponse
from starlette.requests import HTTPConnection

from apostille import AsyncVerifier, Principal
from apostille.http import TokenCookie
from apostille_adapters.fastapi import (
    Apostille,
    CurrentPrincipal,
    HasAnyPermission,
    HasPermission,
    OptionalPrincipal,
)


def asked(connection: HTTPConnection) -> str | None:
    return connection.headers.get("x-organization")


READ = HasPermission("inventory.read")
CHANGE = HasPermission("inventory.read", "inventory.write")
EITHER = HasAnyPermission("inventory.read", "inventory.admin")
OURS = HasPermission("inventory.read", organization="organization_id")
OWNED = HasPermission("inventory.read", organization=asked)

router = APIRouter(default_response_class=PlainTextResponse)


@router.get("/public")
async def public() -> str:
    return "public"


@router.get("/stock", dependencies=[Depends(READ)])
async def stock() -> str:
    return "stock"


@router.post("/stock", dependencies=[Depends(CHANGE)])
def change() -> str:
    return "changed"


@router.get("/either", dependencies=[Depends(EITHER)])
async def either() -> str:
    return "either"


@router.get("/composed", dependencies=[Depends(READ & ~HasPermission("inventory.frozen"))])
async def composed() -> str:
    return "composed"


@router.get("/me")
async def me(principal: CurrentPrincipal) -> str:
    return principal.subject


@router.get("/maybe")
async def maybe(principal: OptionalPrincipal) -> str:
    return principal.subject if principal else "nobody"


@router.get("/organizations/{organization_id}/stock", dependencies=[Depends(OURS)])
async def organization_stock(organization_id: str) -> str:
    assert organization_id
    return "organization"


@router.get("/owned")
async def owned(principal: Annotated[Principal, Depends(OWNED)]) -> str:
    return principal.subject


@router.get("/inside")
async def inside(principal: CurrentPrincipal) -> str:
    principal.require("inventory.write")
    return "inside"


def create_app(verifier: AsyncVerifier) -> FastAPI:
    app = FastAPI()
    Apostille(verifier, cookie=TokenCookie()).init_app(app)
    app.include_router(router)
    return app
