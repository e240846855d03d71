"""What the notifications domain shows."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from apostille_issuer.sessions.devices import Device

__all__ = ["NotificationKind", "NotificationView"]


class NotificationKind(StrEnum):
    """What a user is told; a kind keeps its meaning for ever."""

    REFRESH_TOKEN_REUSED = "refresh_token_reused"  # noqa: S105 - a kind, not a secret
    """A refresh token of his was used twice, so its session was ended: one of
    the two had stolen it."""
    PASSWORD_CHANGED = "password_changed"  # noqa: S105


class NotificationView(Struct, frozen=True, kw_only=True):
    """Something to know about one's account."""

    id: uuid.UUID
    at: datetime
    kind: str
    """`refresh_token_reused`: a session was ended, because its refresh token was
    used by two; `password_changed`. There may be more in time."""
    session_id: uuid.UUID | None
    """The session it speaks of."""
    device: Device
    """With what it was done, as the program that was used says."""
    user_agent: str | None
    """The same in full."""
    address: str | None
    """IP address it was done from."""
