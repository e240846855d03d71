"""What an actor may hand on in an organization, there alone or in all below it, too."""

from __future__ import annotations

import uuid

from msgspec import Struct
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.access.authority import authorize
from apostille_issuer.access.models import (
    LINEAGE,
    MEMBERSHIPS,
    MembershipRole,
    Role,
    RoleGrant,
)
from apostille_issuer.access.policy import rights_of
from apostille_issuer.access.rights import NO_RIGHTS, Rights
from apostille_issuer.access.standings import roles_in_organizations
from apostille_issuer.http.context import RequestContext

__all__ = ["Holdings", "from_here_down", "holdings_in", "just_here", "scopes_in"]


class Holdings(Struct, frozen=True):
    """What somebody may hand on in an organization."""

    here: Rights
    below: Rights
    """What he holds in every one of those below it, too."""

    def behind(self, *, inherited: bool) -> Rights:
        """Return what must cover the grants of a role that is *inherited*, or is not."""
        return self.below if inherited else self.here


async def holdings_in(
    session: AsyncSession, context: RequestContext, organization_id: uuid.UUID, permission: str
) -> Holdings:
    """Return what the actor may hand on in an organization, if he holds *permission* there.

    A role that is inherited counts in all subsidiaries, and so must what
    stands behind it. Of his own roles that are those that are inherited
    themselves, and with one of those, what he has everywhere; and what any of
    his roles denies him in one of the subsidiaries he does not hold throughout.

    Args:
        session: A transaction that reaches as far as :func:`.authority.reach_of` says.
        context: Who acts.
        organization_id: Where.
        permission: By what right.

    Raises:
        IssuerProblem: ``not_found``, ``permission_denied``: see :func:`.authorize`.
    """
    here = await authorize(session, context, organization_id, permission)
    if context.organization_id is None:
        return Holdings(here, here)
    roles = roles_in_organizations(even_inactive=True).where(
        MEMBERSHIPS.c.user_id == context.actor_id,
        LINEAGE.c.organization_id == organization_id,
        Role.inherited,
    )
    inherited = {row.role_id for row in await session.execute(roles)}
    if not inherited:  # then he does not even stand there, whatever he has everywhere
        return Holdings(here, NO_RIGHTS)
    allowed = select(RoleGrant.grant).where(
        RoleGrant.role_id.in_(inherited), RoleGrant.effect == "allow"
    )
    denied = (
        select(RoleGrant.grant)
        .join(MembershipRole, MembershipRole.role_id == RoleGrant.role_id)
        .join(MEMBERSHIPS, MEMBERSHIPS.c.id == MembershipRole.membership_id)
        .where(
            MEMBERSHIPS.c.user_id == context.actor_id,
            MEMBERSHIPS.c.organization_id.in_(from_here_down(organization_id)),
            RoleGrant.effect == "deny",
        )
    )
    everywhere = await rights_of(session, context.actor_id)
    allows = everywhere.allows.union(await session.scalars(allowed))
    return Holdings(here, Rights(allows, here.denies.union(await session.scalars(denied))))


def just_here(organization_id: uuid.UUID) -> Select[uuid.UUID]:
    """Return the statement that finds this organization."""
    return from_here_down(organization_id).where(LINEAGE.c.distance == 0)


def from_here_down(organization_id: uuid.UUID) -> Select[uuid.UUID]:
    """Return the statement that finds this organization and all below it."""
    return select(LINEAGE.c.organization_id).where(LINEAGE.c.ancestor_id == organization_id)


async def scopes_in(
    session: AsyncSession, user_id: uuid.UUID | None, organization_id: uuid.UUID
) -> frozenset[str]:
    """Return the extra scopes that a user has now in an organization by membership."""
    memberships = roles_in_organizations().where(
        MEMBERSHIPS.c.user_id == user_id, LINEAGE.c.organization_id == organization_id
    )
    rows = await session.execute(memberships)
    return frozenset(scope for row in rows for scope in row.scopes)
