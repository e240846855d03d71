"""A service process over HTTP, which says how it stands with its issuer.

``python asking_service.py ISSUER PORT MAX_STALENESS_SECONDS``. ``GET /me`` wants
a token; ``GET /health`` says how good keys and status lists are.
"""

from __future__ import annotations

import sys
from datetime import timedelta

import uvicorn
from fastapi import FastAPI

from apostille import AsyncVerifier
from apostille_adapters.fastapi import Apostille, CurrentPrincipal


def create_app(verifier: AsyncVerifier) -> FastAPI:
    app = FastAPI()
    Apostille(verifier).init_app(app)

    @app.get("/me")
    async def me(principal: CurrentPrincipal) -> str:
        return principal.subject

    @app.get("/health")
    async def health() -> dict[str, int | bool]:
        found = verifier.health()
        return {
            "ready": found.ready,
            "failing": found.status.failing,
            "unusable": found.status.unusable,
        }

    return app


def main(issuer: str, port: str, max_staleness_seconds: str) -> None:
    staleness = timedelta(seconds=float(max_staleness_seconds))
    verifier = AsyncVerifier(issuer, audience="apostille", max_staleness=staleness)
    uvicorn.run(create_app(verifier), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
