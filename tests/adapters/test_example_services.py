"""The three inventory services as processes, over real HTTP."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files

import pytest

from apostille.testing import LocalIssuer
from apostille_contracts.manifest import parse_manifest
from apostille_examples.inventory import MAX_BODY_BYTES
from support.web import Reply, send

MODULES = ("fastapi_inventory", "drf_inventory", "flask_inventory")
JSON = ("Content-Type", "application/json")
WRITE = {"permissions": ["inventory.write"]}


@contextmanager
def running(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", f"apostille_examples.{module}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@dataclass(frozen=True)
class Inventory:
    origin: str
    issuer: LocalIssuer

    def send(
        self, method: str, path: str, *headers: tuple[str, str], body: bytes | None = None
    ) -> Reply:
        return send(self.origin, method, path, headers, body)

    def authorized(self, permission: str) -> tuple[str, str]:
        return next(iter(self.issuer.headers(permissions=[permission]).items()))

    def put(self, path: str, body: bytes, *headers: tuple[str, str]) -> Reply:
        return self.send("PUT", path, self.authorized("inventory.write"), *headers, body=body)


@pytest.fixture(scope="module")
def issuer() -> Iterator[LocalIssuer]:
    issuer = LocalIssuer(audience="inventory")
    with issuer.serve():
        yield issuer


@pytest.fixture(scope="module", params=MODULES)
def inventory(request: pytest.FixtureRequest, issuer: LocalIssuer) -> Iterator[Inventory]:
    with running(request.param, "--issuer", issuer.issuer, "--port", "0") as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.endswith(f", trusts {issuer.issuer}\n"), ready
        yield Inventory(ready.split(" listens on ")[1].split(",")[0], issuer)


def problem(reply: Reply) -> dict[str, object]:
    assert reply.values("Content-Type") == ["application/problem+json"]
    content: dict[str, object] = json.loads(reply.body)
    assert content["status"] == reply.status
    return content


def test_health_asks_for_nothing(inventory: Inventory) -> None:
    reply = inventory.send("GET", "/health")
    assert (reply.status, json.loads(reply.body)) == (200, {"status": "ok"})


def test_without_a_token_nobody_reads_or_writes(inventory: Inventory) -> None:
    for reply in (
        inventory.send("GET", "/stock"),
        inventory.send("PUT", "/stock/apples", JSON, body=b"not even json"),
    ):
        assert (reply.status, problem(reply)["code"]) == (401, "missing_token")
        assert reply.values("WWW-Authenticate") == ['Bearer realm="inventory"']


def test_who_may_read_may_not_write(inventory: Inventory) -> None:
    reader = inventory.authorized("inventory.read")
    reply = inventory.send("GET", "/stock", reader)
    assert (reply.status, json.loads(reply.body)["stock"]["apples"]) == (200, 40)
    reply = inventory.send("PUT", "/stock/apples", reader, JSON, body=b'{"quantity": 12}')
    assert (reply.status, problem(reply)["missing"]) == (403, ["inventory.write"])


def test_what_is_written_is_read(inventory: Inventory) -> None:
    reply = inventory.put("/stock/pears", b'{"quantity": 12}', JSON)
    assert (reply.status, json.loads(reply.body)) == (200, {"item": "pears", "quantity": 12})
    reply = inventory.send("GET", "/stock", inventory.authorized("inventory.read"))
    assert json.loads(reply.body)["stock"]["pears"] == 12


@pytest.mark.parametrize("name", ["expired", "bad_signature", "wrong_audience"])
def test_bad_tokens_are_refused(inventory: Inventory, name: str) -> None:
    token = inventory.issuer.bad_token(name)  # type: ignore[arg-type]
    reply = inventory.send("GET", "/stock", ("Authorization", f"Bearer {token}"))
    assert (reply.status, problem(reply)["code"]) == (
        401,
        {"expired": "expired_token"}.get(name, name),
    )


@pytest.mark.parametrize(
    ("body", "status", "code", "fields"),
    [
        (b"", 400, "malformed_body", []),
        (b"{", 400, "malformed_body", []),
        (b"[12]", 400, "malformed_body", []),
        (b"[" * 5000, 400, "malformed_body", []),
        (b'{"quantity": \xff}', 400, "malformed_body", []),
        (b"{}", 422, "validation_failed", ["quantity"]),
        (b'{"quantity": "12"}', 422, "validation_failed", ["quantity"]),
        (b'{"quantity": true}', 422, "validation_failed", ["quantity"]),
        (b'{"quantity": 1.5}', 422, "validation_failed", ["quantity"]),
        (b'{"quantity": -1}', 422, "validation_failed", ["quantity"]),
        (b'{"quantity": 1000001}', 422, "validation_failed", ["quantity"]),
        (b'{"quantity": 12, "color": "red"}', 422, "validation_failed", ["color"]),
        (b'{"quantity": 12}' + b" " * MAX_BODY_BYTES, 413, "body_too_large", []),
    ],
)
def test_bad_bodies_are_refused_and_the_field_is_named(
    inventory: Inventory, body: bytes, status: int, code: str, fields: list[str]
) -> None:
    reply = inventory.put("/stock/apples", body, JSON)
    content = problem(reply)
    errors = content.get("errors", [])
    assert isinstance(errors, list)
    assert (reply.status, content["code"]) == (status, code)
    assert [error["field"] for error in errors] == fields


def test_other_bad_requests_are_problems_too(inventory: Inventory) -> None:
    good = b'{"quantity": 12}'
    reply = inventory.put("/stock/apples", good, ("Content-Type", "text/plain"))
    assert (reply.status, problem(reply)["code"]) == (415, "unsupported_media_type")
    reply = inventory.put("/stock/Apples!", good, JSON)
    assert (reply.status, problem(reply)["code"]) == (422, "validation_failed")
    reply = inventory.send("GET", "/nowhere")
    assert (reply.status, problem(reply)["code"]) == (404, "not_found")
    reply = inventory.send("DELETE", "/stock", inventory.authorized("inventory.read"))
    assert (reply.status, problem(reply)["code"]) == (405, "method_not_allowed")
    assert "GET" in reply.values("Allow")[0]


# -- starting and stopping ---------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_a_service_starts_while_the_issuer_is_down(module: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        issuer = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with running(module, "--issuer", issuer, "--port", "0") as process:
            assert process.stdout is not None
            origin = process.stdout.readline().split(" listens on ")[1].split(",")[0]
            token = LocalIssuer(issuer, "inventory").headers(permissions=["inventory.read"])
            assert send(origin, "GET", "/health").status == 200
            reply = send(origin, "GET", "/stock", token.items())
            assert (reply.status, problem(reply)["code"]) == (503, "keys_unavailable")
            assert int(reply.values("Retry-After")[0]) >= 1


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_service_cleanly(module: str, number: signal.Signals) -> None:
    with running(module, "--port", "0") as process:
        assert process.stdout is not None
        origin = process.stdout.readline().split(" listens on ")[1].split(",")[0]
        assert send(origin, "GET", "/health").status == 200
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.communicate() == ("", "")


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--port", "PORT"), "cannot listen on 127.0.0.1, port PORT: it is in use"),
        (("--issuer", "http://iam.example.com"), "http"),
        (("--host", "192.0.2.1", "--port", "0"), "cannot listen on 192.0.2.1, port 0: "),
    ],
)
def test_what_keeps_a_service_from_starting_is_said_in_one_line(
    module: str, arguments: tuple[str, ...], reason: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        given = [argument.replace("PORT", port) for argument in arguments]
        with running(module, *given) as process:
            _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said.startswith("inventory: ")
    assert reason.replace("PORT", port) in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_a_port_that_is_none_is_refused_with_the_usage(port: str) -> None:
    with running("flask_inventory", f"--port={port}") as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "a port is a number from 0 to 65535" in said


def test_the_manifest_declares_what_the_services_ask_for() -> None:
    text = files("apostille_examples").joinpath("permissions.toml").read_text("utf-8")
    manifest = parse_manifest(tomllib.loads(text))
    assert manifest.service == "inventory"
    assert set(manifest.permissions) == {"inventory.read", "inventory.write"}
    assert manifest.roles["clerk"].allow == ("inventory.read",)
