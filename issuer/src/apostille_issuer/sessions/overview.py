"""Routes where people and administrators see sessions, and end them."""

from __future__ import annotations

import uuid
from typing import Any, TypeAlias

from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from apostille import Principal
from apostille_adapters.litestar import CurrentPrincipal, HasPermission, authenticated
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.http.answers import guarded, signed_in
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import DEFAULT_LIMIT, Cursor, Limit, Page
from apostille_issuer.http.platform import WITHIN_ORGANIZATION
from apostille_issuer.sessions.cookies import came_by_cookie, forget
from apostille_issuer.sessions.managed import ManagedSessions
from apostille_issuer.sessions.own import OwnSessions
from apostille_issuer.sessions.schemas import SessionView

__all__ = ["LogoutEverywhereController", "OwnSessionController", "UserSessionController"]

Own: TypeAlias = NamedDependency[OwnSessions]
Managed: TypeAlias = NamedDependency[ManagedSessions]
Context: TypeAlias = NamedDependency[RequestContext]
SessionId: TypeAlias = FromPath[uuid.UUID]
UserId: TypeAlias = FromPath[uuid.UUID]

SESSIONS_READ = HasPermission(IssuerPermission.SESSIONS_READ)
SESSIONS_WRITE = HasPermission(IssuerPermission.SESSIONS_WRITE)

NOT_FOUND = ProblemCode.NOT_FOUND
INVALID = ProblemCode.VALIDATION_FAILED
EXCEEDS = ProblemCode.GRANT_EXCEEDS_OWN


class OwnSessionController(Controller):
    """Where one is logged in oneself."""

    path = "/v1/me/sessions"
    tags = ["Own account"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {WITHIN_ORGANIZATION: True}  # noqa: RUF012
    guards = [authenticated]  # noqa: RUF012 - the same

    @get(responses=signed_in(INVALID))
    async def list_own_sessions(
        self,
        principal: CurrentPrincipal,
        own_sessions: Own,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[SessionView]:
        """List where one is logged in, the newest login first."""
        return await own_sessions.page(
            _subject(principal), _session_of(principal), cursor=cursor, limit=limit
        )

    @delete(responses=signed_in(ProblemCode.CSRF_FAILED))
    async def end_other_sessions(
        self, principal: CurrentPrincipal, own_sessions: Own, context: Context
    ) -> None:
        """Log out everywhere else."""
        await own_sessions.end_others(_subject(principal), _session_of(principal), context)

    @delete("/{session_id:uuid}", responses=signed_in(NOT_FOUND, ProblemCode.CSRF_FAILED))
    async def end_own_session(
        self,
        session_id: SessionId,
        principal: CurrentPrincipal,
        own_sessions: Own,
        context: Context,
    ) -> None:
        """Log out there; that the session has ended already is no error."""
        await own_sessions.end(_subject(principal), session_id, context)


class LogoutEverywhereController(Controller):
    """Logout of all sessions."""

    path = "/v1/auth/logout-everywhere"
    tags = ["Sessions"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {WITHIN_ORGANIZATION: True}  # noqa: RUF012
    guards = [authenticated]  # noqa: RUF012 - the same

    @post(status_code=204, responses=signed_in(ProblemCode.CSRF_FAILED))
    async def logout_everywhere(
        self,
        request: Request[Any, Any, Any],
        principal: CurrentPrincipal,
        own_sessions: Own,
        context: Context,
    ) -> Response[None]:
        """End all sessions of the bearer of the token, this one too."""
        await own_sessions.end_everywhere(_subject(principal), context)
        return Response(None, cookies=forget() if came_by_cookie(request) else [])


class UserSessionController(Controller):
    """Where somebody is logged in."""

    path = "/v1/users/{user_id:uuid}/sessions"
    tags = ["Sessions"]  # noqa: RUF012 - Litestar's way to configure a controller

    @get(guards=[SESSIONS_READ], responses=guarded(NOT_FOUND, INVALID))
    async def list_user_sessions(
        self,
        user_id: UserId,
        principal: CurrentPrincipal,
        managed_sessions: Managed,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[SessionView]:
        """List where a user is logged in, the newest login first."""
        return await managed_sessions.page(
            user_id, _session_of(principal), cursor=cursor, limit=limit
        )

    @delete(guards=[SESSIONS_WRITE], responses=guarded(NOT_FOUND, EXCEEDS))
    async def end_user_sessions(
        self, user_id: UserId, managed_sessions: Managed, context: Context
    ) -> None:
        """Log a user out everywhere.

        Nobody can do that to a user who has more rights over the issuer than he has.
        """
        await managed_sessions.end_all(user_id, context)

    @delete("/{session_id:uuid}", guards=[SESSIONS_WRITE], responses=guarded(NOT_FOUND, EXCEEDS))
    async def end_user_session(
        self,
        user_id: UserId,
        session_id: SessionId,
        managed_sessions: Managed,
        context: Context,
    ) -> None:
        """End one session of a user; that it has ended already is no error."""
        await managed_sessions.end(user_id, session_id, context)


def _subject(principal: Principal) -> uuid.UUID:
    return uuid.UUID(principal.subject)


def _session_of(principal: Principal) -> uuid.UUID | None:
    return None if principal.session is None else uuid.UUID(principal.session)
