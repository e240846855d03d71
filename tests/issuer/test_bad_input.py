"""Bad input against the whole issuer: every answer is a problem with the right code."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apostille_contracts.problems import PROBLEM_MEDIA_TYPE, SPECS, ProblemCode
from apostille_issuer.app import create_app
from support.application import (
    ROOT_LOGIN,
    ROOT_PASSWORD,
    client_of,
    issuer_client,
    quick_settings,
)

pytestmark = pytest.mark.anyio

LOGIN = "/v1/auth/login"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    async with issuer_client(quick_settings(tmp_path_factory.mktemp("issuer"))) as opened:
        yield opened


@pytest.fixture
async def own_client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Of an issuer that is asked more often than it answers one address."""
    async with issuer_client(quick_settings(tmp_path)) as opened:
        yield opened


@pytest.fixture
async def token(client: httpx.AsyncClient) -> str:
    answer = await client.post(LOGIN, json={"login": ROOT_LOGIN, "password": ROOT_PASSWORD})
    return str(answer.json()["access_token"])


def code_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == PROBLEM_MEDIA_TYPE, answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["detail"] == SPECS[ProblemCode(document["code"])].detail
    return answer.status_code, document["code"]


async def test_a_megabyte_is_refused(client: httpx.AsyncClient) -> None:
    body = b'{"login": "' + b"a" * 1_000_000 + b'", "password": "x"}'
    answer = await client.post(LOGIN, content=body, headers=JSON)
    assert code_of(answer) == (413, "body_too_large")


async def test_a_body_that_is_not_json_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(LOGIN, content=b"login=ada", headers=JSON)
    assert code_of(answer) == (400, "malformed_body")
    answer = await client.post(LOGIN, data={"login": "ada", "password": "x"})
    assert code_of(answer) == (415, "unsupported_media_type")


async def test_an_unknown_field_is_named(client: httpx.AsyncClient) -> None:
    body = {"login": "ada", "password": "x", "admin": True}
    answer = await client.post(LOGIN, json=body)
    assert code_of(answer) == (422, "validation_failed")
    assert [error["field"] for error in answer.json()["errors"]] == ["admin"]


async def test_a_token_in_the_query_is_ignored(client: httpx.AsyncClient, token: str) -> None:
    answer = await client.get("/v1/me", params={"access_token": token, "token": token})
    assert code_of(answer) == (401, "missing_token")
    assert answer.headers["www-authenticate"] == 'Bearer realm="apostille"'


async def test_two_authorization_headers_are_refused(client: httpx.AsyncClient, token: str) -> None:
    twice = [("Authorization", f"Bearer {token}")] * 2
    answer = await client.get("/v1/me", headers=twice)
    assert code_of(answer) == (400, "invalid_request")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
async def test_the_scheme_is_read_in_any_case(
    client: httpx.AsyncClient, token: str, scheme: str
) -> None:
    answer = await client.get("/v1/me", headers={"Authorization": f"{scheme} {token}"})
    assert answer.status_code == 200


async def test_a_damaged_token_is_refused_with_its_code_and_a_challenge(
    client: httpx.AsyncClient, token: str
) -> None:
    head, payload, _ = token.split(".")
    answer = await client.get(
        "/v1/me", headers={"Authorization": f"Bearer {head}.{payload}.{'A' * 86}"}
    )
    assert code_of(answer) == (401, "bad_signature")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/nowhere", (404, "not_found")),
        ("GET", "/v1/users/not-a-uuid", (404, "not_found")),
        ("GET", "/.well-known/other", (404, "not_found")),
        ("GET", "/../etc/passwd", (404, "not_found")),
        ("GET", "/v1/users/%00", (404, "not_found")),
        ("DELETE", LOGIN, (405, "method_not_allowed")),
        ("PROPFIND", LOGIN, (405, "method_not_allowed")),
    ],
)
async def test_what_is_not_there(
    method: str, path: str, expected: tuple[int, str], client: httpx.AsyncClient
) -> None:
    assert code_of(await client.request(method, path)) == expected


async def test_a_locked_database_is_503_and_passes(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"database_timeout": timedelta(milliseconds=200)}
    app = create_app(quick_settings(tmp_path, **fields))
    async with client_of(app) as client:
        body = {"login": ROOT_LOGIN, "password": ROOT_PASSWORD}
        blocker = sqlite3.connect(tmp_path / "apostille.sqlite3", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        locked = await client.post(LOGIN, json=body)
        blocker.close()
        assert code_of(locked) == (503, "database_unavailable")
        assert int(locked.headers["retry-after"]) > 0
        assert (await client.post(LOGIN, json=body)).status_code == 200


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    path=st.sampled_from([LOGIN, "/v1/auth/refresh", "/v1/auth/logout"]),
    body=st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from(["login", "password", "audience", "refresh_token", "x"]), JSON_VALUES
    ),
)
async def test_whatever_is_posted_no_answer_is_a_fault_of_ours(
    own_client: httpx.AsyncClient, path: str, body: bytes | dict[str, Any]
) -> None:
    if isinstance(body, bytes):
        answer = await own_client.post(path, content=body, headers=JSON)
    else:
        answer = await own_client.post(path, json=body)
    if answer.status_code != 204:
        status, code = code_of(answer)
        assert status < 500 or code == "overloaded"
