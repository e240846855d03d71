"""FastAPI: our dependency beside a dependency on PyJWT as FastAPI's documentation has it."""

import asyncio
from typing import Annotated, Any

import jwt as pyjwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from apostille import AsyncVerifier
from apostille_adapters.fastapi import Apostille, HasPermission
from bench.in_process import AsgiRoute, Route
from bench.tokens import AUDIENCE, ISSUER, Mint

__all__ = ["fastapi_routes"]


def fastapi_routes(runner: asyncio.Runner, mint: Mint) -> dict[str, Route]:
    """Return the same route unprotected, with ours and with PyJWT."""
    ours = FastAPI()
    verifier = AsyncVerifier(ISSUER, audience=AUDIENCE, **mint.sources)
    Apostille(verifier).init_app(ours)

    @ours.get("/stock", dependencies=[Depends(HasPermission("inventory.read"))])
    async def protected() -> dict[str, int]:
        return {"stock": 7}

    return {
        "unprotected": AsgiRoute(runner, _bare(), "/open"),
        "Apostille": AsgiRoute(runner, ours, "/stock"),
        "PyJWT dependency": AsgiRoute(runner, _pyjwt(mint), "/stock"),
    }


def _bare() -> FastAPI:
    app = FastAPI()

    @app.get("/open")
    async def plain() -> dict[str, int]:
        return {"stock": 7}

    return app


def _pyjwt(mint: Mint) -> FastAPI:
    app = FastAPI()
    scheme = HTTPBearer()
    key = mint.key.private_key.public_key()

    async def claims(
        credentials: Annotated[HTTPAuthorizationCredentials, Depends(scheme)],
    ) -> dict[str, Any]:
        try:
            return pyjwt.decode(
                credentials.credentials, key, ["ES256"], audience=AUDIENCE, issuer=ISSUER
            )
        except pyjwt.InvalidTokenError as error:
            raise HTTPException(401) from error

    async def may_read(found: Annotated[dict[str, Any], Depends(claims)]) -> None:
        if "inventory.read" not in found["permissions"]:
            raise HTTPException(403)

    @app.get("/stock", dependencies=[Depends(may_read)])
    async def protected() -> dict[str, int]:
        return {"stock": 7}

    return app
