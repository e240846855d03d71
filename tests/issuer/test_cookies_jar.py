"""A cookie jar that keeps the rules, in place of one that a test keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from apostille_issuer.app import create_app
from support.application import ROOT_LOGIN, ROOT_PASSWORD, quick_settings

pytestmark = pytest.mark.anyio

SECURE, PLAIN = "https://iam.example.com", "http://iam.example.com"
LOGIN = {"login": ROOT_LOGIN, "password": ROOT_PASSWORD, "transport": "cookie"}


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A page of the issuer's own origin."""
    app = create_app(quick_settings(tmp_path, issuer_url=SECURE))
    transport = httpx.ASGITransport(cast("Any", app))
    headers = {"sec-fetch-site": "same-origin"}
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url=SECURE, headers=headers) as client,
    ):
        yield client


async def test_it_carries_a_session_from_login_to_logout(page: httpx.AsyncClient) -> None:
    assert (await page.post("/v1/auth/login", json=LOGIN)).status_code == 200
    assert (await page.get("/v1/me")).json()["login"] == ROOT_LOGIN
    assert (await page.post("/v1/auth/refresh")).status_code == 200
    changed = await page.post("/v1/roles", json={"name": "clerk"})
    assert changed.status_code == 201
    assert (await page.post("/v1/auth/logout")).status_code == 204
    assert len(page.cookies) == 0
    assert (await page.get("/v1/me")).status_code == 401


@pytest.mark.parametrize("elsewhere", [PLAIN, "https://app.example.com", "https://example.com"])
async def test_it_takes_the_cookies_nowhere_else(page: httpx.AsyncClient, elsewhere: str) -> None:
    assert (await page.post("/v1/auth/login", json=LOGIN)).status_code == 200
    assert len(page.cookies) == 2
    assert (await page.get(f"{elsewhere}/v1/me")).json()["code"] == "missing_token"
