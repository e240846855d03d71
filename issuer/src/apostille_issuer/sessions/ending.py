"""Ending sessions, in the transaction of whatever is the reason."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_issuer.audit.service import AuditTrail, Trail
from apostille_issuer.http.context import RequestContext
from apostille_issuer.notifications.schemas import NotificationKind
from apostille_issuer.notifications.service import Notifications
from apostille_issuer.sessions.locking import lock_sessions
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.status.marking import StatusMarks
from apostille_issuer.status.schemas import StatusIndex

__all__ = ["EndReason", "Ending", "SessionEnder", "Theft"]


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
    MEMBERSHIP_ENDED = "membership_ended"
    """He is no member of the organization that it spoke for any more, or a suspended one."""
    ORGANIZATION_INACTIVE = "organization_inactive"
    """So is that organization, one above it, or its tenant."""
    KEY_REVOKED = "key_revoked"
    """An API key, whose session it was."""
    REVOKED = "revoked"
    """An operator said so at the command line."""


class Ending(Struct, frozen=True):
    """Why, when and by whom."""

    reason: EndReason
    at: datetime
    context: RequestContext


class Theft(Struct, frozen=True):
    """A refresh token that was used before, and came again too late for a lost race."""

    session_id: uuid.UUID
    user_id: uuid.UUID
    tenant_id: uuid.UUID | None
    """Of the organization that the session spoke for, if it spoke for one."""
    context: RequestContext
    """Who presented it last, from where."""


class _Ended(Struct, frozen=True):
    """What an ending did, by the tenants that the sessions spoke for."""

    sessions: Counter[uuid.UUID | None]
    keys: Counter[uuid.UUID | None]
    """API keys whose access tokens it voided; their sessions stay."""

    @property
    def total(self) -> int:
        return self.sessions.total() + self.keys.total()

    @property
    def tenants(self) -> list[uuid.UUID | None]:
        """Those concerned; ``None`` for sessions that spoke for none."""
        return sorted({*self.sessions, *self.keys}, key=str)

    def details(self, ending: Ending, tenant_id: uuid.UUID | None) -> dict[str, Any]:
        """Return what the audit trail of a tenant says of many of them."""
        said = {"reason": ending.reason.value, "sessions": self.sessions[tenant_id]}
        keys = self.keys[tenant_id]
        return said | ({"api_keys": keys} if keys else {})


class SessionEnder:
    """Ends sessions, and with them their access tokens, wherever those are verified.

    What is recorded is in the trail of the tenant that the session spoke for,
    whatever the actor's token speaks for, and in no tenant's where it spoke for
    none. A session that has ended stays as it ended first. That of an API key ends
    with its key alone; whatever else is the reason, its access tokens are
    void, and the key gets others as soon as it may again.
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
        ended = await self._end(session, LoginSession.id == session_id, ending, one=True)
        if not ended.total:
            return False
        after: dict[str, Any] = {"reason": ending.reason.value}
        if keys := ended.keys.total():
            after["api_keys"] = keys
        self._audit.record(
            session,
            EventTag.SESSION_ENDED,
            context=ending.context,
            target=f"session:{session_id}",
            after=after,
            tenant_id=ended.tenants[0] or Trail.PLATFORM,
        )
        return True

    async def end_stolen(
        self, session: AsyncSession, thefts: Sequence[Theft], at: datetime
    ) -> None:
        """End sessions whose refresh tokens were used by two, and warn their users.

        Together: one after the other would lock their status lists in no order.

        Args:
            session: The transaction; it has locked the sessions, none of which has ended.
            thefts: One of each session.
            at: Now.
        """
        if not thefts:
            return
        ending = Ending(EndReason.REFRESH_REUSED, at, thefts[0].context)
        which = LoginSession.id.in_([theft.session_id for theft in thefts])
        await self._end(session, which, ending, one=len(thefts) == 1)
        for theft in thefts:
            self._audit.record(
                session,
                EventTag.REFRESH_REUSED,
                context=theft.context,
                target=f"session:{theft.session_id}",
                after={"reason": ending.reason.value},
                tenant_id=theft.tenant_id or Trail.PLATFORM,
            )
            self._notifications.tell(
                session,
                theft.user_id,
                NotificationKind.REFRESH_TOKEN_REUSED,
                context=theft.context,
                session_id=theft.session_id,
            )

    async def void(self, session: AsyncSession, used: StatusIndex) -> None:
        """Void the access tokens that stand there, and not their session; call it last."""
        place = select(
            literal(used.list_id, Integer).label("list_id"), literal(used.idx, Integer).label("idx")
        )
        await self._marks.revoke(session, place)

    async def end_all(
        self,
        session: AsyncSession,
        user_id: uuid.UUID,
        ending: Ending,
        *,
        but: uuid.UUID | None = None,
    ) -> int:
        """End all sessions of a user *but* one, and return how many those were.

        Each tenant learns of those that spoke for it, and of no others.
        """
        which = LoginSession.user_id == user_id
        ended = await self._end(
            session, which if but is None else which & (LoginSession.id != but), ending
        )
        return self._recorded(session, ended, ending, f"user:{user_id}")

    async def end_in(
        self,
        session: AsyncSession,
        organizations: Select[uuid.UUID],
        ending: Ending,
        *,
        user_id: uuid.UUID | None = None,
        target: str,
    ) -> int:
        """End the sessions that speak for *organizations*, and return how many those were.

        Args:
            session: The transaction; it reaches over their tenants.
            organizations: For which ones.
            ending: Why.
            user_id: Those of this user alone; everybody's by default.
            target: On what the reason was, for the audit.
        """
        which = LoginSession.organization_id.in_(organizations)
        ended = await self._end(
            session, which if user_id is None else which & (LoginSession.user_id == user_id), ending
        )
        return self._recorded(session, ended, ending, target)

    async def end_these(
        self, session: AsyncSession, ids: Sequence[uuid.UUID], ending: Ending
    ) -> int:
        """End many sessions of whomever, and return how many had not ended before."""
        ended = await self._end(session, LoginSession.id.in_(ids), ending)
        return self._recorded(session, ended, ending, None)

    def _recorded(
        self, session: AsyncSession, ended: _Ended, ending: Ending, target: str | None
    ) -> int:
        """Tell each tenant concerned how many sessions ended, and return how many did in all."""
        for tenant_id in ended.tenants:
            self._audit.record(
                session,
                EventTag.SESSION_ENDED,
                context=ending.context,
                target=target,
                after=ended.details(ending, tenant_id),
                tenant_id=tenant_id or Trail.PLATFORM,
            )
        return ended.total

    async def _end(
        self,
        session: AsyncSession,
        which: ColumnElement[bool],
        ending: Ending,
        *,
        one: bool = False,
    ) -> _Ended:
        """End the sessions *which*, and void their access tokens."""
        living: tuple[ColumnElement[bool], ...] = (which, LoginSession.revoked_at.is_(None))
        if not one:
            # Those that expired long ago are left alone. Lately is not long ago: a clock
            # may be set back, and must find them ended.
            living = (*living, LoginSession.idle_expires_at > self._marks.horizon())
            await lock_sessions(session, *living)
        by_key = ending.reason is EndReason.KEY_REVOKED
        ended = Counter(
            await session.scalars(
                update(LoginSession)
                .where(*living, true() if by_key else LoginSession.kind == "login")
                .values(revoked_at=ending.at, revoked_reason=ending.reason.value)
                .returning(LoginSession.tenant_id)
                .execution_options(synchronize_session=False)
            )
        )
        if one and not ended:  # it may be an API key's
            await lock_sessions(session, *living)
        of_key = and_(LoginSession.kind == "client", LoginSession.revoked_at.is_(None))
        # All of them locked, so what a refresh has just given them is seen.
        used = (which, LoginSession.status_index.is_not(None))
        await self._marks.revoke(
            session,
            select(LoginSession.status_list_id, LoginSession.status_index).where(
                *used,
                or_(LoginSession.revoked_at == ending.at, of_key),
                LoginSession.rotated_at > self._marks.horizon(),
            ),
        )
        if by_key or (one and ended):
            return _Ended(ended, Counter())
        spared = await session.scalars(
            update(LoginSession)
            .where(*used, of_key)
            .values(status_list_id=None, status_index=None)
            .returning(LoginSession.tenant_id)
            .execution_options(synchronize_session=False)
        )
        return _Ended(ended, Counter(spared))
