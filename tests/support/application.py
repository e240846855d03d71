"""Applications in this process: a small one of given routes, or the whole issuer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
from litestar import Litestar

from apostille_issuer.app import create_app
from apostille_issuer.clock import Clock, utc_now
from apostille_issuer.settings import Settings

__all__ = ["ROOT_LOGIN", "ROOT_PASSWORD", "client_of", "issuer_client", "quick_settings"]

ROOT_LOGIN = "root@example.com"
ROOT_PASSWORD = "correct horse battery staple"
KEY = "A" * 43


def quick_settings(data: Path, database_url: str | None = None, **fields: Any) -> Settings:
    """Return settings with the cheapest hashes and a known superuser."""
    if database_url is not None:
        fields = {"database_url": database_url, "key_encryption_key": KEY, **fields}
    return Settings(
        data=data,
        argon2_memory_kib=7168,
        argon2_time_cost=1,
        **{"bootstrap_login": ROOT_LOGIN, "bootstrap_password": ROOT_PASSWORD, **fields},
    )


@asynccontextmanager
async def client_of(app: Litestar, *, peer: str = "192.0.2.1") -> AsyncIterator[httpx.AsyncClient]:
    """Start *app* and give a client whose connections come from *peer*."""
    transport = httpx.ASGITransport(
        cast("Any", app), raise_app_exceptions=False, client=(peer, 4711)
    )
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client,
    ):
        yield client


@asynccontextmanager
async def issuer_client(
    settings: Settings, *, clock: Clock = utc_now, peer: str = "192.0.2.1"
) -> AsyncIterator[httpx.AsyncClient]:
    """Start the whole issuer and give a client of it."""
    async with client_of(create_app(settings, clock=clock), peer=peer) as client:
        yield client
