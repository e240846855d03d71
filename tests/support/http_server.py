"""An issuer on a real socket of this machine that a test can make misbehave.

Each path answers with a *behaviour*, which writes bytes to the connection as
it likes; what was asked for is recorded.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from apostille._signing import SigningKey

__all__ = [
    "METADATA",
    "OIDC_METADATA",
    "Behaviour",
    "Exchange",
    "IssuerServer",
    "document",
    "drip",
    "raw",
    "redirect",
    "silence",
    "status",
]

METADATA = "/.well-known/oauth-authorization-server"
OIDC_METADATA = "/.well-known/openid-configuration"
JWKS = "/jwks"

_POLL_SECONDS = 0.01


class Exchange:
    """One request, for a behaviour to answer."""

    def __init__(self, handler: BaseHTTPRequestHandler, stopping: threading.Event) -> None:
        self.path = handler.path
        self.headers = handler.headers
        self.stopping = stopping
        self._handler = handler

    def send(self, octets: bytes) -> None:
        """Write *octets* to the connection as they are."""
        self._handler.wfile.write(octets)
        self._handler.wfile.flush()


Behaviour = Callable[[Exchange], None]


def raw(octets: bytes) -> Behaviour:
    """Answer with exactly *octets* and close."""
    return lambda exchange: exchange.send(octets)


def _head(status_line: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status_line}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


def document(
    value: object, content_type: str = "application/json", headers: Iterable[tuple[str, str]] = ()
) -> Behaviour:
    """Answer 200 with *value* as JSON, or as it is if it is bytes."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    usual = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    return raw(_head("200 OK", [*usual, *headers]) + body)


def status(code: int, headers: Iterable[tuple[str, str]] = ()) -> Behaviour:
    """Answer with *code* and no body."""
    return raw(_head(f"{code} Status", [("Content-Length", "0"), *headers]))


def redirect(location: str) -> Behaviour:
    """Answer 302."""
    return status(302, [("Location", location)])


def silence() -> Behaviour:
    """Say nothing until the server stops."""

    def behave(exchange: Exchange) -> None:
        exchange.stopping.wait()

    return behave


def drip(octets: bytes, pause_seconds: float = 0.02) -> Behaviour:
    """Send *octets* one by one, for ever if it must be."""

    def behave(exchange: Exchange) -> None:
        for octet in octets:
            if exchange.stopping.wait(pause_seconds):
                return
            exchange.send(bytes([octet]))

    return behave


class IssuerServer:
    """An issuer's public documents on 127.0.0.1; usable as a context manager.

    Args:
        *keys: What it signs with and publishes.
        path: Path of the issuer's identifier, such as ``/tenant``.
        tls: Serves https if given.
    """

    def __init__(
        self, *keys: SigningKey, path: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        self.keys = list(keys)
        self.cache_control: str | None = None
        self.requests: list[str] = []
        self.request_headers: list[Mapping[str, str]] = []
        self.behaviours: dict[str, Behaviour] = {}
        self.gate = threading.Event()
        """Requests wait until it is set; it is set unless a test clears it."""
        self.gate.set()
        self._path = path
        self._tls = tls
        self._stopping = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    @property
    def issuer(self) -> str:
        """The issuer's identifier."""
        return f"{self.origin}{self._path}"

    @property
    def origin(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._port}"

    def count(self, path: str = JWKS) -> int:
        """Return how often *path* was asked for."""
        return Counter(self.requests)[path]

    def jwks(self) -> dict[str, Any]:
        return {"keys": [key.public_jwk() for key in self.keys]}

    def metadata(self, **changes: Any) -> dict[str, Any]:
        return {"issuer": self.issuer, "jwks_uri": f"{self.origin}{JWKS}", **changes}

    def start(self) -> Self:
        """Listen; at the same port as before, if it listened before."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.requests.append(self.path)
                owner.request_headers.append({k.lower(): v for k, v in self.headers.items()})
                owner.gate.wait()
                behave = owner.behaviours.get(self.path) or owner._usual(self.path)
                self.close_connection = True
                with suppress(ConnectionError):  # the client has had enough
                    behave(Exchange(self, owner._stopping))

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                pass

        self._stopping.clear()
        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is None or self._thread is None:
            return
        self._stopping.set()
        self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = None

    def _usual(self, path: str) -> Behaviour:
        if path == f"{METADATA}{self._path}":
            return document(self.metadata())
        if path == JWKS:
            headers = [] if self.cache_control is None else [("Cache-Control", self.cache_control)]
            return document(self.jwks(), "application/jwk-set+json", headers)
        return status(404)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
