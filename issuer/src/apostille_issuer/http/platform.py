"""The platform's routes, which are most, take no token that speaks for an organization.

An administrator of a tenant holds ``iam.*`` in its organizations. By that he
must not rule over users, keys and services of everybody, so every route
refuses such tokens unless it says that it can tell tenants apart.
"""

from __future__ import annotations

from typing import Any, Final

from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.plugins import InitPlugin, ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute

from apostille_adapters.litestar import EXCLUDE_FROM_AUTH
from apostille_contracts.problems import ProblemCode
from apostille_issuer.problems import IssuerProblem

__all__ = ["WITHIN_ORGANIZATION", "PlatformOnly"]

WITHIN_ORGANIZATION: Final = "within_organization"
"""Key of ``opt`` by which a route takes tokens that speak for an organization, too."""


class PlatformOnly(InitPlugin, ReceiveRoutePlugin):
    """Guards every route that does not say otherwise; to be listed after the adapter's plugin."""

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the guard: behind the adapter's, which finds out whose token it is."""
        app_config.guards.append(_platform_only)
        return app_config

    def receive_route(self, route: BaseRoute) -> None:
        """Take the guard off routes that need none: it would cost them time."""
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                guards = handler.resolve_guards()
                if _is_free(handler) and _platform_only in guards:
                    guards.remove(_platform_only)


def _is_free(handler: BaseRouteHandler) -> bool:
    return bool(handler.opt.get(WITHIN_ORGANIZATION) or handler.opt.get(EXCLUDE_FROM_AUTH))


# Asynchronous, or Litestar would wrap it: it would be run by another thread, at
# the cost of a fifth of a millisecond, and not be found again to be taken off.
async def _platform_only(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    principal = connection.scope.get("user")
    if not _is_free(handler) and (principal is None or principal.organization is not None):
        raise IssuerProblem(ProblemCode.PLATFORM_ONLY)
