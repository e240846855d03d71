"""In which organizations of his tenant somebody holds a permission, told in a few places."""

from __future__ import annotations

import uuid

from msgspec import Struct
from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.permissions import EVERYTHING
from apostille_issuer.access.models import LINEAGE, MEMBERSHIPS, USERS, Role, RoleGrant
from apostille_issuer.access.policy import rights_of
from apostille_issuer.access.standings import roles_in_organizations
from apostille_issuer.http.context import RequestContext

__all__ = ["Territory", "territory_of"]


class Territory(Struct, frozen=True):
    """Where somebody holds a permission: in these places, but for those.

    Memberships make it, so it is told in as many places as he has memberships,
    however many organizations are below them.
    """

    subtrees: frozenset[uuid.UUID] = frozenset()
    """In these organizations and all below them."""
    organizations: frozenset[uuid.UUID] = frozenset()
    """In these alone."""
    but_subtrees: frozenset[uuid.UUID] = frozenset()
    """In none of these and what is below them: something denies it there."""
    but_organizations: frozenset[uuid.UUID] = frozenset()


async def territory_of(
    session: AsyncSession, context: RequestContext, permission: str
) -> Territory:
    """Return where the actor, who speaks for an organization, holds *permission* now.

    The same organizations that :func:`.authorize` lets him act in, deleted
    ones included.

    Args:
        session: A transaction that reaches over his tenant.
        context: Who asks.
        permission: What he is to hold.
    """
    everywhere = await rights_of(session, context.actor_id)
    if any(grant in everywhere.denies for grant in _covering(permission)):
        return Territory()
    memberships = (
        roles_in_organizations(even_inactive=True)
        .add_columns(Role.inherited)
        .where(
            MEMBERSHIPS.c.user_id == context.actor_id,
            MEMBERSHIPS.c.tenant_id == context.tenant_id,
            exists().where(USERS.c.id == context.actor_id, USERS.c.state == "active"),
            # Each membership where it is; what it means below follows from the role.
            LINEAGE.c.distance == 0,
        )
    )
    rows = (await session.execute(memberships)).all()
    allowing, denying = await _roles_about(session, permission, {row.role_id for row in rows})
    held_anyway = everywhere.cover(permission)
    allowed = [row for row in rows if held_anyway or row.role_id in allowing]
    denied = [row for row in rows if row.role_id in denying]
    return Territory(
        frozenset(row.organization_id for row in allowed if row.inherited),
        frozenset(row.organization_id for row in allowed if not row.inherited),
        frozenset(row.organization_id for row in denied if row.inherited),
        frozenset(row.organization_id for row in denied if not row.inherited),
    )


async def _roles_about(
    session: AsyncSession, permission: str, role_ids: set[uuid.UUID | None]
) -> tuple[set[uuid.UUID], set[uuid.UUID]]:
    """Return which of the roles allow *permission*, and which deny it."""
    statement = select(RoleGrant.role_id, RoleGrant.effect).where(
        RoleGrant.role_id.in_(role_ids - {None}), RoleGrant.grant.in_(_covering(permission))
    )
    found = (await session.execute(statement)).all()
    return (
        {role_id for role_id, effect in found if effect == "allow"},
        {role_id for role_id, effect in found if effect == "deny"},
    )


def _covering(permission: str) -> tuple[str, ...]:
    """Return every grant that covers *permission*."""
    segments = permission.split(".")
    wildcards = (".".join((*segments[:length], "*")) for length in range(1, len(segments)))
    return (permission, EVERYTHING, *wildcards)
