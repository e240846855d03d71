"""What an application needs once: the verifier within reach, and the answers."""

from __future__ import annotations

import inspect
from typing import Any

from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketState

from apostille import AsyncVerifier, Principal
from apostille.errors import ConfigurationError
from apostille.http import (
    REFUSALS,
    WEBSOCKET,
    ProtectionSpace,
    Refusal,
    TokenCookie,
    asgi_headers,
    websocket_close,
)

from ._dependencies import SCOPE_KEY
from ._openapi import document_requirements

__all__ = ["Apostille"]


class Apostille:
    """Authenticates the requests of an application and answers refusals.

    Args:
        verifier: Verifies tokens; the application owns and closes it.
        realm: Shown to clients; by default the verifier's first audience.
        cookie: A cookie that may carry the token; none by default.

    Raises:
        ConfigurationError: The verifier would block the event loop.
    """

    def __init__(
        self,
        verifier: AsyncVerifier,
        *,
        realm: str | None = None,
        cookie: TokenCookie | None = None,
    ) -> None:
        if not inspect.iscoroutinefunction(verifier.verify):
            raise ConfigurationError(
                "FastAPI needs an AsyncVerifier: Verifier blocks the event loop"
            )
        self._verifier = verifier
        self._space = ProtectionSpace(realm or verifier.audience[0], cookie)

    def init_app(self, app: FastAPI) -> None:
        """Serve *app* and every application mounted in it.

        A mounted application has an OpenAPI page of its own; call this for
        it as well, to see there what its routes require.
        """
        app.add_middleware(_Reach, authenticator=self)
        _answer_refusals(app.exception_handlers, self._answer)
        document_requirements(app)

    def answer_refusals(self, scope: Scope) -> None:
        """Let the application that serves *scope* answer refusals.

        A mounted application catches errors before the one it is mounted in,
        and knows nothing of ours: without this, its clients would see a 500.
        """
        _answer_refusals(scope["starlette.exception_handlers"][0], self._answer)

    async def authenticate(self, scope: Scope) -> Principal:
        """Return whom the token of the connection speaks for.

        Raises:
            InvalidCredentials: There is not exactly one token.
            InvalidToken: It must not be accepted.
            Unavailable: The issuer could not be asked.
        """
        method = scope["method"] if scope["type"] == "http" else WEBSOCKET
        token = self._space.token(asgi_headers(scope["headers"]), method)
        return await self._verifier.verify(token)

    async def _answer(self, connection: HTTPConnection, refusal: Refusal) -> Response | None:
        answer = self._space.answer(refusal)
        response = Response(answer.body, answer.status, dict(answer.headers))
        if not isinstance(connection, WebSocket):
            return response
        denial = "websocket.http.response" in connection.scope.get("extensions", {})
        if denial and connection.application_state is WebSocketState.CONNECTING:
            await connection.send_denial_response(response)
        else:
            await connection.close(*websocket_close(refusal))
        return None


class _Reach:
    """Puts the authenticator into the scope, which mounted applications inherit."""

    def __init__(self, app: ASGIApp, authenticator: Apostille) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[SCOPE_KEY] = self._authenticator
        await self._app(scope, receive, send)


def _answer_refusals(handlers: dict[Any, Any], answer: object) -> None:
    if REFUSALS[0] not in handlers:
        for refusal in REFUSALS:
            handlers.setdefault(refusal, answer)
