"""Standing in for a service account: who has a key of it can do all that it may.

So who makes a key hands on what the account holds, and must hold it himself;
who only manages the account must have no less rights over the issuer.
"""

from __future__ import annotations

import uuid

from msgspec import Struct
from sqlalchemy import and_, literal, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.permissions import EVERYTHING
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.authority import authorize
from apostille_issuer.access.holdings import Holdings, holdings_in
from apostille_issuer.access.models import MEMBERSHIPS, MembershipRole, Role, RoleGrant, UserRole
from apostille_issuer.access.policy import require_held, rights_of
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem

__all__ = ["AccountPlace", "authorize_at", "require_may_manage_at", "require_may_stand_in"]


class AccountPlace(Struct, frozen=True):
    """A service account, and the organization that it is of: ``None`` for the platform."""

    account_id: uuid.UUID
    organization_id: uuid.UUID | None


async def authorize_at(
    session: AsyncSession,
    context: RequestContext,
    organization_id: uuid.UUID | None,
    permission: str,
) -> None:
    """Return if the actor holds *permission* in an organization, or for the platform.

    Raises:
        IssuerProblem: ``not_found`` for what is not his to know;
            ``permission_denied``, naming *permission*.
    """
    if organization_id is not None:
        await authorize(session, context, organization_id, permission)
        return
    if context.organization_id is not None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    if not (await rights_of(session, context.actor_id)).cover(permission):
        raise IssuerProblem(ProblemCode.PERMISSION_DENIED, missing=(permission,))


async def require_may_manage_at(
    session: AsyncSession, context: RequestContext, place: AccountPlace, permission: str
) -> None:
    """Return if the actor may change a service account.

    He must hold *permission* there, and every right under ``iam`` that some
    role allows the account. Every account may act on itself.

    Raises:
        IssuerProblem: ``not_found``; ``permission_denied``; ``grant_exceeds_own``,
            naming what is missing.
    """
    await _require(session, context, place, permission, over_issuer=True)


async def require_may_stand_in(
    session: AsyncSession, context: RequestContext, place: AccountPlace, permission: str
) -> None:
    """Return if the actor may have a key of a service account.

    He must hold *permission* there, and all that some role allows the account.
    Every account may have keys of its own.

    Raises:
        IssuerProblem: The same.
    """
    await _require(session, context, place, permission, over_issuer=False)


async def _require(
    session: AsyncSession,
    context: RequestContext,
    place: AccountPlace,
    permission: str,
    *,
    over_issuer: bool,
) -> None:
    await authorize_at(session, context, place.organization_id, permission)
    if place.account_id == context.actor_id:
        return
    if place.organization_id is None:
        rights = await rights_of(session, context.actor_id)
        own = Holdings(rights, rights)
    else:
        own = await holdings_in(session, context, place.organization_id, permission)
    grants = await _grants(session, place)
    for inherited in (False, True):
        held = {grant for grant, reaches_down in grants if reaches_down is inherited}
        if over_issuer:
            held = {grant for grant in held if grant == EVERYTHING or grant.startswith("iam.")}
        require_held(own.behind(inherited=inherited), held)


async def _grants(session: AsyncSession, place: AccountPlace) -> set[tuple[str, bool]]:
    """Return what roles allow an account, in whatever state; and whether further down, too.

    So does what it has everywhere, and in organizations other than its own:
    there it can act as well.
    """
    here = and_(MEMBERSHIPS.c.organization_id == place.organization_id, ~Role.inherited)
    by_membership = (
        select(MembershipRole.role_id, (~here).label("down"))
        .join(MEMBERSHIPS, MEMBERSHIPS.c.id == MembershipRole.membership_id)
        .join(Role, Role.id == MembershipRole.role_id)
        .where(MEMBERSHIPS.c.user_id == place.account_id)
    )
    everywhere = select(UserRole.role_id, literal(value=True).label("down")).where(
        UserRole.user_id == place.account_id
    )
    roles = union(by_membership, everywhere).subquery("roles")
    statement = (
        select(RoleGrant.grant, roles.c.down)
        .join(roles, roles.c.role_id == RoleGrant.role_id)
        .where(RoleGrant.effect == "allow")
    )
    return {(grant, bool(down)) for grant, down in await session.execute(statement)}
