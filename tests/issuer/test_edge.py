"""The outermost layer: request ids, addresses, headers on every answer, the access log."""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar, Request, Response, asgi, get, websocket
from litestar.connection import WebSocket
from litestar.di import NamedDependency, Provide
from litestar.testing import TestClient
from litestar.types import Receive, Scope, Send

from apostille_contracts.problems import PROBLEM_MEDIA_TYPE
from apostille_issuer.http.application import IssuerApplication
from apostille_issuer.http.context import RequestContext, provide_context
from apostille_issuer.http.logs import JsonLines, configure_logging
from apostille_issuer.settings import Settings
from support.application import client_of

pytestmark = pytest.mark.anyio

PROXY = "10.0.0.7"


def requests_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The access log alone: what else is logged depends on the tests that ran before."""
    return [record for record in caplog.records if record.name == "apostille_issuer.access"]


@get("/context")
async def context_of(context: NamedDependency[RequestContext]) -> RequestContext:
    return context


@get("/cached")
async def cached() -> Response[str]:
    return Response("x", headers={"Cache-Control": "public, max-age=60"})


@get("/health/live")
async def probe() -> str:
    return "live"


@get("/broken")
async def broken() -> None:
    raise RuntimeError


@asgi("/silent", copy_scope=False)
async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers nothing, as a handler that was cancelled does."""


@websocket("/socket")
async def socket_of(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.close()


def application(**fields: Any) -> Litestar:
    return IssuerApplication(
        Settings(trusted_proxies=(ip_network("10.0.0.0/8"),), **fields),
        route_handlers=[context_of, cached, probe, broken, silent, socket_of],
        dependencies={"context": Provide(provide_context, sync_to_thread=False)},
        openapi_config=None,
    )


@asynccontextmanager
async def client_from(peer: str, **fields: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(application(**fields), peer=peer) as client:
        yield client


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_from("192.0.2.1") as opened:
        yield opened


async def test_every_answer_is_hardened(client: httpx.AsyncClient) -> None:
    for path in ("/context", "/nowhere", "/broken"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "strict-transport-security" not in headers
        assert "server" not in headers


async def test_an_answer_may_say_how_long_it_keeps(client: httpx.AsyncClient) -> None:
    answer = await client.get("/cached")
    assert answer.headers.get_list("cache-control") == ["public, max-age=60"]


async def test_an_issuer_behind_https_says_so() -> None:
    async with client_from("192.0.2.1", issuer_url="https://iam.example.com") as client:
        headers = (await client.get("/nowhere")).headers
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


async def test_requests_get_an_identifier_of_our_own(client: httpx.AsyncClient) -> None:
    given = {"X-Request-Id": "mine", "X-Forwarded-For": "198.51.100.1"}
    first = await client.get("/context", headers=given)
    second = await client.get("/context", headers=given)
    assert first.json()["request_id"] == first.headers["x-request-id"]
    assert first.headers["x-request-id"] not in ("mine", second.headers["x-request-id"])
    assert first.json()["address"] == "192.0.2.1"


@pytest.mark.parametrize(
    "hosts",
    [["a:b:c"], ["é"], ["a b"], ["a@b"], ["a/b"], ["a:65536"], ["[::g]"], ["[1:2]"], ["a", "a"]],
)
async def test_a_host_that_can_be_none_is_refused(
    client: httpx.AsyncClient, hosts: list[str]
) -> None:
    for path in ("/context", "/nowhere"):
        given = [(b"Host", host.encode()) for host in hosts]
        answer = await client.get(path, headers=given)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == PROBLEM_MEDIA_TYPE
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.json()["code"] == "invalid_request"
        assert [error["field"] for error in answer.json()["errors"]] == ["host"]


@pytest.mark.parametrize(
    "host", ["", "a", "a:", "iam.example.com:443", "my_service:8000", "192.0.2.1", "[::1]:8000"]
)
async def test_a_host_of_any_name_is_answered(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/context", headers={"Host": host})).status_code == 200


async def test_a_listed_proxy_names_client_and_request() -> None:
    async with client_from(PROXY) as client:
        answer = await client.get(
            "/context", headers={"X-Request-Id": "edge-17", "X-Forwarded-For": "198.51.100.1"}
        )
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "edge-17"
    assert answer.json()["address"] == "198.51.100.1"


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", 'a"b', "é"])
async def test_an_identifier_that_could_forge_a_log_line_is_not_taken(given: str) -> None:
    async with client_from(PROXY) as client:
        answer = await client.get("/context", headers={b"X-Request-Id": given.encode()})
    assert answer.headers["x-request-id"] != given


async def test_the_context_cuts_and_cleans_the_user_agent(client: httpx.AsyncClient) -> None:
    answer = await client.get("/context", headers={"User-Agent": "x\x1b" + "y" * 300})
    assert answer.json()["user_agent"] == "x?" + "y" * 254
    del client.headers["user-agent"]
    assert (await client.get("/context")).json()["user_agent"] is None
    assert answer.json()["actor_id"] is None


async def test_requests_are_logged_without_their_query(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "apostille_issuer.access"):
        await client.get("/context?token=hunter2", headers={"Authorization": "Bearer hunter2"})
        await client.get("/health/live")
    (record,) = requests_in(caplog)
    fields = record.__dict__["fields"]
    assert (fields["method"], fields["path"], fields["status"]) == ("GET", "/context", 200)
    assert fields["address"] == "192.0.2.1"
    assert "hunter2" not in JsonLines().format(record)


async def test_probes_are_logged_at_level_debug(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "apostille_issuer.access"):
        await client.get("/health/live")
    assert [record.levelname for record in requests_in(caplog)] == ["DEBUG"]


async def test_a_request_without_an_answer_is_logged_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = application()
    scope: Any = {"type": "http", "method": "GET", "path": "/silent", "headers": []}
    scope |= {"client": None, "query_string": b"", "raw_path": b"/silent", "root_path": ""}

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    with caplog.at_level(logging.INFO, "apostille_issuer.access"):
        await app(scope, nothing, nothing)
    assert caplog.records[0].__dict__["fields"]["status"] == 0
    assert caplog.records[0].__dict__["fields"]["address"] is None


def test_other_protocols_pass() -> None:
    with TestClient(application()) as client, client.websocket_connect("/socket") as opened:
        assert opened.accepted_subprotocol is None


def test_a_log_line_is_one_json_object_whatever_it_says() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("forged")
    logger.propagate = False
    logger.addHandler(handler)
    logger.error('one\n{"level": "info"}%s', "two", extra={"request_id": "r"})
    problem = RuntimeError("three")
    logger.error("four", exc_info=problem, extra={"fields": {"path": "/x"}})
    first, second = map(msgspec.json.decode, stream.getvalue().splitlines())
    assert first["message"] == 'one\n{"level": "info"}two'
    assert (first["level"], first["logger"], first["request_id"]) == ("error", "forged", "r")
    assert second["path"] == "/x"
    assert "RuntimeError: three" in second["traceback"]
    assert "request_id" not in second


def test_logging_is_set_up_for_our_loggers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    ours = logging.getLogger("apostille_issuer")
    monkeypatch.setattr(ours, "level", ours.level)
    configure_logging("debug")
    assert logging.getLogger("apostille_issuer.access").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("sqlalchemy").isEnabledFor(logging.INFO)
    for name in ("apostille_issuer", "apostille", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.NOTSET)


async def test_pydantic_is_not_loaded_for_nothing() -> None:
    assert not [plugin for plugin in application().plugins if "pydantic" in type(plugin).__module__]


def test_the_actor_is_who_the_guard_verified() -> None:
    subject = "0191d8a0-0000-7000-8000-000000000001"
    scope: Any = {
        "type": "http",
        "headers": [],
        "state": {"request_id": "r", "address": None},
        "user": SimpleNamespace(subject=subject, organization=None),
    }
    assert str(provide_context(Request(scope)).actor_id) == subject
