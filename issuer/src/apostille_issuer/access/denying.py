"""Who may deny something to whom: what is denied below an organization tells further up, too."""

from __future__ import annotations

import uuid
from typing import Final

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.permissions import EVERYTHING
from apostille_issuer.access.authority import rights_in
from apostille_issuer.access.models import (
    LINEAGE,
    MEMBERSHIPS,
    USERS,
    MembershipRole,
    Role,
    RoleGrant,
    UserRole,
)
from apostille_issuer.access.policy import require_held, rights_of
from apostille_issuer.access.superusers import require_no_superuser
from apostille_issuer.http.context import RequestContext

__all__ = ["OVER_ISSUER", "denied_in", "require_may_deny"]

OVER_ISSUER: Final = or_(RoleGrant.grant == EVERYTHING, RoleGrant.grant.startswith("iam."))
"""True of grants of rights over the issuer."""


def denied_in(organizations: Select[uuid.UUID]) -> Select[uuid.UUID]:
    """Return the statement that finds to whom a role denies rights over the issuer there."""
    return (
        select(USERS.c.id)
        .distinct()
        .join(MEMBERSHIPS, MEMBERSHIPS.c.user_id == USERS.c.id)
        .join(MembershipRole, MembershipRole.membership_id == MEMBERSHIPS.c.id)
        .join(RoleGrant, RoleGrant.role_id == MembershipRole.role_id)
        .where(
            MEMBERSHIPS.c.organization_id.in_(organizations),
            RoleGrant.effect == "deny",
            OVER_ISSUER,
        )
    )


async def require_may_deny(
    session: AsyncSession,
    context: RequestContext,
    users: Select[uuid.UUID],
    organization_id: uuid.UUID,
    *,
    field: str,
) -> None:
    """Let nobody deny something in an organization to who has more rights there or above than he.

    Whoever is denied something in an organization cannot hand it on further up
    either, for all below (:func:`.holdings_in`): so who administers a
    subsidiary alone could put those out of office who administer the root. In
    every organization from that one to the root the actor must hold each
    right under ``iam`` that some role allows one of *users* in it, or
    everywhere, whatever state their memberships are in. Everybody may deny
    himself something; a superuser is denied nothing.

    Args:
        session: A transaction that reaches as far as :func:`.authority.reach_of` says.
        context: Who acts: for the platform, with what he holds everywhere.
        users: Who would be denied something; a statement over ``USERS``.
        organization_id: Where.
        field: What would deny it, to be named to whom it is refused.

    Raises:
        IssuerProblem: ``protected``, naming *field*; ``grant_exceeds_own``,
            naming what is missing in the first organization, from there
            upwards, in which something is.
    """
    await require_no_superuser(session, users, field)
    others = users.where(USERS.c.id != context.actor_id)
    for place, held in await _held_upwards(session, others, organization_id):
        if not held:
            continue
        if context.organization_id is None:
            own = await rights_of(session, context.actor_id)
        else:
            own = await rights_in(session, context.actor_id, place)
        require_held(own, held)


async def _held_upwards(
    session: AsyncSession, users: Select[uuid.UUID], organization_id: uuid.UUID
) -> list[tuple[uuid.UUID, frozenset[str]]]:
    """Return what *users* may do to the issuer in each organization from this one to the root."""
    place = LINEAGE.alias("place")
    allowed = (RoleGrant.effect == "allow", OVER_ISSUER)
    by_membership = (
        select(place.c.ancestor_id, RoleGrant.grant)
        .distinct()
        .join(LINEAGE, LINEAGE.c.organization_id == place.c.ancestor_id)
        .join(MEMBERSHIPS, MEMBERSHIPS.c.organization_id == LINEAGE.c.ancestor_id)
        .join(MembershipRole, MembershipRole.membership_id == MEMBERSHIPS.c.id)
        .join(
            Role,
            (Role.id == MembershipRole.role_id) & or_(LINEAGE.c.distance == 0, Role.inherited),
        )
        .join(RoleGrant, RoleGrant.role_id == Role.id)
        .where(
            place.c.organization_id == organization_id, MEMBERSHIPS.c.user_id.in_(users), *allowed
        )
    )
    everywhere = (
        select(RoleGrant.grant)
        .distinct()
        .join(UserRole, UserRole.role_id == RoleGrant.role_id)
        .where(UserRole.user_id.in_(users), *allowed)
    )
    upwards = (
        select(place.c.ancestor_id)
        .where(place.c.organization_id == organization_id)
        .order_by(place.c.distance)
    )
    held = frozenset(await session.scalars(everywhere))
    within = (await session.execute(by_membership)).all()
    return [
        (place_id, held.union(row.grant for row in within if row.ancestor_id == place_id))
        for place_id in await session.scalars(upwards)
    ]
