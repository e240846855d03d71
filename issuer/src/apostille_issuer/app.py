"""The issuer's HTTP application.

:func:`create_app` is the other half of the composition root, beside
:class:`.Issuer`: it says which routes there are, what stands around them, and
what handlers may ask for by name.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar
from litestar.di import NamedDependency, Provide

from apostille import AsyncVerifier
from apostille.status import UnsafeNoStatus
from apostille_adapters.litestar import ApostillePlugin
from apostille_issuer.access.controllers import (
    AssignmentController,
    PermissionController,
    RoleController,
)
from apostille_issuer.access.organization_controllers import OrganizationRoleController
from apostille_issuer.access.service_controllers import ServiceController
from apostille_issuer.accounts.controllers import OwnAccountController, UserController
from apostille_issuer.audit.controllers import AuditController
from apostille_issuer.bootstrap import ensure_superuser
from apostille_issuer.clients.controllers import ApiKeyController, ServiceAccountController
from apostille_issuer.clients.oauth_controllers import TokenController
from apostille_issuer.clock import Clock, utc_now
from apostille_issuer.http.application import IssuerApplication
from apostille_issuer.http.context import RequestContext, provide_context
from apostille_issuer.http.platform import PlatformOnly
from apostille_issuer.issuer import Issuer
from apostille_issuer.keys.controllers import KeyController
from apostille_issuer.keys.pairs import KeySource
from apostille_issuer.notifications.controllers import OwnNotificationController
from apostille_issuer.operations.discovery import Discovery
from apostille_issuer.operations.documentation import documentation_routes, openapi_config
from apostille_issuer.operations.health import health_routes
from apostille_issuer.sessions.controllers import SessionController, plain_posts
from apostille_issuer.sessions.cookies import ACCESS_COOKIE
from apostille_issuer.sessions.oauth import OAuthTokens
from apostille_issuer.sessions.oauth_controllers import (
    IntrospectionController,
    RevocationController,
)
from apostille_issuer.sessions.overview import (
    LogoutEverywhereController,
    OwnSessionController,
    UserSessionController,
)
from apostille_issuer.settings import Settings
from apostille_issuer.status.controllers import StatusController
from apostille_issuer.status.guard import OwnVerifier
from apostille_issuer.tenancy.controllers.invitations import (
    AcceptanceController,
    InvitationController,
)
from apostille_issuer.tenancy.controllers.memberships import (
    MemberController,
    OwnMembershipController,
)
from apostille_issuer.tenancy.controllers.organizations import OrganizationController
from apostille_issuer.tenancy.controllers.tenants import TenantController, TenantDomainController

__all__ = ["create_app"]


def create_app(
    settings: Settings, *, clock: Clock = utc_now, key_source: KeySource | None = None
) -> Litestar:
    """Return the application; nothing is opened before its lifespan begins.

    Args:
        settings: All that an operator can decide.
        clock: Tells the time to every service.
        key_source: Makes signing keys, and signers for them, where private
            keys are kept elsewhere; default: this process.
    """
    issuer = Issuer(settings, clock=clock, key_source=key_source)
    discovery = Discovery(settings, issuer.keys)
    verifier = _verifier(issuer)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        # Commands do not rotate keys in passing: only what serves does what time brings.
        async with issuer.running(), issuer.keys.tended(), issuer.outbox.delivering():
            app.state.first_superuser = await ensure_superuser(issuer)
            async with issuer.tenancy.purge.purging(), issuer.purge.purging():
                yield

    app = IssuerApplication(
        settings,
        documents=(discovery.documents(), issuer.status),
        plain=plain_posts(issuer.sessions),
        route_handlers=[
            discovery.routes(),
            health_routes(issuer.database, issuer.keys),
            documentation_routes(),
            SessionController,
            LogoutEverywhereController,
            RevocationController,
            IntrospectionController,
            TokenController,
            ServiceAccountController,
            ApiKeyController,
            OwnAccountController,
            OwnSessionController,
            OwnNotificationController,
            UserController,
            UserSessionController,
            RoleController,
            OrganizationRoleController,
            PermissionController,
            ServiceController,
            AssignmentController,
            AuditController,
            KeyController,
            StatusController,
            TenantController,
            TenantDomainController,
            OrganizationController,
            MemberController,
            InvitationController,
            AcceptanceController,
            OwnMembershipController,
        ],
        # What handlers may ask for by name.
        dependencies={
            "context": Provide(provide_context, sync_to_thread=False),
            "access": _always(issuer.access),
            "accounts": _always(issuer.accounts),
            "audit": _always(issuer.audit),
            "clients": _always(issuer.clients),
            "even_revoked": _always(_verifier_of_revoked_tokens(issuer)),
            "keys": _always(issuer.key_administration),
            "managed_sessions": _always(issuer.managed_sessions),
            "notifications": _always(issuer.notifications),
            "oauth": _always(_oauth(issuer)),
            "own_account": _always(issuer.own_account),
            "own_sessions": _always(issuer.own_sessions),
            "sessions": _always(issuer.sessions),
            "statuses": _always(issuer.status),
            "tenancy": _always(issuer.tenancy),
            "verifier": _always(verifier),
        },
        # Every route wants a token, but for those that say otherwise one by one.
        plugins=[
            ApostillePlugin(verifier, cookie=ACCESS_COOKIE, authenticate_all=True),
            # And most of them one that speaks for no organization.
            PlatformOnly(),
        ],
        lifespan=[lifespan],
        openapi_config=openapi_config(),
    )
    app.state.issuer = issuer
    return app


def _verifier(issuer: Issuer) -> AsyncVerifier:
    """Return the SDK's verifier, over what is in this process: no network, no discovery."""
    return OwnVerifier(statuses=issuer.status, **_verifying(issuer))


def _verifier_of_revoked_tokens(issuer: Issuer) -> AsyncVerifier:
    """Return one that does not ask whether the session has ended: for who ends it."""
    return AsyncVerifier(status=UnsafeNoStatus(), **_verifying(issuer))


def _verifying(issuer: Issuer) -> dict[str, Any]:
    settings = issuer.settings
    return {
        "issuer": settings.issuer_url,
        "audience": settings.audience,
        "keys": issuer.keys.static_keys,
        "allow_insecure_http": settings.allow_insecure_http,
        "clock": _VerifierClock(issuer.clock),
    }


def _oauth(issuer: Issuer) -> OAuthTokens:
    """Return what revokes and introspects tokens, whichever service they are meant for."""

    def verifier(audience: tuple[str, ...], mind_status: bool) -> AsyncVerifier:  # noqa: FBT001 - MakeVerifier's
        options = _verifying(issuer) | {"audience": audience, "cache_size": 0}
        if mind_status:
            return OwnVerifier(statuses=issuer.status, **options)
        return AsyncVerifier(status=UnsafeNoStatus(), **options)

    return OAuthTokens(
        issuer.database,
        issuer.clock,
        access=issuer.access,
        keys=issuer.keys,
        sessions=issuer.sessions,
        verifier=verifier,
        issuer=issuer.settings.issuer_url,
        client_id=issuer.settings.client_id,
    )


class _VerifierClock:
    """The issuer's clock, as the SDK reads it."""

    def __init__(self, clock: Clock) -> None:
        self.time: Callable[[], float] = lambda: clock().timestamp()
        self.monotonic: Callable[[], float] = time.monotonic


def _always(service: Any) -> Provide:
    # It has no use for the context. But what depends on nothing is resolved side
    # by side, in a task group that takes longer (90 µs) than a refresh's signature;
    # what depends on the context is resolved after it.
    def provide(context: NamedDependency[RequestContext]) -> Any:  # noqa: ARG001 - as said
        return service

    return Provide(provide, use_cache=True, sync_to_thread=False)
