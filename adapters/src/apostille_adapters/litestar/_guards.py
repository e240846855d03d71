"""Requirements as Litestar guards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.enums import ScopeType
from litestar.exceptions import WebSocketException
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from apostille import AsyncVerifier, Principal, policy
from apostille.errors import ConfigurationError, MissingToken
from apostille.http import (
    REFUSALS,
    WEBSOCKET,
    ProtectionSpace,
    asgi_headers,
    websocket_close,
)

__all__ = [
    "GATE",
    "CurrentPrincipal",
    "Gate",
    "Guard",
    "HasAnyPermission",
    "HasPermission",
    "OptionalPrincipal",
    "authenticated",
    "current_principal",
    "optional_principal",
]

Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]

CurrentPrincipal: TypeAlias = NamedDependency[Principal]
"""Type of a handler's parameter ``principal``; a token is required."""

OptionalPrincipal: TypeAlias = NamedDependency[Principal | None]
"""Type of a handler's parameter ``optional_principal``; ``None`` without a token."""

GATE = "apostille"
"""Where the application's state keeps its :class:`Gate`."""

_PRINCIPAL = "apostille.principal"  # in the connection's scope


class Gate:
    """What the plugin leaves in the application's state for guards to find."""

    def __init__(self, verifier: AsyncVerifier, space: ProtectionSpace) -> None:
        self._verifier = verifier
        self._space = space

    async def principal(self, scope: Scope) -> Principal:
        """Return whom the connection's token speaks for; verified once per connection."""
        # With who verified it: a mounted application may have a verifier of its own.
        known: Any = scope.get(_PRINCIPAL)
        if known is not None and known[0] is self:
            return cast("Principal", known[1])
        method = scope["method"] if scope["type"] == ScopeType.HTTP else WEBSOCKET
        token = self._space.token(asgi_headers(scope["headers"]), method)
        principal = await self._verifier.verify(token)
        scope[_PRINCIPAL] = self, principal  # type: ignore[literal-required]
        scope["user"] = principal
        return principal


async def _principal(scope: Scope) -> Principal:
    gate = scope["litestar_app"].state.get(GATE)
    if not isinstance(gate, Gate):
        raise ConfigurationError("Litestar(plugins=[ApostillePlugin(verifier)]) is missing")
    return await gate.principal(scope)


@contextmanager
def _refusals_of(scope: Scope) -> Iterator[None]:
    """Close a WebSocket by refusals: Litestar's exception handlers are for HTTP alone."""
    try:
        yield
    except REFUSALS as refusal:
        if scope["type"] == ScopeType.HTTP:
            raise
        code, reason = websocket_close(refusal)
        raise WebSocketException(detail=reason, code=code) from refusal


async def current_principal(scope: Scope) -> Principal:
    """Dependency: whom the token speaks for; a token is required."""
    with _refusals_of(scope):
        return await _principal(scope)


async def optional_principal(scope: Scope) -> Principal | None:
    """Dependency: whom the token speaks for, or ``None`` without one; a bad one is refused."""
    with _refusals_of(scope):
        try:
            return await _principal(scope)
        except MissingToken:
            return None


async def authenticated(connection: Connection, _: BaseRouteHandler) -> None:
    """Guard: a valid token is required, whatever it permits."""
    with _refusals_of(connection.scope):
        await _principal(connection.scope)


class Guard(policy.Requirement):
    """A requirement that Litestar can ask."""

    __slots__ = ()

    async def __call__(self, connection: Connection, _: BaseRouteHandler) -> None:
        """Authenticate the connection and check the requirement."""
        with _refusals_of(connection.scope):
            principal = await _principal(connection.scope)
            self.check(principal, parameters=connection.path_params, request=connection)


class HasPermission(Guard, policy.HasPermission):
    """Guard: all the named permissions are held."""

    __slots__ = ()


class HasAnyPermission(Guard, policy.HasAnyPermission):
    """Guard: at least one of the named permissions is held."""

    __slots__ = ()
