"""Requests to ASGI and WSGI applications without sockets: what a framework costs, and no more."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = ["AsgiRoute", "Route", "WsgiRoute"]

Route = Callable[[Sequence[str | None]], object]
"""Sends one request per token, ``None`` for none; every answer must be 200."""


class AsgiRoute:
    """One route of an ASGI application.

    Args:
        runner: Keeps the event loop between rounds.
        app: The application.
        path: The route's path.
    """

    def __init__(self, runner: asyncio.Runner, app: Callable[..., Any], path: str) -> None:
        self._runner = runner
        self._app = app
        self._path = path

    def __call__(self, tokens: Sequence[str | None]) -> None:
        """Send one request per token, one after the other."""
        self._runner.run(self._requests([_header(token) for token in tokens]))

    async def _requests(self, headers: Sequence[list[tuple[bytes, bytes]]]) -> None:
        app, path = self._app, self._path
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        for header in headers:
            scope = {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": "1.1",
                "method": "GET",
                "scheme": "http",
                "path": path,
                "raw_path": path.encode(),
                "query_string": b"",
                "root_path": "",
                "headers": [(b"host", b"127.0.0.1"), (b"accept", b"*/*"), *header],
                "client": ("127.0.0.1", 50_000),
                "server": ("127.0.0.1", 80),
                "state": {},
                "extensions": {},
            }
            await app(scope, receive, send)
        _all_good(statuses, len(headers))


class WsgiRoute:
    """One route of a WSGI application."""

    def __init__(self, app: Callable[..., Iterable[bytes]], path: str) -> None:
        self._app = app
        self._path = path

    def __call__(self, tokens: Sequence[str | None]) -> None:
        """Send one request per token, one after the other."""
        statuses: list[int] = []

        def start_response(status: str, _headers: object, _error: object = None) -> None:
            statuses.append(int(status[:3]))

        for token in tokens:
            environ = {
                "REQUEST_METHOD": "GET",
                "SCRIPT_NAME": "",
                "PATH_INFO": self._path,
                "QUERY_STRING": "",
                "SERVER_NAME": "127.0.0.1",
                "SERVER_PORT": "80",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "REMOTE_ADDR": "127.0.0.1",
                "HTTP_HOST": "127.0.0.1",
                "HTTP_ACCEPT": "*/*",
                "wsgi.version": (1, 0),
                "wsgi.url_scheme": "http",
                "wsgi.input": io.BytesIO(),
                "wsgi.errors": io.StringIO(),
                "wsgi.multithread": True,
                "wsgi.multiprocess": False,
                "wsgi.run_once": False,
            }
            if token is not None:
                environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
            answer = self._app(environ, start_response)
            for _ in answer:
                pass
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        _all_good(statuses, len(tokens))


def _header(token: str | None) -> list[tuple[bytes, bytes]]:
    return [] if token is None else [(b"authorization", f"Bearer {token}".encode())]


def _all_good(statuses: list[int], count: int) -> None:
    if statuses != [200] * count:
        raise RuntimeError(f"expected {count} answers with 200, got {statuses[:5]} …")
