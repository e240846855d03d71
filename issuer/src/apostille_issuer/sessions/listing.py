"""The sessions of a user, as people see them."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import ProblemCode
from apostille_issuer.http.paging import Page, page_of, uuid_of
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.devices import device_of
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.sessions.schemas import SessionView

__all__ = ["living_sessions", "require_session"]


async def living_sessions(  # noqa: PLR0913 - whose, when, and which page
    session: AsyncSession,
    user_id: uuid.UUID,
    now: datetime,
    *,
    current: uuid.UUID | None,
    cursor: str | None,
    limit: int,
) -> Page[SessionView]:
    """Return a page of the sessions of a user that can still be refreshed, newest first.

    Args:
        session: A transaction.
        user_id: Whose.
        now: The present.
        current: The session that asks, if it is one of them.
        cursor: Where the page starts.
        limit: Most sessions on the page.

    Raises:
        IssuerProblem: ``validation_failed`` for a cursor that is not ours.
    """
    statement = (
        select(LoginSession)
        .where(
            LoginSession.user_id == user_id,
            LoginSession.revoked_at.is_(None),
            # Never later than the absolute end.
            LoginSession.idle_expires_at > now,
        )
        .order_by(LoginSession.id.desc())
        .limit(limit + 1)
    )
    if (last := uuid_of(cursor)) is not None:
        statement = statement.where(LoginSession.id < last)
    rows = (await session.scalars(statement)).all()
    return page_of(rows, limit, view=lambda row: _view(row, current), key=lambda row: row.id)


async def require_session(session: AsyncSession, user_id: uuid.UUID, session_id: uuid.UUID) -> None:
    """Make sure that a user has, or had, such a session.

    Raises:
        IssuerProblem: ``not_found``, also for somebody else's.
    """
    row = await session.get(LoginSession, session_id)
    if row is None or row.user_id != user_id:
        raise IssuerProblem(ProblemCode.NOT_FOUND)


def _view(row: LoginSession, current: uuid.UUID | None) -> SessionView:
    return SessionView(
        id=row.id,
        current=row.id == current,
        organization_id=row.organization_id,
        client_id=row.client_id,
        device=device_of(row.user_agent),
        user_agent=row.user_agent,
        address=row.address,
        created_at=row.created_at,
        last_used_at=row.rotated_at,
        expires_at=row.idle_expires_at,
    )
