"""Real servers on loopback, and a client that sends what it is told, byte by byte."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Return all values of the header *name*."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


def send(
    origin: str, method: str, path: str, headers: Headers = (), body: bytes | None = None
) -> Reply:
    """Send one request with exactly these *headers*, repeated ones too, and return the reply."""
    connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=20)
    try:
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Reply(response.status, tuple(response.getheaders()), response.read())
    finally:
        connection.close()


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep quiet: a test's output is the test's."""


@contextmanager
def wsgi_server(app: WSGIApplication) -> Iterator[str]:
    """Serve *app* on the standard library's threaded server, and yield its origin."""
    with make_server("127.0.0.1", 0, app, _ThreadingServer, _QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def asgi_server(app: Any) -> Iterator[str]:
    """Serve *app* on uvicorn in a thread, and yield its origin."""
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            started.set()

    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False, ws="auto")
    server = Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    if not started.wait(20):
        raise RuntimeError("uvicorn did not start")
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
