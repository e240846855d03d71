"""Service accounts among the members of an organization; they take no seat."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import ProblemCode
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.models import Membership, Organization

__all__ = ["enroll_service_account"]


async def enroll_service_account(
    session: AsyncSession, organization_id: uuid.UUID, user_id: uuid.UUID, now: datetime
) -> uuid.UUID:
    """Make a service account a member of its organization, and return the tenant.

    It holds no role; whether the actor may do that is not checked.

    Args:
        session: A transaction of :meth:`.AccessService.change`.
        organization_id: Of which organization; it may be deactivated.
        user_id: The account.
        now: The present.

    Raises:
        IssuerProblem: ``not_found``; there is no such organization.
    """
    tenant_id = await session.scalar(
        select(Organization.tenant_id).where(
            Organization.id == organization_id, Organization.state != "deleted"
        )
    )
    if tenant_id is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    session.add(
        Membership(
            tenant_id=tenant_id,
            organization_id=organization_id,
            user_id=user_id,
            state="active",
            scopes=[],
            created_at=now,
            updated_at=now,
        )
    )
    await session.flush()
    return tenant_id
