"""What the audit trail shows of itself."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from apostille_contracts.events import EventTag

__all__ = ["AuditEventView", "AuditFilter", "Outcome"]

Outcome = Literal["success", "refused"]
"""``refused``: somebody asked and was told no."""


class AuditEventView(Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    id: uuid.UUID
    at: datetime
    tag: str
    """What: ``source:subject:action``."""
    outcome: str
    actor_id: uuid.UUID | None
    """Who; ``null`` where nobody was logged in, or on the command line."""
    target: str | None
    """On what: ``user:<id>``, ``role:<name>``, ``permission:<name>``, ``service:<name>``."""
    address: str | None
    """From where: IP address."""
    user_agent: str | None
    request_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditFilter(Struct, frozen=True, kw_only=True):
    """Which events to show; what is ``None`` does not narrow."""

    tag: EventTag | None = None
    outcome: Outcome | None = None
    actor_id: uuid.UUID | None = None
    target: str | None = None
    since: datetime | None = None
    """Inclusive."""
    until: datetime | None = None
    """Exclusive."""
