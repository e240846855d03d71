"""Drives ASGI applications without a server: requests, and WebSocket handshakes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from support.web import Headers, Reply

Message = dict[str, Any]


def _scope(kind: str, path: str, headers: Headers, **more: Any) -> Message:
    return {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        "server": ("service.test", 80),
        "client": ("192.0.2.1", 50000),
        **more,
    }


async def _exchange(app: Any, scope: Message, received: Iterable[Message]) -> list[Message]:
    sent: list[Message] = []
    waiting = iter(received)

    async def receive() -> Message:
        return next(waiting)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def request(app: Any, method: str, path: str, headers: Headers = (), body: bytes = b"") -> Reply:
    """Send one request to *app* in a loop of its own, and return the reply."""
    scope = _scope("http", path, headers, method=method, scheme="http")
    received = [{"type": "http.request", "body": body, "more_body": False}]
    start, *rest = asyncio.run(_exchange(app, scope, received))
    given = tuple((name.decode(), value.decode()) for name, value in start["headers"])
    return Reply(start["status"], given, b"".join(part.get("body", b"") for part in rest))


def websocket(
    app: Any, path: str, headers: Headers = (), *, extensions: Mapping[str, Any] | None = None
) -> list[Message]:
    """Connect to *app*, disconnect, and return what it sent."""
    scope = _scope("websocket", path, headers, scheme="ws", subprotocols=[])
    if extensions is not None:
        scope["extensions"] = dict(extensions)
    received: list[Message] = [
        {"type": "websocket.connect"},
        {"type": "websocket.disconnect", "code": 1000},
    ]
    return asyncio.run(_exchange(app, scope, received))


def bearer(*tokens: str) -> list[tuple[str, str]]:
    """Return one ``Authorization`` header for each of *tokens*."""
    return [("Authorization", f"Bearer {token}") for token in tokens]
