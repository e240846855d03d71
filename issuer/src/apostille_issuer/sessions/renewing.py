"""Voiding access tokens whose session goes on: their bearer's rights, or our key, have changed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, and_, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.clock import Clock
from apostille_issuer.sessions.locking import lock_sessions
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.status.marking import StatusMarks

__all__ = ["TokenRenewer"]


class TokenRenewer:
    """Takes sessions' indexes away, so that their next refresh gives a token that is good."""

    def __init__(self, clock: Clock, marks: StatusMarks) -> None:
        """Take the clock and who sets bits."""
        self._clock = clock
        self._marks = marks

    async def rights_changed(
        self,
        session: AsyncSession,
        users: Select[uuid.UUID] | None,
        within: Select[uuid.UUID] | None = None,
        *,
        places: Select[uuid.UUID, uuid.UUID] | None = None,
    ) -> None:
        """Void the access tokens that the *users* have, and not their sessions.

        No token with the old rights is left out. A login cannot happen
        meanwhile: it waits for the policy lock, which the caller holds. A
        refresh locks its session before it reads rights. If it was first, we
        wait for it here, and then see the index that its token has; if we
        were, it finds no index and the new rights.

        Args:
            session: The transaction that changes policy.
            users: Whose rights change; ``None`` for nobody but those of *places*.
            within: The organizations in which they do; everywhere, by default.
            places: Users, each with an organization in which his rights change as well.
        """
        await self._void(session, _of(users, within, places))

    def with_tokens(self) -> tuple[ColumnElement[bool], ...]:
        """Return what is true of the sessions that may have a living access token."""
        return (
            *self._living(),
            LoginSession.status_index.is_not(None),
            # A session that was not refreshed for longer has no token to be voided.
            LoginSession.rotated_at > self._marks.horizon(),
        )

    async def void(self, session: AsyncSession, ids: Sequence[uuid.UUID]) -> int:
        """Void the access tokens of many sessions, and return of how many there were any.

        What a refresh has just given one of them is found: it locks its session, too.
        """
        return await self._void(session, LoginSession.id.in_(ids))

    async def _void(self, session: AsyncSession, which: ColumnElement[bool]) -> int:
        await lock_sessions(session, which, *self._living())
        used = (which, *self.with_tokens())
        await self._marks.revoke(
            session,
            select(LoginSession.status_list_id, LoginSession.status_index).where(*used),
        )
        voided = await session.scalars(
            update(LoginSession)
            .where(*used)
            .values(status_list_id=None, status_index=None)
            .returning(LoginSession.id)
            .execution_options(synchronize_session=False)
        )
        return len(voided.all())

    def _living(self) -> tuple[ColumnElement[bool], ...]:
        return LoginSession.revoked_at.is_(None), LoginSession.expires_at > self._clock()


def _of(
    users: Select[uuid.UUID] | None,
    within: Select[uuid.UUID] | None,
    places: Select[uuid.UUID, uuid.UUID] | None,
) -> ColumnElement[bool]:
    """Return what is true of the sessions concerned: one condition, so that one lock takes all."""
    found: list[ColumnElement[bool]] = []
    if users is not None:
        his = LoginSession.user_id.in_(users)
        found.append(his if within is None else and_(his, LoginSession.organization_id.in_(within)))
    if places is not None:
        found.append(tuple_(LoginSession.user_id, LoginSession.organization_id).in_(places))
    return or_(*found)
