"""What flows down the tree of organizations, and what may not leave its place in it."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.access.models import MEMBERSHIPS, MembershipRole, Role, RoleGrant
from apostille_issuer.access.rights import Rights

__all__ = ["handed_down", "inheritors", "roles_from"]


def inheritors(organizations: Collection[uuid.UUID]) -> Select[uuid.UUID]:
    """Return the statement that finds who has, in one of *organizations*, rights in all below."""
    return (
        select(MEMBERSHIPS.c.user_id)
        .join(MembershipRole, MembershipRole.membership_id == MEMBERSHIPS.c.id)
        .join(Role, Role.id == MembershipRole.role_id)
        .where(MEMBERSHIPS.c.organization_id.in_(organizations), Role.inherited)
    )


async def handed_down(session: AsyncSession, organizations: Collection[uuid.UUID]) -> Rights:
    """Return what members of *organizations* hold in all below them, taken together."""
    roles = (
        select(MembershipRole.role_id)
        .join(MEMBERSHIPS, MEMBERSHIPS.c.id == MembershipRole.membership_id)
        .join(Role, Role.id == MembershipRole.role_id)
        .where(MEMBERSHIPS.c.organization_id.in_(organizations), Role.inherited)
    )
    grants = select(RoleGrant.grant, RoleGrant.effect).where(RoleGrant.role_id.in_(roles))
    return Rights.of((grant, effect) for grant, effect in await session.execute(grants.distinct()))


async def roles_from(
    session: AsyncSession,
    organizations: Collection[uuid.UUID],
    given_in: Select[uuid.UUID],
) -> tuple[str, ...]:
    """Return the names of roles of *organizations* that members have in those *given_in*.

    A role of an organization can be given in it and below it, and nowhere else.
    """
    statement = (
        select(Role.name)
        .join(MembershipRole, MembershipRole.role_id == Role.id)
        .join(MEMBERSHIPS, MEMBERSHIPS.c.id == MembershipRole.membership_id)
        .where(Role.organization_id.in_(organizations), MEMBERSHIPS.c.organization_id.in_(given_in))
        .distinct()
        .order_by(Role.name)
    )
    return tuple(await session.scalars(statement))
