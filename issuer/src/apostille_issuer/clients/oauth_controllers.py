"""The token endpoint: a form in, errors as RFC 6749 section 5.2 writes them."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any, TypeAlias
from urllib.parse import unquote_plus

from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.openapi import ResponseSpec
from litestar.params import URLEncodedBody
from litestar.types import ExceptionHandlersMap
from msgspec import Struct

from apostille_adapters.litestar import EXCLUDE_FROM_AUTH
from apostille_contracts.problems import ProblemCode
from apostille_issuer.clients.authentication import ClientRefused, Credentials
from apostille_issuer.clients.service import TOKEN_PATH, ClientsService
from apostille_issuer.http.answers import problems
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.client_sessions import ScopeNotHeld, Wanted
from apostille_issuer.sessions.oauth_controllers import OAuthErrorBody

__all__ = ["TokenController"]

Clients: TypeAlias = NamedDependency[ClientsService]
Context: TypeAlias = NamedDependency[RequestContext]

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_AUDIENCES = 100
"""Most that a request may name."""


class TokenRequestForm(Struct, frozen=True, kw_only=True):
    """A request for an access token; parameters that are not known are ignored.

    The client proves who it is by ``Authorization: Basic``, or by
    ``client_id`` and ``client_secret``, or by ``client_assertion``; in one way.
    """

    grant_type: str
    """``client_credentials``."""
    scope: str = ""
    """Scopes that the account has, separated by spaces; without, all of them."""
    audience: str | list[str] = ""
    """Audiences of registered services; may be repeated. Without, all of them."""
    resource: str | list[str] = ""
    """The same, as RFC 8707 calls it."""
    client_id: str = ""
    client_secret: str = ""
    client_assertion_type: str = ""
    client_assertion: str = ""

    def __repr__(self) -> str:
        """Show no secret in any log."""
        return "TokenRequestForm()"


class AccessTokenAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An access token (RFC 6749 section 5.1); there is no refresh token with it."""

    access_token: str
    token_type: str
    """``Bearer``."""
    expires_in: int
    """Seconds."""
    scope: str = ""
    """The scopes it has, if it has any."""

    def __repr__(self) -> str:
        """Show no token in any log."""
        return "AccessTokenAnswer()"


class _Refusal(Exception):
    """A request that is answered as RFC 6749 section 5.2 says.

    Attributes:
        error: The code.
        description: For the client's developer; quotes nothing that was sent.
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


_FORM = (
    "invalid_request",
    "Send each parameter once, as application/x-www-form-urlencoded; grant_type is required.",
)
_METHODS = (
    "invalid_request",
    "Authenticate the client in one way: Basic, client_secret or an assertion.",
)
_NO_CLIENT = ("invalid_client", "Client authentication failed.")
_OF_PROBLEMS = {
    ProblemCode.NOT_A_MEMBER: (
        "unauthorized_client",
        "The account is no active member of an active organization.",
    ),
    ProblemCode.UNKNOWN_AUDIENCE: (
        "invalid_target",
        "The audience or the resource names no registered service.",
    ),
}


def _refused(_request: Request[Any, Any, Any], refusal: _Refusal) -> Response[Any]:
    body = OAuthErrorBody(error=refusal.error, error_description=refusal.description)
    if refusal.error != "invalid_client":
        return Response(body, status_code=400)
    # Every 401 names a scheme (RFC 9110 section 15.5.2), and this one clients may use.
    challenge = {"www-authenticate": 'Basic realm="apostille", charset="UTF-8"'}
    return Response(body, status_code=401, headers=challenge)


def _not_the_form(request: Request[Any, Any, Any], _: ValidationException) -> Response[Any]:
    return _refused(request, _Refusal(*_FORM))


_ERRORS: ExceptionHandlersMap = {_Refusal: _refused, ValidationException: _not_the_form}


def _oauth_error(*codes: str) -> ResponseSpec:
    description = ", ".join(f"`{code}`" for code in codes)
    return ResponseSpec(OAuthErrorBody, description=description, generate_examples=False)


class TokenController(Controller):
    """Access tokens for clients."""

    path = TOKEN_PATH
    tags = ["OAuth"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {EXCLUDE_FROM_AUTH: True}  # noqa: RUF012 - what is sent here proves itself
    exception_handlers = _ERRORS

    @post(
        status_code=200,
        responses={
            400: _oauth_error(
                "invalid_request",
                "unsupported_grant_type",
                "unauthorized_client",
                "invalid_scope",
                "invalid_target",
            ),
            401: _oauth_error("invalid_client"),
            **problems(
                ProblemCode.TOKEN_OVERSIZED,
                ProblemCode.BODY_TOO_LARGE,
                ProblemCode.RATE_LIMITED,
                ProblemCode.OVERLOADED,
                ProblemCode.DATABASE_UNAVAILABLE,
            ),
        },
    )
    async def issue_token(
        self,
        request: Request[Any, Any, Any],
        data: URLEncodedBody[TokenRequestForm],
        clients: Clients,
        context: Context,
    ) -> AccessTokenAnswer:
        """Get an access token for a service account (RFC 6749 section 4.4).

        Client authentication is `client_secret_basic`, `client_secret_post` or
        `private_key_jwt` (RFC 7523). `scope` narrows the scopes, `audience` or
        `resource` (RFC 8707) the services that the token is for.
        """
        credentials = _credentials(request, data)
        if not data.grant_type:
            raise _Refusal(*_FORM)
        if data.grant_type != "client_credentials":
            raise _Refusal("unsupported_grant_type", "The only one is client_credentials.")
        wanted = Wanted(_audience(data), _scopes(data.scope))
        try:
            token = await clients.tokens.issue(credentials, wanted, context)
        except ClientRefused:
            raise _Refusal(*_NO_CLIENT) from None
        except ScopeNotHeld:
            raise _Refusal("invalid_scope", "The account does not have that scope.") from None
        except IssuerProblem as problem:
            if problem.code not in _OF_PROBLEMS:
                raise
            raise _Refusal(*_OF_PROBLEMS[problem.code]) from None
        return AccessTokenAnswer(
            access_token=token.text,
            token_type="Bearer",  # noqa: S106 - a type, not a token
            expires_in=token.expires_in,
            scope=" ".join(token.scopes),
        )


def _credentials(request: Request[Any, Any, Any], form: TokenRequestForm) -> Credentials:
    """Return by what the client proves who it is: exactly one thing (RFC 6749 section 2.3)."""
    headers = request.headers.getall("authorization", [])
    asserts = bool(form.client_assertion or form.client_assertion_type)
    if len(headers) + bool(form.client_secret) + asserts > 1:
        raise _Refusal(*_METHODS)
    if headers:
        client_id, secret = _basic(headers[0])
        if form.client_id not in ("", client_id):
            raise _Refusal(*_METHODS)
        return Credentials(client_id=client_id, secret=secret)
    if form.client_secret:
        return Credentials(client_id=form.client_id or None, secret=form.client_secret)
    if not asserts:
        raise _Refusal(*_NO_CLIENT)
    if form.client_assertion_type != ASSERTION_TYPE or not form.client_assertion:
        raise _Refusal(*_METHODS)
    return Credentials(client_id=form.client_id or None, assertion=form.client_assertion)


def _basic(header: str) -> tuple[str, str]:
    """Return what ``Authorization: Basic`` says, each half a form's value (RFC 6749, 2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise _Refusal(*_NO_CLIENT)
    try:
        text = b64decode(encoded.strip(), validate=True).decode()
        client_id, colon, secret = text.partition(":")
        if colon:
            return unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except (binascii.Error, UnicodeError):
        pass
    raise _Refusal(*_NO_CLIENT)


def _audience(form: TokenRequestForm) -> list[str] | None:
    """Return the audiences that are named, each once."""
    named: dict[str, None] = {}
    for given in (form.audience, form.resource):
        values = [given] if isinstance(given, str) else given
        named |= dict.fromkeys(value for value in values if value)
    if len(named) > MAX_AUDIENCES:
        raise _Refusal("invalid_target", f"Name at most {MAX_AUDIENCES} audiences.")
    return list(named) or None


def _scopes(text: str) -> frozenset[str] | None:
    return frozenset(text.split(" ")) - {""} or None
