"""Where somebody may act, and as what: for the platform, or within one tenant.

Whose token speaks for no organization acts for the platform, with the roles
that he has everywhere. Whose token speaks for one acts within its tenant: in
each organization with the rights that he has there now, whatever his token
says, and of what he has no rights in he does not learn that it exists.
"""

from __future__ import annotations

import uuid

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.models import LINEAGE, MEMBERSHIPS, ORGANIZATIONS, USERS, RoleGrant
from apostille_issuer.access.policy import rights_of
from apostille_issuer.access.rights import Rights
from apostille_issuer.access.standings import roles_in_organizations
from apostille_issuer.db.reach import EVERY_TENANT, Reach
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem

__all__ = ["authorize", "authorize_tenant", "reach_of", "rights_in"]


def reach_of(context: RequestContext) -> Reach:
    """Return how far a transaction of whoever asks has to reach, and no further."""
    return EVERY_TENANT if context.tenant_id is None else context.tenant_id


async def authorize(
    session: AsyncSession, context: RequestContext, organization_id: uuid.UUID, permission: str
) -> Rights:
    """Return what the actor holds in an organization if that includes *permission*.

    The organization may be deactivated, not deleted. The rights are those in
    the database now; :meth:`.Change.require` and :func:`.policy.require_held`
    compare what is handed on with them.

    Args:
        session: A transaction that reaches as far as :func:`reach_of` says.
        context: Who asks.
        organization_id: Where he wants to act.
        permission: By what right.

    Raises:
        IssuerProblem: ``not_found``: there is no such organization, or he has
            no rights in it at all; ``permission_denied``, naming *permission*.
    """
    found = select(ORGANIZATIONS.c.tenant_id).where(
        ORGANIZATIONS.c.id == organization_id, ORGANIZATIONS.c.state != "deleted"
    )
    tenant_id = await session.scalar(found)
    if tenant_id is None or context.tenant_id not in (None, tenant_id):
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return await _authorize(session, context, organization_id, permission)


async def authorize_tenant(
    session: AsyncSession, context: RequestContext, tenant_id: uuid.UUID, permission: str
) -> Rights:
    """Return the same for all of a tenant: what the actor holds in its root.

    Raises:
        IssuerProblem: ``not_found``, ``permission_denied``.
    """
    if context.tenant_id not in (None, tenant_id):
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    root = select(ORGANIZATIONS.c.id).where(
        ORGANIZATIONS.c.tenant_id == tenant_id, ORGANIZATIONS.c.parent_id.is_(None)
    )
    organization_id = await session.scalar(root)
    if organization_id is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return await _authorize(session, context, organization_id, permission)


async def _authorize(
    session: AsyncSession, context: RequestContext, organization_id: uuid.UUID, permission: str
) -> Rights:
    if context.organization_id is None:
        rights = await rights_of(session, context.actor_id)
    else:
        rights = await rights_in(session, context.actor_id, organization_id)
        if not rights.allows:
            raise IssuerProblem(ProblemCode.NOT_FOUND)
    if not rights.cover(permission):
        raise IssuerProblem(ProblemCode.PERMISSION_DENIED, missing=(permission,))
    return rights


async def rights_in(
    session: AsyncSession, user_id: uuid.UUID | None, organization_id: uuid.UUID
) -> Rights:
    """Return what a user holds now in an organization.

    By memberships in it and, where roles are inherited, in those above it; and
    by the roles that he has everywhere. Nothing for nobody, an unknown one, or
    one who is disabled; nothing where he is no member. Memberships in what is
    not active count for nothing: a deactivated organization is in the hands of
    who has rights in it from further up.
    """
    roles = roles_in_organizations(even_inactive=True).where(
        MEMBERSHIPS.c.user_id == user_id,
        LINEAGE.c.organization_id == organization_id,
        exists().where(USERS.c.id == user_id, USERS.c.state == "active"),
    )
    rows = (await session.execute(roles)).all()
    if not rows:
        return Rights()
    held = {row.role_id for row in rows} - {None}
    grants = select(RoleGrant.grant, RoleGrant.effect).where(RoleGrant.role_id.in_(held))
    within = Rights.of((grant, effect) for grant, effect in await session.execute(grants))
    everywhere = await rights_of(session, user_id)
    return Rights(within.allows | everywhere.allows, within.denies | everywhere.denies)
