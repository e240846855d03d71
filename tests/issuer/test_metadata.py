"""The public documents: key set and server metadata, cached, and the same for everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from litestar import Litestar
from litestar.types import HTTPScope

from apostille_issuer.app import create_app
from apostille_issuer.http.documents import PublicDocument
from apostille_issuer.settings import Settings
from support.application import issuer_client, quick_settings

pytestmark = pytest.mark.anyio

JWKS = "/.well-known/jwks.json"
SERVER = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    async with issuer_client(quick_settings(tmp_path_factory.mktemp("issuer"))) as opened:
        yield opened


async def test_the_key_set_has_its_media_type_and_may_be_kept(client: httpx.AsyncClient) -> None:
    answer = await client.get(JWKS)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["access-control-allow-origin"] == "*"
    # One that signs, and its successor.
    assert [key["alg"] for key in answer.json()["keys"]] == ["ES256", "ES256"]


@pytest.mark.parametrize("path", [JWKS, SERVER, OPENID])
async def test_who_has_the_document_gets_304(client: httpx.AsyncClient, path: str) -> None:
    etag = (await client.get(path)).headers["etag"]
    for tag in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = await client.get(path, headers={"if-none-match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
        assert again.headers["cache-control"] == "public, max-age=300"
    for tag in ('"other"', etag.strip('"'), ""):
        assert (await client.get(path, headers={"if-none-match": tag})).status_code == 200


@pytest.mark.parametrize("path", [JWKS, SERVER, OPENID])
async def test_a_slash_at_the_end_does_not_matter(client: httpx.AsyncClient, path: str) -> None:
    plain, slashed = await client.get(path), await client.get(f"{path}/")
    assert (slashed.status_code, slashed.content) == (200, plain.content)
    assert slashed.headers["etag"] == plain.headers["etag"]


@pytest.mark.parametrize(
    "path", [JWKS, f"{JWKS}/", SERVER, "/status-lists", "/health/live", "/health/ready", "/docs"]
)
async def test_head_is_get_without_content(client: httpx.AsyncClient, path: str) -> None:
    full, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for answer in (full, head):
        del answer.headers["x-request-id"]
    assert head.headers == full.headers


async def test_head_of_what_is_not_read_or_not_public_is_refused(client: httpx.AsyncClient) -> None:
    for path, status in (("/v1/auth/login", 405), ("/v1/users", 401), ("/nowhere", 404)):
        answer = await client.head(path)
        assert (answer.status_code, answer.content) == (status, b"")


@pytest.mark.parametrize("path", [JWKS, SERVER, OPENID])
async def test_they_are_for_reading_alone(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={})
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


async def test_metadata_names_itself_and_the_keys_alike_at_every_address(
    client: httpx.AsyncClient,
) -> None:
    server, openid = (await client.get(SERVER)).json(), (await client.get(OPENID)).json()
    assert server == openid
    assert server["issuer"] == "http://127.0.0.1:8000"
    assert server["jwks_uri"] == "http://127.0.0.1:8000/.well-known/jwks.json"
    # Zero-element arrays would have to be left out (RFC 8414 section 3.2).
    assert all(value for value in server.values())


async def test_an_issuer_below_a_path_is_found_where_rfc_8414_looks(tmp_path: Path) -> None:
    settings = quick_settings(tmp_path, issuer_url="https://example.com/iam")
    async with issuer_client(settings) as client:
        inserted = await client.get(f"{SERVER}/iam")
    assert inserted.json()["issuer"] == "https://example.com/iam"
    assert inserted.json()["jwks_uri"] == "https://example.com/iam/.well-known/jwks.json"


async def test_the_time_to_keep_is_a_setting(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {"APOSTILLE_JWKS_MAX_AGE": "1m", "APOSTILLE_DATA": str(tmp_path / "data")}
    )
    async with issuer_client(settings) as client:
        assert (await client.get(JWKS)).headers["cache-control"] == "public, max-age=60"


async def test_before_the_start_the_keys_are_unavailable_not_missing(tmp_path: Path) -> None:
    app: Litestar = create_app(quick_settings(tmp_path))
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.get(JWKS)
    assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
    assert answer.headers["retry-after"]


async def test_a_document_is_built_anew_when_its_content_changes() -> None:
    content = [b"one"]
    document = PublicDocument(
        lambda: content[0], media_type="text/x", max_age=Settings().jwks_max_age
    )
    scope: HTTPScope = {"headers": []}  # type: ignore[typeddict-item]
    first = document.answer(scope)
    assert document.answer(scope) is first
    content[0] = b"two"
    second = document.answer(scope)
    assert (first.body, second.body) == (b"one", b"two")
    assert first.headers["etag"] != second.headers["etag"]
