"""What the application needs once: answers, dependencies, OpenAPI."""

from __future__ import annotations

import inspect
from copy import copy
from typing import Any, Final

from litestar import Request, Response
from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins import InitPlugin, ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute

from apostille import AsyncVerifier
from apostille.errors import ConfigurationError
from apostille.http import REFUSALS, ProtectionSpace, Refusal, TokenCookie

from ._guards import GATE, Gate, Guard, authenticated, current_principal, optional_principal

__all__ = ["EXCLUDE_FROM_AUTH", "ApostillePlugin"]

EXCLUDE_FROM_AUTH: Final = "exclude_from_auth"
"""Option of a route that needs no token in an application that asks one of all."""

_SCHEME = "Apostille"


class ApostillePlugin(InitPlugin, ReceiveRoutePlugin):
    """Lets guards find the verifier, answers refusals, and documents both.

    Handlers may take the dependencies ``principal`` (a token is required) and
    ``optional_principal`` (``None`` without one).

    Args:
        verifier: Verifies tokens; the application owns and closes it.
        realm: Shown to clients; by default the verifier's first audience.
        cookie: A cookie that may carry the token; none by default.
        authenticate_all: Whether every route needs a token. A route opts out
            with ``opt={"exclude_from_auth": True}``, one by one.

    Raises:
        ConfigurationError: The verifier would block the event loop.
    """

    def __init__(
        self,
        verifier: AsyncVerifier,
        *,
        realm: str | None = None,
        cookie: TokenCookie | None = None,
        authenticate_all: bool = False,
    ) -> None:
        if not inspect.iscoroutinefunction(verifier.verify):
            raise ConfigurationError(
                "Litestar needs an AsyncVerifier: Verifier blocks the event loop"
            )
        self._space = ProtectionSpace(realm or verifier.audience[0], cookie)
        self._gate = Gate(verifier, self._space)
        self._authenticate_all = authenticate_all
        self._use_docstrings = False

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Register everything; what the application set itself stays as it is."""
        app_config.state[GATE] = self._gate
        for refusal in REFUSALS:
            app_config.exception_handlers.setdefault(refusal, self._answer)
        app_config.dependencies.setdefault("principal", Provide(current_principal))
        app_config.dependencies.setdefault("optional_principal", Provide(optional_principal))
        if self._authenticate_all:
            app_config.guards.insert(0, _unless_excluded)
        if app_config.openapi_config is not None:
            self._use_docstrings = app_config.openapi_config.use_handler_docstrings
            app_config.openapi_config = copy(app_config.openapi_config)
            ours = Components(security_schemes={_SCHEME: _security_scheme()})
            theirs = app_config.openapi_config.components
            app_config.openapi_config.components = [
                *(theirs if isinstance(theirs, list) else [theirs]),
                ours,
            ]
        return app_config

    def receive_route(self, route: BaseRoute) -> None:
        """Document what the guards of *route* require, and drop the one that asks nothing."""
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                _document(handler, use_docstring=self._use_docstrings)
                _spare(handler)

    def _answer(self, _: Request[Any, Any, Any], refusal: Refusal) -> Response[bytes]:
        answer = self._space.answer(refusal)
        headers = dict(answer.headers)
        return Response(
            answer.body,
            status_code=answer.status,
            media_type=headers.pop("Content-Type"),
            headers=headers,
        )


async def _unless_excluded(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    if not handler.opt.get(EXCLUDE_FROM_AUTH):
        await authenticated(connection, handler)


def _spare(handler: HTTPRouteHandler) -> None:
    """Take the guard off a handler that is excluded from it.

    Litestar copies the handler for every guard it calls, which would be a third
    of the time of a small public route. It keeps the list it returns here; if it
    did not, the guard would still let everybody pass.
    """
    guards = handler.resolve_guards()
    if handler.opt.get(EXCLUDE_FROM_AUTH) and _unless_excluded in guards:
        guards.remove(_unless_excluded)


def _security_scheme() -> SecurityScheme:
    return SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")


def _document(handler: HTTPRouteHandler, *, use_docstring: bool) -> None:
    """Show the scheme and what is required in the handler's OpenAPI operation.

    A route is received anew whenever a method is added to its path, so
    nothing is said twice.
    """
    guards = handler.resolve_guards()
    required = [guard for guard in guards if isinstance(guard, Guard)]
    asked = authenticated in guards or (
        _unless_excluded in guards and not handler.opt.get(EXCLUDE_FROM_AUTH)
    )
    if not (required or asked) or {_SCHEME: []} in (handler.security or ()):
        return
    handler.security = [*(handler.security or ()), {_SCHEME: []}]
    if required:
        docstring = inspect.getdoc(handler.fn) if use_docstring else None
        text = handler.description or docstring or ""
        needs = " and ".join(f"`{guard.describe()}`" for guard in required)
        handler.description = f"{text}\n\nRequires {needs}.".lstrip()
