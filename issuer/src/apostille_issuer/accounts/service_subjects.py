"""Subjects that are no people: the rows among the users that service accounts have.

They hold roles and memberships like everybody. They have no password, and a
login name that nobody can type: it has spaces in it (:func:`.parse_login`).
The methods join the transaction of the clients domain, which audits.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.models import SERVICE, User
from apostille_issuer.accounts.schemas import UserState
from apostille_issuer.problems import IssuerProblem

__all__ = ["add_subject", "remove_subject", "set_subject_state"]


async def add_subject(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> None:
    """Add the user that a service account is; it holds no role yet."""
    login = f"service account {user_id}"
    session.add(
        User(
            id=user_id,
            login=login,
            login_key=login,
            state="active",
            kind=SERVICE,
            created_at=now,
            updated_at=now,
        )
    )
    await session.flush()


async def set_subject_state(
    session: AsyncSession, user_id: uuid.UUID, state: UserState, now: datetime
) -> None:
    """Disable or enable it.

    Raises:
        IssuerProblem: ``not_found``; there is none.
    """
    user = await _locked(session, user_id)
    user.state, user.updated_at = state, now
    await session.flush()


async def remove_subject(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Delete it, and with it whatever refers to it.

    Raises:
        IssuerProblem: ``not_found``; there is none.
    """
    await session.delete(await _locked(session, user_id))
    await session.flush()


async def _locked(session: AsyncSession, user_id: uuid.UUID) -> User:
    statement = select(User).where(User.id == user_id, User.kind == SERVICE)
    user = await session.scalar(statement.with_for_update())
    if user is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return user
