"""Who holds which role."""

from __future__ import annotations

import uuid

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import SystemRole
from apostille_issuer.access.holders import just_him
from apostille_issuer.access.models import USERS, Role, UserRole
from apostille_issuer.access.naming import reference
from apostille_issuer.access.policy import Policy
from apostille_issuer.access.roles import find_role, grants_of
from apostille_issuer.access.schemas import Assignment
from apostille_issuer.access.superusers import (
    require_another_superuser,
    require_no_denied,
    require_no_superuser,
)
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, key_of, page_of
from apostille_issuer.problems import IssuerProblem

__all__ = ["Assignments", "require_user"]


class Assignments:
    """Gives roles to users and takes them away; doing either twice changes nothing.

    Nobody changes what those may do who have more rights over the issuer than
    he: by a role that denies he could put them out of office, and by taking
    one away as well.
    """

    def __init__(self, policy: Policy) -> None:
        """Take what every change of policy needs."""
        self._policy = policy

    async def page(self, user_id: uuid.UUID, *, cursor: str | None, limit: int) -> Page[Assignment]:
        """Return a page of the roles of a user in order of their names.

        Raises:
            IssuerProblem: ``not_found``; there is no such user.
        """
        statement = (
            select(UserRole, Role.name)
            .join(Role, Role.id == UserRole.role_id)
            .where(UserRole.user_id == user_id, Role.name > key_of(cursor))
            .order_by(Role.name)
            .limit(limit + 1)
        )
        async with self._policy.database.read() as session:
            await require_user(session, user_id)
            rows = (await session.execute(statement)).all()
        return page_of(
            rows, limit, view=lambda row: _view(row.UserRole, row.name), key=lambda row: row.name
        )

    async def assign(self, user_id: uuid.UUID, role: str, context: RequestContext) -> None:
        """Give a user a role.

        Raises:
            IssuerProblem: ``not_found`` for the user or the role;
                ``grant_exceeds_own`` if the role allows or denies what the
                actor does not hold, or the user has more rights over the issuer;
                ``protected`` if a superuser would be denied something.
        """
        wanted, target = reference(role), f"user:{user_id}"
        async with self._policy.change(context, EventTag.ROLE_ASSIGNED, target) as change:
            session = change.session
            await require_user(session, user_id, keep=True)
            row = await find_role(session, wanted)
            if await session.get(UserRole, (user_id, row.id)) is not None:
                return
            granted = (await grants_of(session, [row.id]))[row.id]
            await change.require_may_manage(just_him(user_id))
            await change.require(granted.allows | granted.denies)
            if granted.denies:
                await require_no_superuser(session, just_him(user_id), "role")
            if row.name == SystemRole.SUPERUSER:
                await require_no_denied(session, just_him(user_id), "role")
            session.add(
                UserRole(
                    user_id=user_id,
                    role_id=row.id,
                    created_at=self._policy.clock(),
                    granted_by=change.actor_id,
                )
            )
            await change.rights_changed(just_him(user_id))
            change.record(
                EventTag.ROLE_ASSIGNED, target, after={"role": row.name}, affects_policy=False
            )

    async def unassign(self, user_id: uuid.UUID, role: str, context: RequestContext) -> None:
        """Take a role away from a user.

        What the role denied him is denied no longer, so the actor must hold that.

        Raises:
            IssuerProblem: ``not_found`` for the user or the role;
                ``grant_exceeds_own``; ``last_superuser``.
        """
        wanted, target = reference(role), f"user:{user_id}"
        async with self._policy.change(context, EventTag.ROLE_UNASSIGNED, target) as change:
            session = change.session
            await require_user(session, user_id, keep=True)
            row = await find_role(session, wanted)
            if await session.get(UserRole, (user_id, row.id)) is None:
                return
            await change.require_may_manage(just_him(user_id))
            await change.require((await grants_of(session, [row.id]))[row.id].denies)
            if row.name == SystemRole.SUPERUSER:
                await require_another_superuser(session, user_id)
            await session.execute(
                delete(UserRole).where(UserRole.user_id == user_id, UserRole.role_id == row.id)
            )
            await change.rights_changed(just_him(user_id))
            change.record(
                EventTag.ROLE_UNASSIGNED, target, before={"role": row.name}, affects_policy=False
            )


async def require_user(session: AsyncSession, user_id: uuid.UUID, *, keep: bool = False) -> None:
    """Make sure that there is such a user.

    Args:
        session: A transaction; with *keep* one that may write.
        user_id: Who.
        keep: Make sure that there will be until the transaction ends, too.

    Raises:
        IssuerProblem: ``not_found``.
    """
    statement = select(USERS.c.id).where(USERS.c.id == user_id)
    if keep:  # FOR KEY SHARE: he may be changed meanwhile, not deleted
        statement = statement.with_for_update(read=True, key_share=True)
    if await session.scalar(statement) is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)


def _view(assignment: UserRole, role: str) -> Assignment:
    return Assignment(
        role=role,
        role_id=assignment.role_id,
        granted_at=assignment.created_at,
        granted_by=assignment.granted_by,
    )
