"""Letters about notifications, to people whose login name is an address."""

from __future__ import annotations

import uuid
from html import escape
from typing import Final

from sqlalchemy import String, Uuid, column, select, table
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.db.engine import Database
from apostille_issuer.notifications.addresses import is_address
from apostille_issuer.notifications.mail import Letter
from apostille_issuer.notifications.models import Notification
from apostille_issuer.notifications.outbox import Delivery
from apostille_issuer.notifications.schemas import NotificationKind

__all__ = ["NOTIFICATION_LETTER", "NotificationLetters"]

NOTIFICATION_LETTER: Final = "notification"
"""Kind of these letters in the outbox."""

USERS = table("users", column("id", Uuid), column("login", String), column("state", String))
"""What this domain must know of a user, and all it may: the row is the accounts'."""

_WHAT: Final = {
    NotificationKind.REFRESH_TOKEN_REUSED: (
        "A session of yours was ended",
        (
            "A session of your account was used from two places at once, so one of them "
            "had stolen it. We have ended it."
        ),
    ),
    NotificationKind.PASSWORD_CHANGED: (
        "Your password was changed",
        "The password of your account was changed, and all other sessions were ended.",
    ),
}
"""Subject and first sentences, by kind; a kind that is not here is told in no letter."""

_ADVICE: Final = (
    "If that was not you, set a new password, look through your sessions, and tell "
    "whoever administers your account."
)


class NotificationLetters:
    """Writes what :class:`.Notifications` told somebody as a letter to him."""

    def __init__(self, database: Database) -> None:
        """Take where notifications and login names are kept."""
        self._database = database

    async def letter(self, subject_id: uuid.UUID, _generation: int) -> Letter | None:
        """Return the letter; ``None`` for who has no address, or no account any more."""
        statement = (
            select(Notification, USERS.c.login)
            .join(USERS, USERS.c.id == Notification.user_id)
            .where(Notification.id == subject_id, USERS.c.state == "active")
        )
        async with self._database.read() as session:
            found = (await session.execute(statement)).one_or_none()
        if found is None or not is_address(found.login):
            return None
        row: Notification = found.Notification
        subject, what = _WHAT[NotificationKind(row.kind)]
        # Not with what program: its name is whatever a thief wants us to write.
        address = "" if row.address is None else f" from the address {row.address}"
        where = f"It was done{address} at {row.at:%H:%M} UTC on {row.at:%Y-%m-%d}."
        return Letter(
            to=found.login,
            subject=subject,
            text=f"{what}\n\n{where}\n\n{_ADVICE}\n",
            html="".join(f"<p>{escape(part)}</p>\n" for part in (what, where, _ADVICE)),
            reference=f"notification-{row.id}",
        )

    async def settled(
        self, session: AsyncSession, subject_id: uuid.UUID, generation: int, delivery: Delivery
    ) -> None:
        """Note nothing: it can be read at ``GET /v1/me/notifications`` anyway."""
