"""An organization goes to another parent: where it may, and what follows it."""

from __future__ import annotations

import uuid

from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.denying import denied_in, require_may_deny
from apostille_issuer.access.holdings import holdings_in
from apostille_issuer.access.inheritance import handed_down, inheritors, roles_from
from apostille_issuer.access.policy import Change, require_held
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.lineage import above, height_of, require_active, subtree_of
from apostille_issuer.tenancy.models import Organization
from apostille_issuer.tenancy.naming import DisplayName
from apostille_issuer.tenancy.organization_records import WRITE, require_depth, require_free

__all__ = ["hand_over", "require_room"]


async def require_room(
    session: AsyncSession, organization: Organization, parent: Organization
) -> None:
    """Make sure that *organization*, with all below it, can be hung below *parent*.

    Raises:
        IssuerProblem: ``organization_cycle``, ``organization_inactive``,
            ``organization_too_deep``, ``name_taken``.
    """
    if organization.id in await _above(session, parent.id):
        raise IssuerProblem(ProblemCode.ORGANIZATION_CYCLE)
    await require_active(session, parent.id)
    require_depth(parent.depth + await height_of(session, organization.id))
    name = DisplayName(organization.name, organization.name_key)
    await require_free(session, parent.id, name)


async def hand_over(
    change: Change, context: RequestContext, organization: Organization, parent: Organization
) -> None:
    """Let *organization* pass from who has inherited rights in it to who will have them.

    Void the access tokens of both that speak for it or for one below it. Who
    brings it there hands it on: to be let go of by a role that denies is as
    much as to be allowed; and who is denied something in it must not lose by it
    what he may do further up, unless to who may do as much. Call it before it is moved.

    Raises:
        IssuerProblem: ``in_use``: members have roles in it that cannot come
            along; ``grant_exceeds_own``, naming what is missing;
            ``protected``.
    """
    session = change.session
    was_in = await _above(session, organization.id) - {organization.id}
    comes_to = await _above(session, parent.id)
    left, entered = was_in - comes_to, comes_to - was_in
    moved = subtree_of(organization.id)
    if stuck := await roles_from(session, left, moved):
        raise IssuerProblem(
            ProblemCode.IN_USE,
            errors=tuple(
                FieldError(
                    "parent_id", f"members have the role {role} of an organization it leaves"
                )
                for role in stuck
            ),
        )
    gained, lost = await handed_down(session, entered), await handed_down(session, left)
    own = await holdings_in(session, context, organization.id, WRITE)
    require_held(own.below, gained.allows | gained.denies | lost.denies)
    # What is denied in it tells from now on in what it comes to.
    await require_may_deny(session, context, denied_in(moved), parent.id, field="parent_id")
    await change.rights_changed(inheritors(left | entered), moved)


async def _above(session: AsyncSession, organization_id: uuid.UUID) -> frozenset[uuid.UUID]:
    return frozenset(await session.scalars(above(organization_id)))
