"""The OAuth endpoints: forms in, errors as RFC 6749 section 5.2 writes them."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from litestar import Controller, MediaType, Request, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.openapi import ResponseSpec
from litestar.params import URLEncodedBody
from litestar.types import ExceptionHandlersMap
from msgspec import Meta, Struct

from apostille_adapters.litestar import EXCLUDE_FROM_AUTH, HasPermission
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.http.answers import problems
from apostille_issuer.http.context import RequestContext
from apostille_issuer.sessions.oauth import OAuthTokens

__all__ = ["IntrospectionController", "RevocationController"]

OAuth: TypeAlias = NamedDependency[OAuthTokens]
Context: TypeAlias = NamedDependency[RequestContext]


class TokenForm(Struct, frozen=True, kw_only=True):
    """A token to be revoked or introspected; parameters that are not known are ignored."""

    token: Annotated[str, Meta(min_length=1)]
    token_type_hint: str | None = None
    """Not needed: the two kinds of token look different."""
    client_id: str | None = None
    """The client that speaks, if it says so."""
    client_secret: str | None = None
    """No client has one."""

    def __repr__(self) -> str:
        """Show no token in any log."""
        return "TokenForm()"


class OAuthErrorBody(Struct, frozen=True, kw_only=True):
    """Body of an error answer (RFC 6749 section 5.2)."""

    error: str
    error_description: str


class _InvalidClient(Exception):
    """Somebody speaks as a client that there is not."""


def _invalid_request(_request: Request[Any, Any, Any], _: ValidationException) -> Response[Any]:
    text = "Send the parameter token, once, as application/x-www-form-urlencoded."
    return Response(
        OAuthErrorBody(error="invalid_request", error_description=text), status_code=400
    )


def _invalid_client(request: Request[Any, Any, Any], _: _InvalidClient) -> Response[Any]:
    text = "There is no such client, or it has no secret to authenticate with."
    body = OAuthErrorBody(error="invalid_client", error_description=text)
    answer = Response(body, status_code=401)
    # Where the client tried by this header, the answer names the scheme.
    if _sent_basic(request):
        answer.headers["www-authenticate"] = 'Basic realm="apostille"'
    return answer


def _sent_basic(request: Request[Any, Any, Any]) -> bool:
    """Say whether a client tries to authenticate itself (RFC 6749 section 2.3.1)."""
    return request.headers.get("authorization", "").lower().startswith("basic ")


_ERRORS: ExceptionHandlersMap = {
    ValidationException: _invalid_request,
    _InvalidClient: _invalid_client,
}


def _oauth_error(description: str) -> ResponseSpec:
    return ResponseSpec(OAuthErrorBody, description=description, generate_examples=False)


class RevocationController(Controller):
    """Revocation of tokens."""

    path = "/oauth/revoke"
    tags = ["OAuth"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {EXCLUDE_FROM_AUTH: True}  # noqa: RUF012 - what is sent here proves itself
    exception_handlers = _ERRORS

    @post(
        status_code=200,
        media_type=MediaType.TEXT,
        responses={
            400: _oauth_error("`invalid_request`"),
            401: _oauth_error("`invalid_client`"),
            **problems(ProblemCode.DATABASE_UNAVAILABLE),
        },
    )
    async def revoke(
        self,
        request: Request[Any, Any, Any],
        data: URLEncodedBody[TokenForm],
        oauth: OAuth,
        context: Context,
    ) -> Response[bytes]:
        """End the session of an access or refresh token (RFC 7009).

        A token that is not known, or not good any more, is no error. Clients
        are public: they have no secret, and the token is the proof.
        """
        authenticates = _sent_basic(request) or data.client_secret is not None
        if authenticates or not oauth.knows_client(data.client_id):
            raise _InvalidClient
        await oauth.revoke(data.token, context)
        return Response(b"")


class IntrospectionController(Controller):
    """Introspection of tokens."""

    path = "/oauth/introspect"
    tags = ["OAuth"]  # noqa: RUF012 - Litestar's way to configure a controller
    guards = [HasPermission(IssuerPermission.SESSIONS_READ)]  # noqa: RUF012 - the same
    exception_handlers = _ERRORS

    @post(
        status_code=200,
        responses={
            400: _oauth_error("`invalid_request`"),
            **problems(
                ProblemCode.MISSING_TOKEN,
                ProblemCode.PERMISSION_DENIED,
                ProblemCode.DATABASE_UNAVAILABLE,
            ),
        },
    )
    async def introspect(self, data: URLEncodedBody[TokenForm], oauth: OAuth) -> dict[str, Any]:
        """Say whether a token is good at this moment, and what it says (RFC 7662).

        `active` is `false`, and alone, for a token that is not, whatever the
        reason. Services do not need this: they verify tokens offline.
        """
        return await oauth.introspect(data.token)
