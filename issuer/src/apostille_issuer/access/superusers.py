"""There is always somebody who may do everything."""

from __future__ import annotations

import uuid

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.catalogue import SystemRole
from apostille_issuer.access.models import (
    MEMBERSHIPS,
    USERS,
    MembershipRole,
    Role,
    RoleGrant,
    UserRole,
)
from apostille_issuer.problems import IssuerProblem

__all__ = [
    "active_superusers",
    "require_another_superuser",
    "require_no_denied",
    "require_no_superuser",
]

_HOLDERS = (
    select(UserRole.user_id)
    .join(Role, Role.id == UserRole.role_id)
    .where(Role.name == SystemRole.SUPERUSER.value, Role.tenant_id.is_(None))
)
_DENIED = (
    select(UserRole.user_id)
    .join(RoleGrant, RoleGrant.role_id == UserRole.role_id)
    .where(RoleGrant.effect == "deny")
)
_DENIED_SOMEWHERE = (
    select(MEMBERSHIPS.c.user_id)
    .join(MembershipRole, MembershipRole.membership_id == MEMBERSHIPS.c.id)
    .join(RoleGrant, RoleGrant.role_id == MembershipRole.role_id)
    .where(RoleGrant.effect == "deny")
)
_ACTIVE = _HOLDERS.join(USERS, USERS.c.id == UserRole.user_id).where(
    USERS.c.state == "active",
    USERS.c.password_hash.is_not(None),
    USERS.c.id.not_in(_DENIED),
)


async def active_superusers(session: AsyncSession, most: int = 2) -> frozenset[uuid.UUID]:
    """Return who is a superuser, can log in, and is denied nothing; at most so many of them."""
    return frozenset(await session.scalars(_ACTIVE.limit(most)))


async def require_no_superuser(session: AsyncSession, users: Select[uuid.UUID], field: str) -> None:
    """Make sure that none of *users*, active or not, is a superuser who would be denied something.

    Raises:
        IssuerProblem: ``protected``, naming *field*: what would deny it.
    """
    if await session.scalar(_HOLDERS.where(UserRole.user_id.in_(users)).limit(1)) is not None:
        raise _undeniable(field)


async def require_no_denied(session: AsyncSession, users: Select[uuid.UUID], field: str) -> None:
    """Make sure that none of *users* is denied anything: they are to be superusers.

    Nor in an organization, as far as the transaction reaches.

    Raises:
        IssuerProblem: ``protected``, naming *field*: what would make them so.
    """
    everywhere = _DENIED.where(UserRole.user_id.in_(users))
    somewhere = _DENIED_SOMEWHERE.where(MEMBERSHIPS.c.user_id.in_(users))
    for denied in (everywhere, somewhere):
        if await session.scalar(denied.limit(1)) is not None:
            raise _undeniable(field)


def _undeniable(field: str) -> IssuerProblem:
    error = FieldError(field, "a superuser holds no role that denies anything")
    return IssuerProblem(ProblemCode.PROTECTED, errors=(error,))


async def require_another_superuser(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Make sure that one active superuser stays if this user stops being one.

    Safe against a second removal at the same moment only under the policy
    lock (:func:`.policy.lock_policy`), which the caller holds.

    Raises:
        IssuerProblem: ``last_superuser``.
    """
    if await active_superusers(session) == {user_id}:
        raise IssuerProblem(ProblemCode.LAST_SUPERUSER)
