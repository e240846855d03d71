"""Requests in their plain form, answered without routing.

Most refreshes look alike: ``POST`` to the exact path, ``application/json`` of
announced length, all of it there, and what the act takes. For these routing,
dependencies and serialisation cost as much as the act. So they are recognised
here; whatever differs in any way goes to the route, untouched, so that there is
one judgement about bad requests, and one about cookies, and it is the route's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar.types import (
    ASGIApp,
    HTTPReceiveMessage,
    Receive,
    Scope,
    Send,
    WebSocketReceiveMessage,
)
from msgspec import Struct

from apostille_issuer.http.context import RequestContext, context_of
from apostille_issuer.http.problems import problem_of
from apostille_issuer.http.request import IssuerRequest

__all__ = ["PlainPost"]

_JSON = b"application/json"

_Received = HTTPReceiveMessage | WebSocketReceiveMessage

_encoder = msgspec.json.Encoder()


class PlainPost:
    """What a route does with ``POST``, for requests in their plain form.

    The route must be public, answer 200, and do the same with the same request.
    """

    def __init__(
        self,
        path: str,
        given: type[Struct],
        act: Callable[[Any, RequestContext], Awaitable[Struct]],
        *,
        if_: Callable[[Any], bool] = lambda _: True,
    ) -> None:
        """Take the act.

        Args:
            path: Of the route; only exactly this is plain.
            given: What the act takes; decoded as strictly as the route does, or more so.
            act: Returns what is answered, or raises as services do.
            if_: Says of what is given whether the act is all there is to do.
        """
        self.path = path
        self._decoder = msgspec.json.Decoder(given)
        self._act = act
        self._if = if_

    def before(self, app: ASGIApp, *, max_body_bytes: int) -> ASGIApp:
        """Return an application that answers plain requests and hands on all others.

        Args:
            app: Has the route.
            max_body_bytes: What is longer is the route's to refuse.
        """

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            length = _announced(scope)
            if length is None or length > max_body_bytes:
                await app(scope, receive, send)
                return
            message = await receive()
            given = self._given(message, length)
            if given is None:
                await app(scope, _with_first(message, receive), send)
                return
            await self._answer(given, scope, receive, send)

        return answer

    def _given(self, message: _Received, length: int) -> Any:
        """Return what the act takes, or ``None`` where the route has to judge."""
        if message["type"] != "http.request" or message.get("more_body"):
            return None
        body = message["body"]
        if len(body) != length:
            return None
        try:
            given = self._decoder.decode(body)
        # A decode error is a ValueError; so is bad UTF-8. Deep nesting ends in RecursionError.
        except (ValueError, RecursionError):
            return None
        return given if self._if(given) else None

    async def _answer(self, given: Any, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = _encoder.encode(await self._act(given, context_of(scope)))
        except Exception as error:  # noqa: BLE001 - as an application handles all of them
            request = IssuerRequest(scope, receive, send)
            refusal = problem_of(request, error).to_asgi_response(None, request)
            await refusal(scope, receive, send)
            return
        headers = [(b"content-type", _JSON), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _announced(scope: Scope) -> int | None:
    """Return the length of the body, if it is JSON, has one, and the head says so once."""
    media_type = length = None
    for name, value in scope["headers"]:
        if name == b"content-type":
            if media_type is not None:
                return None
            media_type = value
        elif name == b"content-length":
            if length is not None:
                return None
            length = value
    if media_type != _JSON or length is None or not length.isdigit() or scope.get("root_path"):
        return None
    return int(length)


def _with_first(message: _Received, receive: Receive) -> Receive:
    """Return *receive* with *message*, taken from it already, before all others."""
    waiting = [message]

    async def receive_again() -> Any:
        return waiting.pop() if waiting else await receive()

    return receive_again
