"""What goes in and out of the sessions domain."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from apostille_issuer.sessions.devices import Device

__all__ = [
    "Audience",
    "CookieTokenSet",
    "LoginRequest",
    "LogoutRequest",
    "RefreshRequest",
    "SessionView",
    "SwitchRequest",
    "TokenSet",
    "Transport",
]

AudienceName = Annotated[str, Meta(min_length=1, max_length=255, examples=["inventory"])]
Audience = AudienceName | Annotated[tuple[AudienceName, ...], Meta(min_length=1, max_length=100)]

Transport = Literal["body", "cookie"]
"""How tokens travel: in the answer's body, or in cookies that no script can read."""


class LoginRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A login by password."""

    login: Annotated[str, Meta(examples=["ada@example.com"])]
    password: Annotated[str, Meta(examples=["correct horse battery staple"])]
    organization: uuid.UUID | None = None
    """The organization that the token is to speak for; by default none, or, at a
    tenant's own host, the user's own there."""
    audience: Audience | None = None
    """The services the token is for; by default all there are."""
    transport: Transport = "body"
    """``cookie`` is for browsers, on pages of the issuer's own origin."""

    def __repr__(self) -> str:
        """Show no password in any log."""
        return "LoginRequest()"


class RefreshRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A refresh token, to be used up."""

    refresh_token: str

    def __repr__(self) -> str:
        """Show no token in any log."""
        return "RefreshRequest()"


class SwitchRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A refresh token, to be used up for one that speaks for another organization."""

    organization: uuid.UUID | None
    """``null`` to speak for none any more."""
    refresh_token: str | None = None
    """Without it, the one in the cookie."""

    def __repr__(self) -> str:
        """Show no token in any log."""
        return "SwitchRequest()"


class LogoutRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A refresh token whose session is to end."""

    refresh_token: str

    def __repr__(self) -> str:
        """Show no token in any log."""
        return "LogoutRequest()"


class TokenSet(Struct, frozen=True, kw_only=True):
    """An access token, and what the next one is to be had for (RFC 6749 section 5.1)."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme, not a secret
    expires_in: int
    """Seconds until the access token expires."""
    refresh_token: str
    """Good for one use; the answer brings the next one."""
    refresh_expires_in: int
    """Seconds until the session expires unless it is refreshed before."""

    def __repr__(self) -> str:
        """Show no token in any log."""
        return "TokenSet()"


class CookieTokenSet(Struct, frozen=True, kw_only=True):
    """What a browser is told whose tokens are in cookies."""

    expires_in: int
    """Seconds until the access token expires."""
    refresh_expires_in: int
    """Seconds until the session expires unless it is refreshed before."""


class SessionView(Struct, frozen=True, kw_only=True):
    """A session that can still be refreshed: somebody logged in somewhere."""

    id: uuid.UUID
    current: bool
    """Whether it is the one that asks."""
    organization_id: uuid.UUID | None
    """The organization that it speaks for, if any."""
    client_id: str
    device: Device
    """Where he logged in, as the program he used says."""
    user_agent: str | None
    """The same in full."""
    address: str | None
    """IP address he logged in from."""
    created_at: datetime
    last_used_at: datetime
    """When it was last refreshed; until then, when it began. Access tokens are
    verified offline, so their use is not known here."""
    expires_at: datetime
    """When it ends unless it is refreshed before."""
