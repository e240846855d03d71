"""Seats: how many people a tenant may have, counted without races.

A person takes one seat in a tenant, in however many of its organizations he
is. So does an invitation that can still be accepted, unless it is to the
address of somebody who is in the tenant already. Service accounts take none,
nor do memberships that are suspended, nor what is left of an organization that
was deleted.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from apostille_contracts.problems import ProblemCode
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.models import USERS, Invitation, Membership, Organization, Tenant

__all__ = ["lock_seats", "require_seat", "require_seat_now", "used_seats"]


async def lock_seats(session: AsyncSession, tenant_id: uuid.UUID) -> int | None:
    """Return how many seats a tenant has, and let nobody else take one until the transaction ends.

    On SQLite a transaction that writes is alone anyway.

    Returns:
        The number; ``None`` for any number.

    Raises:
        IssuerProblem: ``not_found``; there is no such tenant.
    """
    # FOR NO KEY UPDATE: rows that refer to the tenant may be inserted meanwhile.
    statement = select(Tenant.seats).where(Tenant.id == tenant_id)
    found = (await session.execute(statement.with_for_update(key_share=True))).one_or_none()
    if found is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    seats: int | None = found.seats
    return seats


async def used_seats(session: AsyncSession, tenant_id: uuid.UUID, now: datetime) -> int:
    """Return how many seats of a tenant are taken, by members and by invitations."""
    members = _members(tenant_id).distinct().subquery()
    invited = (
        select(Invitation.email_key)
        .where(*_open(tenant_id, now), Invitation.email_key.not_in(select(members.c.login_key)))
        .distinct()
        .subquery()
    )
    taken = [
        select(func.count()).select_from(source).scalar_subquery() for source in (members, invited)
    ]
    return await session.scalar(select(taken[0] + taken[1])) or 0


async def require_seat(
    session: AsyncSession,
    tenant_id: uuid.UUID,
    now: datetime,
    *,
    user_id: uuid.UUID | None = None,
    email_key: str | None = None,
) -> None:
    """Make sure that a person has a seat in a tenant, or that there is a free one for him.

    It locks the seats first, so what it found holds until the transaction
    ends. Call it before the membership, or the invitation, is there.

    Args:
        session: A transaction that writes; under the policy lock, if it takes that.
        tenant_id: Of which tenant.
        now: The present: an invitation that has expired takes no seat.
        user_id: Who, if he has an account.
        email_key: To what address, if he is invited or was: what makes two
            login names the same. With *user_id*, the seat of either will do.

    Raises:
        IssuerProblem: ``seats_exhausted``; ``not_found`` for the tenant.
    """
    seats = await lock_seats(session, tenant_id)
    if seats is None or await _is_seated(session, tenant_id, now, user_id, email_key):
        return
    if await used_seats(session, tenant_id, now) >= seats:
        raise IssuerProblem(ProblemCode.SEATS_EXHAUSTED)


async def require_seat_now(session: AsyncSession, tenant_id: uuid.UUID, user_id: uuid.UUID) -> None:
    """Make sure that somebody who accepts an invitation has a seat, or that members left one.

    His invitation kept it for him, unless the tenant has fewer seats since
    then: first come, first served, whoever else is invited.

    Args:
        session: A transaction that writes; under the policy lock.
        tenant_id: Of which tenant.
        user_id: Who accepts.

    Raises:
        IssuerProblem: ``seats_exhausted``; ``not_found`` for the tenant.
    """
    seats = await lock_seats(session, tenant_id)
    his = _members(tenant_id).where(USERS.c.id == user_id).limit(1)
    if seats is None or await session.scalar(his) is not None:
        return
    members = _members(tenant_id).distinct().subquery()
    if (await session.scalar(select(func.count()).select_from(members)) or 0) >= seats:
        raise IssuerProblem(ProblemCode.SEATS_EXHAUSTED)


async def _is_seated(
    session: AsyncSession,
    tenant_id: uuid.UUID,
    now: datetime,
    user_id: uuid.UUID | None,
    email_key: str | None,
) -> bool:
    """Say whether that person has a seat already, or needs none."""
    his_key = select(USERS.c.login_key).where(USERS.c.id == user_id)
    checks = (
        select(USERS.c.id).where(USERS.c.id == user_id, USERS.c.kind != "person"),
        _members(tenant_id).where(or_(USERS.c.id == user_id, USERS.c.login_key == email_key)),
        select(Invitation.id).where(
            *_open(tenant_id, now),
            or_(Invitation.email_key == email_key, Invitation.email_key.in_(his_key)),
        ),
    )
    found = await session.scalar(select(or_(*(check.exists() for check in checks))))
    return bool(found)


def _members(tenant_id: uuid.UUID) -> Select[uuid.UUID, str]:
    """Return the statement that finds the people with an active membership in a tenant."""
    return (
        select(USERS.c.id, USERS.c.login_key)
        .join(Membership, Membership.user_id == USERS.c.id)
        .where(
            Membership.tenant_id == tenant_id,
            Membership.state == "active",
            _is_left(Membership.organization_id),
            USERS.c.kind == "person",
        )
    )


def _open(tenant_id: uuid.UUID, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return what is true of an invitation that can be accepted."""
    return (
        Invitation.tenant_id == tenant_id,
        Invitation.state == "pending",
        Invitation.expires_at > now,
        _is_left(Invitation.organization_id),
    )


def _is_left(organization_id: InstrumentedAttribute[uuid.UUID]) -> ColumnElement[bool]:
    """Return whether the organization of a statement's row was not deleted."""
    return exists().where(Organization.id == organization_id, Organization.state != "deleted")
