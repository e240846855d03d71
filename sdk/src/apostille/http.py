"""From a request's headers to a token, and from an error to the answer.

Every judgement a framework adapter would otherwise make is made here, so that
Django, FastAPI, Flask, Litestar and the issuer answer with the same bytes:
which credentials count, which status an error has, what ``WWW-Authenticate``
says. Pure functions: no I/O and no framework.

See: RFC 6750 (bearer tokens), RFC 9110 section 11 (authentication),
RFC 9457 (problem documents), RFC 6265 (cookies).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec

from apostille_contracts.problems import PROBLEM_MEDIA_TYPE, SPECS, Problem

from .errors import (
    ConfigurationError,
    CsrfFailed,
    InvalidClaim,
    InvalidCredentials,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    PermissionDenied,
    Unavailable,
)

__all__ = [
    "REFUSALS",
    "WEBSOCKET",
    "Answer",
    "HeaderValues",
    "ProtectionSpace",
    "Refusal",
    "TokenCookie",
    "answer",
    "asgi_headers",
    "bearer_token",
    "problem_answer",
    "websocket_close",
    "wsgi_headers",
]

Refusal: TypeAlias = InvalidToken | InvalidCredentials | PermissionDenied | Unavailable
"""The errors a client is told about. Others are defects of the program."""

REFUSALS: Final[tuple[type[Refusal], ...]] = (
    InvalidToken,
    InvalidCredentials,
    PermissionDenied,
    Unavailable,
)
"""The classes of :data:`Refusal`, to register handlers for."""

HeaderValues: TypeAlias = Callable[[str], Sequence[str]]
"""All values of a header by its lower-case name, in order; empty if absent."""

WEBSOCKET: Final = "WEBSOCKET"
"""Stands for the method of a WebSocket handshake, which is a GET that is not safe."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 section 9.2.1

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # "token" of RFC 9110 section 5.6.2
_SCHEME = _COOKIE_NAME = re.compile(_NAME)
_NEXT_CREDENTIALS = re.compile(rf",[ \t]*(?:$|{_NAME}(?: |$))")
_NOT_IN_REALM = re.compile(r"[^\x20-\x21\x23-\x5B\x5D-\x7E]")  # RFC 6750 section 3

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response, for any framework to send as it stands."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Without ``Content-Length``, which servers add."""
    body: bytes


def bearer_token(authorization: Sequence[str]) -> str:
    """Return the one bearer token in *authorization*.

    Does not look into the token: anything without whitespace and commas is
    the verifier's business.

    Args:
        authorization: All values of the request's ``Authorization`` headers.
            Servers that join repeated headers with a comma are understood.

    Raises:
        MissingToken: No such header, or one with another scheme.
        InvalidRequest: More than one, or one that is malformed.

    See: RFC 6750 sections 2.1 and 3.1; RFC 9110 section 11.4.
    """
    if not authorization:
        raise MissingToken
    if len(authorization) > 1:
        raise InvalidRequest
    scheme, _, credentials = authorization[0].strip(" \t").partition(" ")
    credentials = credentials.lstrip(" ")
    if scheme.lower() == "bearer":
        if credentials.split(maxsplit=1) != [credentials] or "," in credentials:
            raise InvalidRequest
        return credentials
    # WSGI servers join two headers into one; two are refused everywhere alike.
    if _SCHEME.fullmatch(scheme) is None or _NEXT_CREDENTIALS.search(credentials):
        raise InvalidRequest
    raise MissingToken


@dataclass(frozen=True, slots=True)
class TokenCookie:
    """A cookie that may carry the access token, for browsers.

    A browser adds cookies to requests that other sites start, so a request
    that could change something must prove where it comes from:
    ``Sec-Fetch-Site: same-origin`` (or ``none``), or an ``Origin`` that is this
    host's or trusted. WebSocket handshakes must prove it as well. Reading
    requests need no proof. An ``Authorization`` header wins over the cookie.

    See: RFC 6265 section 5.4; Fetch Metadata (W3C) section 2; OWASP ASVS V3.5.1.
    """

    name: str = "__Host-apostille"
    """The prefix ``__Host-`` makes browsers insist on ``Secure`` and on this host alone."""
    trusted_origins: tuple[str, ...] = ()
    """Further origins whose pages may write, such as ``https://app.example.com``."""

    def __post_init__(self) -> None:
        if _COOKIE_NAME.fullmatch(self.name) is None:
            raise ConfigurationError(f"{self.name!r} is no cookie name (RFC 6265 section 4.1.1)")
        if isinstance(self.trusted_origins, str):
            raise ConfigurationError("trusted_origins is a sequence of origins, not a text")
        for origin in self.trusted_origins:
            parts = urlsplit(origin)
            if not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}".lower():
                raise ConfigurationError(
                    f"{origin!r} is no origin: lower-case scheme://host[:port], no path"
                )
        object.__setattr__(self, "trusted_origins", tuple(self.trusted_origins))

    def token(self, headers: HeaderValues, method: str) -> str:
        """Return the cookie's value.

        Raises:
            MissingToken: There is no such cookie, or it is empty.
            InvalidRequest: There are two: another site of the domain may
                have planted one.
            CsrfFailed: The request needs to prove its origin and does not.
        """
        values = _cookie_values(headers("cookie"), self.name)
        if not any(values):
            raise MissingToken
        if len(values) > 1:
            raise InvalidRequest
        if method.upper() not in _SAFE_METHODS:
            self.check_origin(headers)
        return values[0]

    def check_origin(self, headers: HeaderValues) -> None:
        """Return if the request proves that a page of this host, or a trusted one, makes it.

        :meth:`token` asks this where it must. Ask it yourself where a request
        that carries no token is answered with one.

        Raises:
            CsrfFailed: It does not.
        """
        if not self._origin_is_proven(headers):
            raise CsrfFailed

    def _origin_is_proven(self, headers: HeaderValues) -> bool:
        origins = headers("origin")
        if len(origins) == 1 and origins[0].lower() in self.trusted_origins:
            return True
        sites = headers("sec-fetch-site")
        if sites:
            return len(sites) == 1 and sites[0].lower() in ("same-origin", "none")
        hosts = headers("host")
        if len(origins) != 1 or len(hosts) != 1:
            return False
        # The host alone is compared: behind a proxy that ends TLS, the scheme
        # this process sees is not the browser's.
        scheme, _, host = origins[0].lower().partition("://")
        return scheme in ("http", "https") and host != "" and host == hosts[0].lower()


def _cookie_values(headers: Sequence[str], name: str) -> list[str]:
    # Frameworks disagree on which of two cookies of one name they show; hence
    # the header itself is read (RFC 6265 section 5.4: pairs joined by "; ").
    pairs = (pair.partition("=") for header in headers for pair in header.split(";"))
    return [value.strip(" \t") for key, _, value in pairs if key.strip(" \t") == name]


@dataclass(frozen=True, slots=True)
class ProtectionSpace:
    """What an adapter needs to know about the service it protects (RFC 9110 section 11.5)."""

    realm: str
    """Shown to clients in ``WWW-Authenticate``; most often the audience."""
    cookie: TokenCookie | None = None
    """Whether a cookie may carry the token; by default only the header does."""

    def token(self, headers: HeaderValues, method: str) -> str:
        """Return the access token a request carries; the query string is never looked at.

        Args:
            headers: See :func:`asgi_headers` and :func:`wsgi_headers`.
            method: The request's method, or :data:`WEBSOCKET`.

        Raises:
            MissingToken: There is none.
            InvalidRequest: It is not clear which, or the header is malformed.
            CsrfFailed: A cookie carries it and the origin is not proven.
        """
        try:
            return bearer_token(headers("authorization"))
        except MissingToken:
            if self.cookie is None:
                raise
        return self.cookie.token(headers, method)

    def answer(self, error: Refusal) -> Answer:
        """Return the response that says *error*; see :func:`answer`."""
        return answer(error, realm=self.realm)


def answer(error: Refusal, *, realm: str) -> Answer:
    """Return the response that says *error*.

    Args:
        error: What the verifier, a requirement or :func:`bearer_token` raised.
        realm: The protection space; characters a header cannot carry are left out.

    See: RFC 6750 section 3; RFC 9457 section 3.
    """
    extensions: dict[str, Any] = {}
    headers: list[tuple[str, str]] = []
    if isinstance(error, InvalidClaim):
        extensions["claim"] = error.claim
    elif isinstance(error, PermissionDenied):
        extensions["missing"] = error.missing
    elif isinstance(error, Unavailable):
        seconds = max(1, math.ceil(error.retry_after.total_seconds()))
        headers.append(("Retry-After", str(seconds)))
    challenge = _challenge(error)
    if challenge is not None:
        space = _NOT_IN_REALM.sub("", realm) or "apostille"
        headers.append(("WWW-Authenticate", f'Bearer realm="{space}"{challenge}'))
    return problem_answer(Problem.of(error.code, **extensions), *headers)


def _challenge(error: Refusal) -> str | None:
    """Return what follows the realm, or ``None`` where no other credentials would help."""
    if isinstance(error, MissingToken):
        return ""  # no error code for a client that sent nothing (RFC 6750 section 3.1)
    if isinstance(error, InvalidToken):
        name = "invalid_token"
    elif isinstance(error, InvalidRequest):
        name = "invalid_request"
    elif isinstance(error, PermissionDenied):
        name = "insufficient_scope"
    else:
        return None
    text = f', error="{name}", error_description="{SPECS[error.code].detail}"'
    if isinstance(error, PermissionDenied) and error.missing:
        text += f', scope="{" ".join(error.missing)}"'
    return text


def problem_answer(problem: Problem, *headers: tuple[str, str]) -> Answer:
    """Return *problem* as a response, with *headers* besides those every problem has."""
    fixed = (("Content-Type", PROBLEM_MEDIA_TYPE), ("Cache-Control", "no-store"))
    return Answer(problem.status, (*fixed, *headers), _encode(problem))


def websocket_close(error: Refusal) -> tuple[int, str]:
    """Return code and reason to close a WebSocket with, where no HTTP answer can be sent.

    1013 ("try again later") if the issuer could not be asked, else 1008
    ("policy violation"); the reason is the problem's code.

    See: RFC 6455 section 7.4.1 and the IANA WebSocket close code registry.
    """
    return (1013 if isinstance(error, Unavailable) else 1008), str(error.code)


def asgi_headers(raw: Iterable[tuple[bytes, bytes]]) -> HeaderValues:
    """Return access to the ``headers`` of an ASGI connection scope."""

    def values(name: str) -> list[str]:
        wanted = name.encode("latin-1")
        return [value.decode("latin-1") for key, value in raw if key == wanted]

    return values


def wsgi_headers(environ: Mapping[str, Any]) -> HeaderValues:
    """Return access to the headers in a WSGI environment, or in Django's ``request.META``."""

    def values(name: str) -> list[str]:
        value = environ.get("HTTP_" + name.upper().replace("-", "_"))
        return [] if value is None else [value]

    return values
