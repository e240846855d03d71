"""Tokens in cookies, for browsers: no script can read them, no other site can use them.

``__Host-`` keeps them to this host and to https, ``HttpOnly`` from scripts,
``SameSite=Strict`` from requests that other sites start. What could change
something must prove on top of that that a page of this very origin asks
(:class:`apostille.http.TokenCookie`).

See: RFC 6265 section 4.1.2; draft-ietf-httpbis-rfc6265bis section 4.1.3;
OWASP ASVS 5.0 V3.3 and V3.5.1.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response
from litestar.datastructures import Cookie

from apostille.errors import MissingToken
from apostille.http import ProtectionSpace, TokenCookie, asgi_headers, bearer_token
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.http.problems import REALM, problem_response
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.schemas import CookieTokenSet, TokenSet

__all__ = [
    "ACCESS_COOKIE",
    "REFRESH_COOKIE",
    "access_token_of",
    "came_by_cookie",
    "check_fits",
    "forget",
    "prove_origin",
    "refresh_token_of",
    "renewal_answer",
    "tokens_answer",
]

ACCESS_COOKIE: Final = TokenCookie()
"""Where the guard looks for an access token that no header carries."""

REFRESH_COOKIE: Final = TokenCookie(f"{ACCESS_COOKIE.name}-refresh")

MAX_COOKIE_BYTES: Final = 4_096
"""Name and value; browsers drop what is longer without a word (rfc6265bis section 5.6)."""


def prove_origin(request: Request[Any, Any, Any]) -> None:
    """Return if a page of this very origin asks: nobody logs a browser in from elsewhere.

    Raises:
        CsrfFailed: That is not certain.
    """
    ACCESS_COOKIE.check_origin(asgi_headers(request.scope["headers"]))


def access_token_of(request: Request[Any, Any, Any]) -> str:
    """Return the access token of a request, as the guard finds it.

    Raises:
        MissingToken, InvalidRequest, CsrfFailed: There is none to be used.
    """
    space = ProtectionSpace(REALM, ACCESS_COOKIE)
    return space.token(asgi_headers(request.scope["headers"]), request.method)


def refresh_token_of(request: Request[Any, Any, Any]) -> str | None:
    """Return the refresh token in the cookie; ``None`` without one.

    Raises:
        CsrfFailed: The request does not prove where it comes from.
        InvalidRequest: There are two such cookies.
    """
    try:
        return REFRESH_COOKIE.token(asgi_headers(request.scope["headers"]), request.method)
    except MissingToken:
        return None


def came_by_cookie(request: Request[Any, Any, Any]) -> bool:
    """Say whether the access token, if there is one, comes from a cookie: the header wins.

    A header of another scheme is a proxy's business.

    Raises:
        InvalidRequest: The header is malformed.
    """
    try:
        bearer_token(asgi_headers(request.scope["headers"])("authorization"))
    except MissingToken:
        return True
    return False


def check_fits(tokens: TokenSet) -> None:
    """Return if browsers will keep the access token.

    Raises:
        IssuerProblem: ``token_oversized``.
    """
    if len(ACCESS_COOKIE.name) + len(tokens.access_token) > MAX_COOKIE_BYTES:
        raise IssuerProblem(
            ProblemCode.TOKEN_OVERSIZED,
            errors=(FieldError("transport", f"a cookie holds {MAX_COOKIE_BYTES:,} bytes"),),
        )


def tokens_answer(tokens: TokenSet) -> Response[Any]:
    """Return the answer that leaves *tokens* with the browser, and not with its scripts."""
    return Response(
        CookieTokenSet(expires_in=tokens.expires_in, refresh_expires_in=tokens.refresh_expires_in),
        cookies=[
            _cookie(ACCESS_COOKIE, tokens.access_token, tokens.expires_in),
            _refresh_cookie(tokens),
        ],
    )


def renewal_answer(tokens: TokenSet) -> Response[Any]:
    """Return the same for a refresh, which has used up the token before.

    If the access token has grown too long for a cookie, the answer says so; the
    refresh token is handed on nevertheless, for the next try.
    """
    try:
        check_fits(tokens)
    except IssuerProblem as problem:
        refused = problem_response(problem.document())
        refused.set_cookie(_refresh_cookie(tokens))
        return refused
    return tokens_answer(tokens)


def forget() -> list[Cookie]:
    """Return what makes a browser forget both tokens; their attributes must be the same."""
    return [_cookie(ACCESS_COOKIE, "", 0), _cookie(REFRESH_COOKIE, "", 0)]


def _refresh_cookie(tokens: TokenSet) -> Cookie:
    return _cookie(REFRESH_COOKIE, tokens.refresh_token, tokens.refresh_expires_in)


def _cookie(kind: TokenCookie, value: str, max_age: int) -> Cookie:
    return Cookie(
        kind.name,
        path="/",
        value=value,
        max_age=max_age,
        secure=True,
        httponly=True,
        samesite="strict",
    )
