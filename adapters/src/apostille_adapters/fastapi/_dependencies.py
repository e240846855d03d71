"""Requirements and principals as FastAPI dependencies.

Each dependency is a security scheme of its own instead of depending on one:
FastAPI resolves every level of dependencies anew for every request, and one
level is half the price of two.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Depends
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection
from starlette.types import Scope

from apostille import Principal, policy
from apostille.errors import ConfigurationError, MissingToken

__all__ = [
    "SCOPE_KEY",
    "Authenticator",
    "CurrentPrincipal",
    "HasAnyPermission",
    "HasPermission",
    "OptionalPrincipal",
    "authenticated",
    "current_principal",
    "is_public",
    "optional_principal",
    "public",
]

SCOPE_KEY = "apostille"
"""Where a request's ASGI scope keeps who authenticates it."""

_PRINCIPAL = "apostille.principal"
_PUBLIC = "__apostille_public__"

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])


class Authenticator(Protocol):
    """What dependencies need of the application's ``Apostille``."""

    def answer_refusals(self, scope: Scope) -> None:
        """Let the application that serves *scope* answer them."""

    async def authenticate(self, scope: Scope) -> Principal:
        """Return whom the connection's token speaks for, or raise a refusal."""


class _Scheme(SecurityBase):
    """Shows the bearer token in the OpenAPI document of whatever depends on it."""

    model = HTTPBearer(bearerFormat="JWT", description="Access token of the issuer")
    scheme_name = "Apostille"


async def _authenticate(connection: HTTPConnection) -> Principal:
    scope = connection.scope
    authenticator: Authenticator | None = scope.get(SCOPE_KEY)
    if authenticator is not None:
        authenticator.answer_refusals(scope)
    overrides = getattr(scope["app"], "dependency_overrides", None)
    if overrides and current_principal in overrides:
        given = overrides[current_principal]()
        overridden: Principal = await given if inspect.isawaitable(given) else given
        return overridden
    if authenticator is None:
        raise ConfigurationError("Apostille(verifier).init_app(app) is missing")
    # With who verified it: a mounted application may have a verifier of its own.
    known: tuple[Authenticator, Principal] | None = scope.get(_PRINCIPAL)
    if known is not None and known[0] is authenticator:
        return known[1]
    principal = await authenticator.authenticate(scope)
    scope[_PRINCIPAL] = authenticator, principal
    scope["user"] = principal
    return principal


class _CurrentPrincipal(_Scheme):
    async def __call__(self, connection: HTTPConnection) -> Principal:
        return await _authenticate(connection)


class _OptionalPrincipal(_Scheme):
    async def __call__(self, connection: HTTPConnection) -> Principal | None:
        try:
            return await _authenticate(connection)
        except MissingToken:
            return None


class _Authenticated(_Scheme):
    async def __call__(self, connection: HTTPConnection) -> Principal | None:
        if is_public(connection.scope.get("endpoint")):
            return None
        return await _authenticate(connection)


current_principal = _CurrentPrincipal()
"""Dependency: whom the token speaks for. ``app.dependency_overrides`` may replace it by a
function without parameters, plain or async; every other dependency here then asks that one."""

optional_principal = _OptionalPrincipal()
"""Dependency: the same, or ``None`` where there is no token at all; a bad one is refused."""

authenticated = _Authenticated()
"""Dependency for ``FastAPI(dependencies=[Depends(authenticated)])``: every route that is
declared on the application or an included router needs a token, but those marked
:func:`public`, one by one.

FastAPI asks the dependencies of an application for nothing else: a mounted application
and static files are not covered, nor are ``/docs``, ``/redoc`` and ``/openapi.json``. Give
a mounted ``FastAPI`` the same dependency; the pages are turned off by ``openapi_url=None``."""

CurrentPrincipal = Annotated[Principal, Depends(current_principal)]
OptionalPrincipal = Annotated[Principal | None, Depends(optional_principal)]


def public(endpoint: _Endpoint) -> _Endpoint:
    """Exempt *endpoint* from :data:`authenticated`; put it below the route decorator."""
    setattr(endpoint, _PUBLIC, True)
    return endpoint


def is_public(endpoint: object) -> bool:
    """Say whether *endpoint* is marked :func:`public`."""
    return getattr(endpoint, _PUBLIC, False) is True


class _Requirement(policy.Requirement, _Scheme):
    """A requirement that FastAPI can depend on; it yields the principal."""

    async def __call__(self, connection: HTTPConnection) -> Principal:
        principal = await _authenticate(connection)
        self.check(principal, parameters=connection.path_params, request=connection)
        return principal


class HasPermission(_Requirement, policy.HasPermission):
    """Dependency: all the named permissions are held; yields the principal."""


class HasAnyPermission(_Requirement, policy.HasAnyPermission):
    """Dependency: at least one of the named permissions is held; yields the principal."""
