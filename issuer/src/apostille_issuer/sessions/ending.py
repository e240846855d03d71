"""Ending sessions, in the transaction of whatever is the reason."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from msgspec import Struct
from sqlalchemy import ColumnElement, CursorResult, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.http.context import RequestContext
from apostille_issuer.notifications.schemas import NotificationKind
from apostille_issuer.notifications.service import Notifications
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.status.marking import StatusMarks

__all__ = ["EndReason", "Ending", "SessionEnder"]


class EndReason(StrEnum):
    """Why a session was ended."""

    LOGOUT = "logout"
    REFRESH_REUSED = "refresh_reused"
    USER_DISABLED = "user_disabled"
    USER_DELETED = "user_deleted"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a reason, not a secret
    BY_USER = "by_user"
    """He ended it from another one."""
    BY_ADMINISTRATOR = "by_administrator"
    REVOKED = "revoked"
    """An operator said so at the command line."""


class Ending(Struct, frozen=True):
    """Why, when and by whom."""

    reason: EndReason
    at: datetime
    context: RequestContext


class SessionEnder:
    """Ends sessions, and with them their access tokens, wherever those are verified.

    A session that has ended stays as it ended first.
    """

    def __init__(self, audit: AuditTrail, marks: StatusMarks, notifications: Notifications) -> None:
        """Take who is told.

        Args:
            audit: Hears of every session that ends.
            marks: Void access tokens.
            notifications: Tell the user whose refresh token was stolen.
        """
        self._audit = audit
        self._marks = marks
        self._notifications = notifications

    async def end(self, session: AsyncSession, session_id: uuid.UUID, ending: Ending) -> bool:
        """End one session and say whether it had not ended before."""
        if not await self._end(session, LoginSession.id == session_id, ending):
            return False
        reused = ending.reason is EndReason.REFRESH_REUSED
        tag = EventTag.REFRESH_REUSED if reused else EventTag.SESSION_ENDED
        after = {"reason": ending.reason.value}
        self._record(session, tag, f"session:{session_id}", ending, after)
        if reused:
            await self._warn(session, session_id, ending)
        return True

    async def end_all(
        self,
        session: AsyncSession,
        user_id: uuid.UUID,
        ending: Ending,
        *,
        but: uuid.UUID | None = None,
    ) -> int:
        """End all sessions of a user *but* one, and return how many those were."""
        which = LoginSession.user_id == user_id
        ended = await self._end(
            session, which if but is None else which & (LoginSession.id != but), ending
        )
        if ended:
            after = {"reason": ending.reason.value, "sessions": ended}
            self._record(session, EventTag.SESSION_ENDED, f"user:{user_id}", ending, after)
        return ended

    async def _warn(self, session: AsyncSession, session_id: uuid.UUID, ending: Ending) -> None:
        """Tell the user that a refresh token of his was used by two, and from where last."""
        owner = select(LoginSession.user_id).where(LoginSession.id == session_id)
        self._notifications.tell(
            session,
            (await session.execute(owner)).scalar_one(),
            NotificationKind.REFRESH_TOKEN_REUSED,
            context=ending.context,
            session_id=session_id,
        )

    async def end_these(
        self, session: AsyncSession, ids: Sequence[uuid.UUID], ending: Ending
    ) -> int:
        """End many sessions of whomever, and return how many had not ended before."""
        ended = await self._end(session, LoginSession.id.in_(ids), ending)
        if ended:
            after = {"reason": ending.reason.value, "sessions": ended}
            self._record(session, EventTag.SESSION_ENDED, None, ending, after)
        return ended

    def _record(
        self,
        session: AsyncSession,
        tag: EventTag,
        target: str | None,
        ending: Ending,
        after: dict[str, Any],
    ) -> None:
        self._audit.record(session, tag, context=ending.context, target=target, after=after)

    async def _end(self, session: AsyncSession, which: ColumnElement[bool], ending: Ending) -> int:
        """End the sessions *which*, void their access tokens, and return how many those were."""
        result = await session.execute(
            update(LoginSession)
            .where(which, LoginSession.revoked_at.is_(None))
            .values(revoked_at=ending.at, revoked_reason=ending.reason.value)
            .execution_options(synchronize_session=False)
        )
        ended = cast("CursorResult[Any]", result).rowcount
        if ended:
            # Locked by the update, so what a refresh has just given them is seen.
            used = select(LoginSession.status_list_id, LoginSession.status_index).where(
                which,
                LoginSession.revoked_at == ending.at,
                LoginSession.status_index.is_not(None),
                LoginSession.rotated_at > self._marks.horizon(),
            )
            await self._marks.revoke(session, used)
        return ended
