"""Who asks, from where: what services are told about a request for the audit."""

from __future__ import annotations

import uuid
from typing import Any

from litestar import Request
from litestar.types import Scope
from msgspec import Struct

__all__ = ["COMMAND_LINE", "SCHEDULED", "RequestContext", "context_of", "provide_context"]

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
    host: str | None = None
    """Host name that the client asked for, in lower case, without port."""
    actor_id: uuid.UUID | None = None
    """The user whose access token came along, if one did."""
    tenant_id: uuid.UUID | None = None
    organization_id: uuid.UUID | None = None
    """Whom his token speaks for; without, he acts for the platform."""


COMMAND_LINE = RequestContext(request_id="command-line", user_agent="apostille-issuer")
"""The context of acts done by ``apostille-issuer`` itself."""

SCHEDULED = RequestContext(request_id="schedule", user_agent="apostille-issuer")
"""The context of what time brings, by itself."""


def provide_context(request: Request[Any, Any, Any]) -> RequestContext:
    """Return the context of *request*; handlers ask for it as ``context``."""
    return context_of(request.scope)


def context_of(scope: Scope) -> RequestContext:
    """Return the context of a request that has passed the outermost layer."""
    state = scope["state"]
    return RequestContext(
        address=state["address"],
        user_agent=_user_agent(scope),
        request_id=state["request_id"],
        host=state.get("host"),
        **_actor(scope),
    )


def _user_agent(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"user-agent":
            return _printable(value.decode("latin-1"))
    return None


def _printable(text: str) -> str:
    text = text[:MAX_USER_AGENT]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def _actor(scope: Scope) -> dict[str, uuid.UUID | None]:
    """Return who the guard has verified; identifiers of this issuer are UUIDs."""
    principal = scope.get("user")
    if principal is None:
        return {}
    if principal.organization is None:
        return {"actor_id": uuid.UUID(principal.subject)}
    return {
        "actor_id": uuid.UUID(principal.subject),
        "tenant_id": uuid.UUID(principal.tenant),
        "organization_id": uuid.UUID(principal.organization),
    }
