"""Who holds a role: everywhere, and in organizations by membership."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Row, Select, Uuid, and_, func, null, or_, select, type_coerce, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.access.models import MEMBERSHIPS, USERS, MembershipRole, UserRole
from apostille_issuer.access.schemas import RoleHolder
from apostille_issuer.http.paging import Page, key_of, page_of
from apostille_issuer.problems import IssuerProblem

__all__ = ["count_of_holders", "page_of_holders"]


async def page_of_holders(
    session: AsyncSession,
    role_id: uuid.UUID,
    *,
    within: Select[uuid.UUID] | None = None,
    cursor: str | None,
    limit: int,
) -> Page[RoleHolder]:
    """Return a page of who holds a role, in order of users and then of organizations.

    Args:
        session: A transaction that reaches as far as *within* does.
        role_id: Which.
        within: Those alone who have it by membership in one of these
            organizations; by default everybody, wherever he does.
        cursor: Where the page starts.
        limit: Most items on it.

    Raises:
        IssuerProblem: ``validation_failed`` for a cursor that is not ours.
    """
    held = _holdings(role_id, within).subquery()
    statement = (
        select(held, USERS.c.login)
        .join(USERS, USERS.c.id == held.c.user_id)
        # What somebody holds everywhere comes before what he has in an organization.
        .order_by(held.c.user_id, held.c.organization_id.asc().nulls_first())
        .limit(limit + 1)
    )
    if (after := _after(cursor)) is not None:
        user_id, organization_id = after
        later = held.c.organization_id.is_not(None)
        if organization_id is not None:
            later = held.c.organization_id > organization_id
        statement = statement.where(
            or_(held.c.user_id > user_id, and_(held.c.user_id == user_id, later))
        )
    rows = (await session.execute(statement)).all()
    return page_of(rows, limit, view=_view, key=_key)


async def count_of_holders(session: AsyncSession, role_id: uuid.UUID) -> int:
    """Return how often a role is held, everywhere or in organizations."""
    held = _holdings(role_id, None).subquery()
    return await session.scalar(select(func.count()).select_from(held)) or 0


def _holdings(role_id: uuid.UUID, within: Select[uuid.UUID] | None) -> Any:
    in_organizations = (
        select(
            MEMBERSHIPS.c.user_id,
            MEMBERSHIPS.c.organization_id,
            MembershipRole.created_at,
            MembershipRole.granted_by,
        )
        .join(MembershipRole, MembershipRole.membership_id == MEMBERSHIPS.c.id)
        .where(MembershipRole.role_id == role_id)
    )
    if within is not None:
        return in_organizations.where(MEMBERSHIPS.c.organization_id.in_(within))
    everywhere = select(
        UserRole.user_id,
        type_coerce(null(), Uuid()).label("organization_id"),
        UserRole.created_at,
        UserRole.granted_by,
    ).where(UserRole.role_id == role_id)
    return union_all(everywhere, in_organizations)


def _key(row: Row[Any]) -> str:
    return f"{row.user_id}/{row.organization_id or ''}"


def _after(cursor: str | None) -> tuple[uuid.UUID, uuid.UUID | None] | None:
    """Return the user and the organization after which the page starts."""
    key = key_of(cursor)
    if not key:
        return None
    user_id, _, organization_id = key.partition("/")
    try:
        return uuid.UUID(user_id), uuid.UUID(organization_id) if organization_id else None
    except ValueError as error:
        raise IssuerProblem.invalid_field(
            "cursor", "send the next_cursor of the page before, or none"
        ) from error


def _view(row: Row[Any]) -> RoleHolder:
    return RoleHolder(
        user_id=row.user_id,
        login=row.login,
        organization_id=row.organization_id,
        granted_at=row.created_at,
        granted_by=row.granted_by,
    )
