"""Invitations as they are kept: their states, and what stands in their way."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.models import Invitation, Organization, OrganizationLineage, Tenant
from apostille_issuer.tenancy.schemas.invitations import InvitationState, InvitationView

__all__ = [
    "INVITATION_LETTER",
    "in_state",
    "require_active_with_reason",
    "require_pace",
    "require_pending",
    "role_ids",
    "state_of",
    "view_of",
]

INVITATION_LETTER: Final = "invitation"
"""Kind of these letters in the outbox."""

LETTERS_A_DAY: Final = 5
"""Letters to one address from one tenant: nobody is to be flooded in our name."""

DAY: Final = timedelta(days=1)


def state_of(row: Invitation, now: datetime) -> InvitationState:
    """Return the state that *row* is in *now*."""
    if row.state == "pending" and row.expires_at <= now:
        return "expired"
    return row.state  # type: ignore[return-value]  # a check constraint says so


def in_state(state: InvitationState, now: datetime) -> ColumnElement[bool]:
    """Return the same as a condition."""
    pending = Invitation.state == "pending"
    if state == "pending":
        return and_(pending, Invitation.expires_at > now)
    if state == "expired":
        overdue = and_(pending, Invitation.expires_at <= now)
        return or_(overdue, Invitation.state == "expired")
    return Invitation.state == state


def require_pending(row: Invitation, now: datetime) -> None:
    """Return if *row* can still be accepted.

    Raises:
        IssuerProblem: ``invitation_ended``, ``invitation_expired``.
    """
    state = state_of(row, now)
    if state == "expired":
        raise IssuerProblem(ProblemCode.INVITATION_EXPIRED)
    if state != "pending":
        raise IssuerProblem(ProblemCode.INVITATION_ENDED)


async def require_pace(
    session: AsyncSession, tenant_id: uuid.UUID, email_key: str, now: datetime, *, most: int
) -> None:
    """Return if one more letter of a tenant may go to an address today.

    Letters of invitations that were revoked count as well, and so do the older
    ones of an invitation that was sent again today, up to :data:`LETTERS_A_DAY`.

    Args:
        session: The transaction; under the policy lock, so that nobody else counts meanwhile.
        tenant_id: Whose letter it is.
        email_key: What makes two addresses the same.
        now: The present.
        most: Letters of the tenant within 24 hours, to whomever.

    Raises:
        IssuerProblem: ``rate_limited``, with ``retry_after``.
    """
    for limit, condition in (
        (LETTERS_A_DAY, Invitation.email_key == email_key),
        (most, true()),
    ):
        letters: Select[int | None, datetime | None] = select(
            func.sum(_LETTERS), func.min(Invitation.queued_at)
        ).where(Invitation.tenant_id == tenant_id, condition, Invitation.queued_at > now - DAY)
        sent, first = (await session.execute(letters)).one()
        if sent is not None and first is not None and sent >= limit:
            seconds = math.ceil((first + DAY - now).total_seconds())
            raise IssuerProblem(ProblemCode.RATE_LIMITED, retry_after=max(seconds, 1))


_LETTERS: Final = case(
    (Invitation.generation < LETTERS_A_DAY, Invitation.generation + 1), else_=LETTERS_A_DAY
)


async def require_active_with_reason(session: AsyncSession, organization_id: uuid.UUID) -> None:
    """Make sure that tokens can speak for an organization, or say why none can.

    Under the policy lock it stays so until the transaction ends.

    Raises:
        IssuerProblem: ``organization_inactive``.
    """
    statement = (
        select(OrganizationLineage.distance, Organization.state, Tenant.state.label("tenant"))
        .join(Organization, Organization.id == OrganizationLineage.ancestor_id)
        .join(Tenant, Tenant.id == Organization.tenant_id)
        .where(
            OrganizationLineage.organization_id == organization_id,
            or_(Organization.state != "active", Tenant.state != "active"),
        )
        .order_by(OrganizationLineage.distance)
        .limit(1)
    )
    found = (await session.execute(statement)).one_or_none()
    if found is None:
        return
    if found.tenant != "active":
        reason = f"its tenant is {found.tenant}"
    elif found.distance == 0:
        reason = f"is {found.state}"
    else:
        reason = f"one above it is {found.state}"
    raise IssuerProblem(
        ProblemCode.ORGANIZATION_INACTIVE, errors=(FieldError("organization", reason),)
    )


def role_ids(row: Invitation) -> list[uuid.UUID]:
    """Return the roles that *row* promises."""
    return [uuid.UUID(text) for text in row.roles]


def view_of(row: Invitation, names: Mapping[uuid.UUID, str], now: datetime) -> InvitationView:
    """Return what clients see of *row*.

    Args:
        row: The invitation.
        names: Names of roles, by identifier; those that are not there are left out.
        now: The present, which decides whether it has expired.
    """
    return InvitationView(
        id=row.id,
        organization_id=row.organization_id,
        email=row.email,
        state=state_of(row, now),
        roles=tuple(sorted(names[ident] for ident in role_ids(row) if ident in names)),
        plan=row.plan,
        scopes=tuple(row.scopes),
        invited_by=row.invited_by,
        created_at=row.created_at,
        delivery=row.delivery,  # type: ignore[arg-type]  # a check constraint says so
        sent_at=row.sent_at,
        expires_at=row.expires_at,
        answered_at=row.answered_at,
        accepted_by=row.accepted_by,
    )
