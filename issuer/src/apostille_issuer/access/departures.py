"""What goes with users and organizations when they are deleted, and is told of in the trail."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import Select, and_, delete, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_issuer.access.models import MEMBERSHIPS, MembershipRole, Role
from apostille_issuer.access.policy import Change
from apostille_issuer.access.role_records import audited, grants_of, view_of
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.http.context import RequestContext

__all__ = ["record_departures", "remove_roles"]


async def record_departures(
    session: AsyncSession, audit: AuditTrail, users: Sequence[uuid.UUID], context: RequestContext
) -> None:
    """Write into the trail of each tenant which memberships of *users* end.

    Call it before they are deleted, under the policy lock.

    Args:
        session: The transaction that deletes them.
        audit: Where it is recorded.
        users: Who is deleted.
        context: Who acts: one whose token speaks for an organization, on his
            tenant's memberships.
    """
    within = true() if context.tenant_id is None else MEMBERSHIPS.c.tenant_id == context.tenant_id
    theirs = and_(MEMBERSHIPS.c.user_id.in_(users), within)
    memberships = (await session.execute(select(MEMBERSHIPS).where(theirs))).all()
    named = (
        select(MembershipRole.membership_id, Role.name)
        .join(Role, Role.id == MembershipRole.role_id)
        .join(MEMBERSHIPS, MEMBERSHIPS.c.id == MembershipRole.membership_id)
        .where(theirs)
        .order_by(Role.name)
    )
    roles: dict[uuid.UUID, list[str]] = {row.id: [] for row in memberships}
    for membership_id, name in await session.execute(named):
        roles[membership_id].append(name)
    for row in memberships:
        audit.record(
            session,
            EventTag.MEMBERSHIP_DELETED,
            context=context,
            target=f"organization:{row.organization_id}",
            before={
                "user_id": row.user_id,
                "state": row.state,
                "roles": roles[row.id],
                "plan": row.plan,
                "scopes": row.scopes,
            },
            tenant_id=row.tenant_id,
        )


async def remove_roles(change: Change, organizations: Select[uuid.UUID]) -> None:
    """Delete the roles of *organizations*, which are deleted with all below them.

    Nobody has them elsewhere. That the tokens which name them are void is the
    caller's to see to: he ends whatever speaks for these organizations.
    """
    session = change.session
    statement = select(Role).where(Role.organization_id.in_(organizations)).order_by(Role.name)
    roles = (await session.scalars(statement)).all()
    ids = [role.id for role in roles]
    grants = await grants_of(session, ids)
    for role in roles:
        change.record(
            EventTag.ROLE_DELETED,
            f"role:{role.name}",
            before=audited(view_of(role, grants[role.id])),
            tenant_id=role.tenant_id,
        )
    if ids:
        await session.execute(delete(Role).where(Role.id.in_(ids)))
