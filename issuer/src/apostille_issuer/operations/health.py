"""Whether the process lives, and whether it can do its work."""

from __future__ import annotations

import asyncio

from litestar import Router, get
from msgspec import Struct
from sqlalchemy import text

from apostille_adapters.litestar import EXCLUDE_FROM_AUTH
from apostille_contracts.problems import ProblemCode
from apostille_issuer.db.engine import Database
from apostille_issuer.keys.service import KeyService
from apostille_issuer.problems import IssuerProblem

__all__ = ["Health", "health_routes"]

READY_TIMEOUT_SECONDS = 2
"""Longer than a healthy database takes, shorter than a probe waits."""


class Health(Struct, frozen=True):
    """Answer to a probe."""

    status: str


def health_routes(database: Database, keys: KeyService) -> Router:
    """Return the routes of the probes."""

    @get("/live", sync_to_thread=False)
    def live() -> Health:
        """Whether the process answers; asks nobody else."""
        return Health("live")

    @get("/ready")
    async def ready() -> Health:
        """Whether the database answers and the keys are there; 503 if not."""
        if not keys.started:
            raise IssuerProblem(ProblemCode.KEYS_UNAVAILABLE, retry_after=1)
        try:
            async with asyncio.timeout(READY_TIMEOUT_SECONDS), database.read() as session:
                await session.execute(text("SELECT 1"))
        except TimeoutError as error:
            raise IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE, retry_after=2) from error
        return Health("ready")

    return Router(
        "/health", route_handlers=[live, ready], tags=["operations"], opt={EXCLUDE_FROM_AUTH: True}
    )
