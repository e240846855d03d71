"""Routes where sessions begin, are renewed, and end."""

from __future__ import annotations

import uuid
from typing import Any, TypeAlias

from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from apostille import AsyncVerifier
from apostille_adapters.litestar import EXCLUDE_FROM_AUTH
from apostille_contracts.problems import ProblemCode
from apostille_issuer.http.answers import reading
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.plain import PlainPost
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions import cookies
from apostille_issuer.sessions.schemas import (
    CookieTokenSet,
    LoginRequest,
    LogoutRequest,
    RefreshRequest,
    SwitchRequest,
    TokenSet,
)
from apostille_issuer.sessions.service import SessionService

__all__ = ["SessionController", "plain_posts"]

Sessions: TypeAlias = NamedDependency[SessionService]
Context: TypeAlias = NamedDependency[RequestContext]
Verifier: TypeAlias = NamedDependency[AsyncVerifier]

UNABLE = (
    ProblemCode.TOKEN_OVERSIZED,
    ProblemCode.UNKNOWN_AUDIENCE,
    ProblemCode.DATABASE_UNAVAILABLE,
)
"""Why a token cannot be made for somebody who may have one."""


class SessionController(Controller):
    """Login, refresh and logout."""

    path = "/v1/auth"
    tags = ["Sessions"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {EXCLUDE_FROM_AUTH: True}  # noqa: RUF012 - what is sent here proves itself

    @post(
        "/login",
        status_code=200,
        responses=reading(
            ProblemCode.INVALID_CREDENTIALS,
            ProblemCode.NOT_A_MEMBER,
            ProblemCode.CSRF_FAILED,
            ProblemCode.RATE_LIMITED,
            ProblemCode.OVERLOADED,
            *UNABLE,
        ),
    )
    async def login(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[LoginRequest],
        sessions: Sessions,
        context: Context,
    ) -> Response[TokenSet | CookieTokenSet]:
        """Log in by login name and password.

        The answer is the same whether the login name or the password is wrong.
        A browser asks with `"transport": "cookie"`: its tokens are then in
        cookies that no script can read.
        """
        if data.transport == "body":
            return Response(await sessions.login(data, context))
        cookies.prove_origin(request)
        tokens = await sessions.login(data, context)
        try:
            cookies.check_fits(tokens)
        except IssuerProblem:
            await sessions.end_by_token(tokens.refresh_token, context)
            raise
        return cookies.tokens_answer(tokens)

    @post(
        "/refresh",
        status_code=200,
        responses=reading(
            ProblemCode.INVALID_REFRESH_TOKEN,
            ProblemCode.REFRESH_TOKEN_REUSED,
            ProblemCode.SESSION_ENDED,
            ProblemCode.CSRF_FAILED,
            *UNABLE,
        ),
    )
    async def refresh(
        self,
        request: Request[Any, Any, Any],
        sessions: Sessions,
        context: Context,
        data: JSONBody[RefreshRequest | None] = None,
    ) -> Response[TokenSet | CookieTokenSet]:
        """Use up a refresh token for a fresh access token and the next refresh token.

        Sent again within seconds, it gets the same refresh token again. Sent
        again later, it ends the session. Without a body, the token is that of
        the cookie, and so are those of the answer.
        """
        if data is not None:
            return Response(await sessions.refresh(data.refresh_token, context))
        refresh_token = cookies.refresh_token_of(request)
        if refresh_token is None:
            raise IssuerProblem.invalid_field("refresh_token", "required, here or in the cookie")
        return cookies.renewal_answer(await sessions.refresh(refresh_token, context))

    @post(
        "/switch-organization",
        status_code=200,
        responses=reading(
            ProblemCode.INVALID_REFRESH_TOKEN,
            ProblemCode.REFRESH_TOKEN_REUSED,
            ProblemCode.SESSION_ENDED,
            ProblemCode.NOT_A_MEMBER,
            ProblemCode.RATE_LIMITED,
            ProblemCode.CSRF_FAILED,
            *UNABLE,
        ),
    )
    async def switch_organization(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[SwitchRequest],
        sessions: Sessions,
        context: Context,
    ) -> Response[TokenSet | CookieTokenSet]:
        """Use up a refresh token for tokens that speak for another organization.

        Membership is looked up again. The access token that the session had is
        void. Without a refresh token in the body it is that of the cookie, and
        so are those of the answer.
        """
        if data.refresh_token is not None:
            return Response(await sessions.switch(data.refresh_token, data.organization, context))
        refresh_token = cookies.refresh_token_of(request)
        if refresh_token is None:
            raise IssuerProblem.invalid_field("refresh_token", "required, here or in the cookie")
        tokens = await sessions.switch(refresh_token, data.organization, context)
        return cookies.renewal_answer(tokens)

    @post(
        "/logout",
        status_code=204,
        responses=reading(
            ProblemCode.INVALID_REQUEST,
            ProblemCode.MISSING_TOKEN,
            ProblemCode.CSRF_FAILED,
            ProblemCode.DATABASE_UNAVAILABLE,
        ),
    )
    async def logout(
        self,
        request: Request[Any, Any, Any],
        sessions: Sessions,
        context: Context,
        even_revoked: Verifier,
        data: JSONBody[LogoutRequest | None] = None,
    ) -> Response[None]:
        """End the session of the refresh token sent, or else of the bearer token.

        Ending a session that has ended already is no error. A browser whose
        tokens are in cookies sends nothing else, and forgets them.
        """
        if data is not None:
            await sessions.end_by_token(data.refresh_token, context)
            return Response(None)
        by_cookie = cookies.came_by_cookie(request)
        # It outlives the access token, so that one can log out late.
        refresh_token = cookies.refresh_token_of(request) if by_cookie else None
        if refresh_token is not None:
            await sessions.end_by_token(refresh_token, context)
        else:
            principal = await even_revoked.verify(cookies.access_token_of(request))
            if principal.session is not None:
                user_id = uuid.UUID(principal.subject)
                await sessions.end(uuid.UUID(principal.session), context, user_id=user_id)
        return Response(None, cookies=cookies.forget() if by_cookie else [])


def plain_posts(sessions: SessionService) -> list[PlainPost]:
    """Return what is asked most, for requests in their plain form: tokens in bodies."""

    async def refresh(data: RefreshRequest, context: RequestContext) -> TokenSet:
        return await sessions.refresh(data.refresh_token, context)

    def in_body(data: LoginRequest) -> bool:
        return data.transport == "body"

    return [
        PlainPost("/v1/auth/refresh", RefreshRequest, refresh),
        PlainPost("/v1/auth/login", LoginRequest, sessions.login, if_=in_body),
    ]
