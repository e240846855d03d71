"""Probes: alive is not yet ready, and ready needs database and keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from apostille_issuer.app import create_app
from apostille_issuer.issuer import Issuer
from apostille_issuer.operations import health
from support.application import client_of, issuer_client, quick_settings

pytestmark = pytest.mark.anyio


async def test_a_started_issuer_lives_and_is_ready(tmp_path: Path, database_url: str) -> None:
    url = None if database_url.startswith("sqlite") else database_url
    async with issuer_client(quick_settings(tmp_path / "data", url)) as client:
        for path, status in (("/health/live", "live"), ("/health/ready", "ready")):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()) == (200, {"status": status})


async def test_before_the_keys_are_there_it_is_alive_but_not_ready(tmp_path: Path) -> None:
    app = create_app(quick_settings(tmp_path))
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        assert (await client.get("/health/live")).status_code == 200
        answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")


async def test_without_its_database_it_is_not_ready(tmp_path: Path) -> None:
    app = create_app(quick_settings(tmp_path))
    async with client_of(app) as client:
        issuer: Issuer = app.state.issuer
        await issuer.database.close()
        (tmp_path / "apostille.sqlite3").rename(tmp_path / "away")
        (tmp_path / "apostille.sqlite3").mkdir()
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert answer.headers["retry-after"]
        assert (await client.get("/health/live")).status_code == 200


async def test_a_database_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def hang() -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield

    app = create_app(quick_settings(tmp_path))
    async with client_of(app) as client:
        monkeypatch.setattr(health, "READY_TIMEOUT_SECONDS", 0.01)
        monkeypatch.setattr(app.state.issuer.database, "read", hang)
        answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
