"""The outermost layer: request id, client address, security headers, access log.

It wraps the whole application, since Litestar's own middleware does not see
requests that match no route. Public documents, which every service asks for
again and again, are answered here, at a third of what a route costs; and so is
what people's programs ask all the time (:mod:`.plain`).
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address
from typing import Any

import msgspec
from litestar.enums import ScopeType
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from apostille_contracts.problems import PROBLEM_MEDIA_TYPE, FieldError, Problem, ProblemCode
from apostille_issuer.http.documents import Documents
from apostille_issuer.http.proxies import Header, TrustedProxies
from apostille_issuer.problems import IssuerProblem

__all__ = ["Edge"]

access_log = logging.getLogger("apostille_issuer.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_HOST = re.compile(r"(?:[A-Za-z0-9._-]*|\[(?P<ip>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{0,5}))?")
MAX_PORT = 65_535

SECURITY_HEADERS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""On every answer (ASVS 5.0.0 V3.4.4)."""

FALLBACK_HEADERS: tuple[Header, ...] = (
    # Answers are for the one who asked; public documents say otherwise themselves.
    (b"cache-control", b"no-store"),
    # Nothing here is a page, but for the API documentation, which brings its own policy.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""On every answer that does not say otherwise itself (ASVS 5.0.0 V14.3.2)."""

STRICT_TRANSPORT: Header = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
"""Where the issuer is reached by https (ASVS 5.0.0 V3.4.1)."""

QUIET_PREFIXES = ("/health/", "/.well-known/", "/status-lists")
"""Asked all the time by machines: in the access log at level ``debug`` only."""


class Edge:
    """ASGI middleware around the application."""

    def __init__(
        self,
        app: ASGIApp,
        proxies: TrustedProxies,
        *,
        https: bool,
        documents: Sequence[Documents],
        posts: Mapping[str, ASGIApp],
    ) -> None:
        """Wrap an application.

        Args:
            app: The application.
            proxies: Whose forwarded headers to believe.
            https: Whether clients reach it by https.
            documents: What is answered here, by exact path; the first that has it.
            posts: What answers ``POST`` in place of the application, by exact path.
        """
        self._app = app
        self._documents = documents
        self._posts = posts
        self._proxies = proxies
        self._always = (*SECURITY_HEADERS, STRICT_TRANSPORT) if https else SECURITY_HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; anything but HTTP passes as it is."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        state = scope["state"]
        state["request_id"] = request_id = self._request_id(scope)
        state["address"] = self._client(scope)
        state["host"] = self._proxies.host(_peer(scope), scope["headers"])
        started = time.perf_counter()
        status = 0
        head = scope["method"] == "HEAD"
        asked: HTTPScope = {**scope, "method": "GET"} if head else scope

        async def send_hardened(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._hardened(message["headers"], request_id)
            elif head and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        try:
            # HEAD is GET whose answer has no content (RFC 9110 section 9.3.2).
            await self._answerer(asked)(asked, receive, send_hardened)
        finally:
            self._log(scope, status, time.perf_counter() - started)

    def _answerer(self, scope: HTTPScope) -> ASGIApp:
        """Return the document that is asked for, a refusal, or the application."""
        if not _names_a_host(scope):
            return _BAD_HOST
        if scope["method"] == "POST":
            return self._posts.get(scope["path"], self._app)
        if scope["method"] != "GET":
            return self._app
        try:
            for documents in self._documents:
                document = documents.get(scope["path"])
                if document is not None:
                    return document.answer(scope)
        except IssuerProblem:  # not there yet; the application says so in due form
            pass
        return self._app

    def _request_id(self, scope: HTTPScope) -> str:
        """Return the proxy's identifier for the request if it is one we believe."""
        if self._proxies.trusts(_peer(scope)):
            for name, value in scope["headers"]:
                given = value.decode("latin-1")
                if name == b"x-request-id" and _REQUEST_ID.fullmatch(given):
                    return given
        return secrets.token_hex(8)

    def _client(self, scope: HTTPScope) -> str | None:
        return self._proxies.client(_peer(scope), scope["headers"])

    def _hardened(self, headers: Iterable[Header], request_id: str) -> list[Header]:
        given = list(headers)
        names = {name.lower() for name, _ in given}
        given += self._always
        given += [header for header in FALLBACK_HEADERS if header[0] not in names]
        given.append((b"x-request-id", request_id.encode("ascii")))
        return given

    def _log(self, scope: HTTPScope, status: int, seconds: float) -> None:
        path = scope["path"]
        level = logging.DEBUG if path.startswith(QUIET_PREFIXES) else logging.INFO
        if not access_log.isEnabledFor(level):
            return
        # The path alone: a query may hold what must not be kept.
        fields: dict[str, Any] = {
            "request_id": scope["state"]["request_id"],
            "address": scope["state"]["address"],
            "method": scope["method"],
            "path": path,
            "status": status,
            "milliseconds": round(seconds * 1000, 3),
        }
        access_log.log(level, "request", extra={"fields": fields})


def _names_a_host(scope: HTTPScope) -> bool:
    """Say whether ``Host`` is there once at most, and can be one (RFC 9112 section 3.2).

    Whether it is ours is the proxy's affair: nothing here is made from it.
    """
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if not hosts:
        return True
    found = _HOST.fullmatch(hosts[0].decode("latin-1"))
    if found is None or len(hosts) > 1 or int(found["port"] or 0) > MAX_PORT:
        return False
    if found["ip"] is None:
        return True
    try:
        IPv6Address(found["ip"])
    except ValueError:
        return False
    return True


def _refusal(code: ProblemCode, field: str, detail: str) -> ASGIResponse:
    problem = Problem.of(code, errors=(FieldError(field, detail),))
    return ASGIResponse(
        body=msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=PROBLEM_MEDIA_TYPE,
    )


_BAD_HOST = _refusal(
    ProblemCode.INVALID_REQUEST, "host", "one host name or address, with its port if it has one"
)


def _peer(scope: HTTPScope) -> str | None:
    client = scope["client"]
    return client[0] if client else None
