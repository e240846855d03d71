"""What users are to know about their accounts, kept until they read it."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, page_of, uuid_of
from apostille_issuer.notifications.letters import NOTIFICATION_LETTER, NotificationLetters
from apostille_issuer.notifications.models import Notification
from apostille_issuer.notifications.outbox import Outbox
from apostille_issuer.notifications.schemas import NotificationKind, NotificationView
from apostille_issuer.sessions.devices import device_of

__all__ = ["Notifications"]


class Notifications:
    """Writes to users, and shows them what was written."""

    def __init__(self, database: Database, clock: Clock, outbox: Outbox) -> None:
        """Take where notifications are kept, who dates them, and who sends them as letters."""
        self._database = database
        self._clock = clock
        self._outbox = outbox
        outbox.register(NOTIFICATION_LETTER, NotificationLetters(database))

    def tell(
        self,
        session: AsyncSession,
        user_id: uuid.UUID,
        kind: NotificationKind,
        *,
        context: RequestContext,
        session_id: uuid.UUID | None = None,
    ) -> None:
        """Tell a user, in the transaction of what he is told; by letter, too, if he has an address.

        Args:
            session: That transaction.
            user_id: Whom.
            kind: What.
            context: From where it was done.
            session_id: The session it speaks of.
        """
        notification_id = new_id()
        session.add(
            Notification(
                id=notification_id,
                user_id=user_id,
                at=self._clock(),
                kind=kind.value,
                session_id=session_id,
                address=context.address,
                user_agent=context.user_agent,
            )
        )
        self._outbox.queue(session, NOTIFICATION_LETTER, notification_id)

    async def page(
        self, user_id: uuid.UUID, *, cursor: str | None, limit: int
    ) -> Page[NotificationView]:
        """Return a page of what a user was told, newest first.

        Raises:
            IssuerProblem: ``validation_failed`` for a cursor that is not ours.
        """
        statement = (
            select(Notification)
            .where(Notification.user_id == user_id)
            .order_by(Notification.id.desc())
            .limit(limit + 1)
        )
        if (last := uuid_of(cursor)) is not None:
            statement = statement.where(Notification.id < last)
        async with self._database.read() as session:
            rows = (await session.scalars(statement)).all()
        return page_of(rows, limit, view=_view, key=lambda row: row.id)


def _view(row: Notification) -> NotificationView:
    return NotificationView(
        id=row.id,
        at=row.at,
        kind=row.kind,
        session_id=row.session_id,
        device=device_of(row.user_agent),
        user_agent=row.user_agent,
        address=row.address,
    )
