"""The description of the API, and a page that asks nobody else for anything."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from apostille_contracts.problems import PROBLEM_MEDIA_TYPE
from support.application import issuer_client, quick_settings

pytestmark = pytest.mark.anyio

OAUTH_ERRORS = {
    ("POST /oauth/revoke", "400"),
    ("POST /oauth/revoke", "401"),
    ("POST /oauth/introspect", "400"),
    ("POST /oauth/token", "400"),
    ("POST /oauth/token", "401"),
}
"""Errors whose shape is fixed by RFC 6749 section 5.2."""

OWN = {"GET /v1/me", "GET /v1/me/sessions", "GET /v1/me/notifications", "GET /v1/me/memberships"}
"""What everybody may see who has a token."""


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    async with issuer_client(quick_settings(tmp_path_factory.mktemp("issuer"))) as opened:
        yield opened


@pytest.fixture(scope="module")
async def description(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def operations(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in description["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post", "put", "patch", "delete")
    }


async def test_every_operation_describes_its_errors_as_problems(
    description: dict[str, Any],
) -> None:
    for name, operation in operations(description).items():
        errors = {s: r for s, r in operation["responses"].items() if not s.startswith(("2", "3"))}
        assert "default" in errors, name
        for status, response in errors.items():
            wanted = PROBLEM_MEDIA_TYPE
            if (name, status) in OAUTH_ERRORS:
                wanted = "application/json"
            assert list(response["content"]) == [wanted], f"{name} {status}"


async def test_every_operation_names_the_ways_a_request_can_be_refused(
    description: dict[str, Any],
) -> None:
    for name, operation in operations(description).items():
        if " /v1/" not in name:
            continue
        wanted = {"503"}
        if operation.get("security"):
            wanted |= {"400", "401"}
            # Acts on one's own account take no permission, but may come from a forged page.
            if name not in OWN:
                wanted |= {"403"}
        if "requestBody" in operation:
            wanted |= {"400", "413", "415", "422"}
        if operation.get("parameters") and any(
            parameter["in"] == "query" for parameter in operation["parameters"]
        ):
            wanted |= {"422"}
        assert wanted - set(operation["responses"]) == set(), name


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/status-lists/{list_id}",
    ],
)
async def test_public_documents_may_not_have_changed(
    path: str, description: dict[str, Any]
) -> None:
    assert "content" not in description["paths"][path]["get"]["responses"]["304"]


async def test_the_description_stays_the_same(
    client: httpx.AsyncClient, description: dict[str, Any]
) -> None:
    assert (await client.get("/openapi.json")).json() == description


async def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    text = str(description)
    names = set(re.findall(r"#/components/schemas/([\w.-]+)", text))
    assert "Problem" in names
    assert names <= set(description["components"]["schemas"])


async def test_every_operation_is_named_once_and_described(description: dict[str, Any]) -> None:
    named = [operation["operationId"] for operation in operations(description).values()]
    assert len(named) == len(set(named))
    for name, operation in operations(description).items():
        assert operation.get("description"), name
        assert operation.get("tags"), name


async def test_the_main_routes_are_described(description: dict[str, Any]) -> None:
    assert set(operations(description)) >= {
        "GET /.well-known/jwks.json",
        "GET /.well-known/oauth-authorization-server",
        "GET /health/ready",
        "POST /v1/auth/login",
        "POST /v1/auth/refresh",
        "POST /v1/auth/logout",
        "GET /v1/users",
        "GET /v1/roles",
        "PUT /v1/services/{service}",
    }
    assert "/docs" not in description["paths"]


async def test_the_page_and_its_assets_come_from_here(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "//" not in policy
    assert "http" not in page.text
    assets = re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text)
    assert len(assets) == 3
    for asset in assets:
        answer = await client.get(f"/{asset}")
        assert answer.status_code == 200, asset
        assert answer.headers["content-type"].startswith(("text/javascript", "text/css"))
        assert "max-age=" in answer.headers["cache-control"]
        assert answer.content
    assert "validatorUrl: null" in (await client.get("/docs/start.js")).text


@pytest.mark.parametrize("path", ["/openapi.json/x", "/openapi.json/openapi.yaml", "/docs/x.js"])
async def test_beside_them_there_is_nothing(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == PROBLEM_MEDIA_TYPE
