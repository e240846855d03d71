"""Who asks, from where: what services are told about a request for the audit."""

from __future__ import annotations

import uuid
from typing import Any

from litestar import Request
from msgspec import Struct

__all__ = ["COMMAND_LINE", "RequestContext", "provide_context"]

MAX_USER_AGENT = 256


class RequestContext(Struct, frozen=True, kw_only=True):
    """Where an act comes from, recorded with it.

    Who acts decides what he may hand on; from where decides nothing.
    """

    address: str | None = None
    """IP address of the client, forwarded headers believed from listed proxies only."""
    user_agent: str | None = None
    """``User-Agent``, printable, cut at 256 characters."""
    request_id: str
    """Also in the log and in the header ``X-Request-Id`` of the answer."""
    actor_id: uuid.UUID | None = None
    """The user whose access token came along, if one did."""


COMMAND_LINE = RequestContext(request_id="command-line", user_agent="apostille-issuer")
"""The context of acts done by ``apostille-issuer`` itself."""


def provide_context(request: Request[Any, Any, Any]) -> RequestContext:
    """Return the context of *request*; handlers ask for it as ``context``."""
    state = request.scope["state"]
    return RequestContext(
        address=state["address"],
        user_agent=_printable(request.headers.get("user-agent")),
        request_id=state["request_id"],
        actor_id=_actor(request),
    )


def _printable(text: str | None) -> str | None:
    if text is None:
        return None
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_USER_AGENT])


def _actor(request: Request[Any, Any, Any]) -> uuid.UUID | None:
    """Return who the guard has verified; subjects of this issuer are UUIDs."""
    principal = request.scope.get("user")
    return uuid.UUID(principal.subject) if principal is not None else None
