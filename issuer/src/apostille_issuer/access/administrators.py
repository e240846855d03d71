"""There is always somebody who administers a tenant, if there was one."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.permissions import EVERYTHING
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.denying import OVER_ISSUER
from apostille_issuer.access.models import (
    MEMBERSHIPS,
    ORGANIZATIONS,
    USERS,
    MembershipRole,
    Role,
    RoleGrant,
)
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem

__all__ = ["keeping_administrator"]


@asynccontextmanager
async def keeping_administrator(
    session: AsyncSession, context: RequestContext, organization_id: uuid.UUID
) -> AsyncIterator[None]:
    """Let what the block does leave the tenant somebody who administers it, if it has one.

    That is somebody active with an active membership in the root, by which
    he is allowed ``iam.*``, in all below it, too, and denied nothing of
    it. The platform's administrators may do without.

    Raises:
        IssuerProblem: ``last_administrator``; roll back.
    """
    minded = context.organization_id is not None and await _has_administrator(
        session, organization_id
    )
    yield
    await session.flush()
    if minded and not await _has_administrator(session, organization_id):
        raise IssuerProblem(ProblemCode.LAST_ADMINISTRATOR)


async def _has_administrator(session: AsyncSession, organization_id: uuid.UUID) -> bool:
    """Say whether an organization is a root that somebody administers."""
    denied = (
        select(MembershipRole.membership_id)
        .join(RoleGrant, RoleGrant.role_id == MembershipRole.role_id)
        .where(RoleGrant.effect == "deny", OVER_ISSUER)
    )
    administrators = (
        select(MEMBERSHIPS.c.id)
        .join(ORGANIZATIONS, ORGANIZATIONS.c.id == MEMBERSHIPS.c.organization_id)
        .join(USERS, USERS.c.id == MEMBERSHIPS.c.user_id)
        .join(MembershipRole, MembershipRole.membership_id == MEMBERSHIPS.c.id)
        .join(Role, Role.id == MembershipRole.role_id)
        .join(RoleGrant, RoleGrant.role_id == Role.id)
        .where(
            ORGANIZATIONS.c.id == organization_id,
            ORGANIZATIONS.c.parent_id.is_(None),
            MEMBERSHIPS.c.state == "active",
            MEMBERSHIPS.c.id.not_in(denied),
            USERS.c.state == "active",
            USERS.c.kind == "person",
            Role.inherited,
            RoleGrant.effect == "allow",
            RoleGrant.grant.in_((EVERYTHING, "iam.*")),
        )
        .limit(1)
    )
    return await session.scalar(administrators) is not None
