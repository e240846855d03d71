"""Whose rights change when a role or the catalogue does."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator

from sqlalchemy import ColumnElement, Select, or_, select

from apostille_contracts.permissions import EVERYTHING
from apostille_issuer.access.models import USERS, RoleGrant, UserRole

__all__ = ["holders_of_permissions", "holders_of_role", "just_him"]


def just_him(user_id: uuid.UUID) -> Select[uuid.UUID]:
    """Return the statement that finds this user."""
    return select(USERS.c.id).where(USERS.c.id == user_id)


def holders_of_role(role_id: uuid.UUID) -> Select[uuid.UUID]:
    """Return the statement that finds who holds a role."""
    return select(UserRole.user_id).where(UserRole.role_id == role_id)


def holders_of_permissions(names: Iterable[str]) -> Select[uuid.UUID]:
    """Return the statement that finds whose token may name one of *names*.

    Those are the holders of roles that allow it by name; and those who hold it
    by a wildcard that may be broken up, because something is denied them
    (DESIGN section 4). A wildcard in one piece says the same as before.
    """
    wanted = frozenset(names)
    wildcards = {wildcard for name in wanted for wildcard in _wildcards(name)}
    allowed = RoleGrant.effect == "allow"
    by_name = _with_grant(allowed, RoleGrant.grant.in_(wanted))
    by_wildcard = _with_grant(allowed, RoleGrant.grant.in_(wildcards))
    denied = _with_grant(RoleGrant.effect == "deny")
    return select(USERS.c.id).where(
        or_(USERS.c.id.in_(by_name), USERS.c.id.in_(by_wildcard) & USERS.c.id.in_(denied))
    )


def _with_grant(*conditions: ColumnElement[bool]) -> Select[uuid.UUID]:
    holders = select(UserRole.user_id).join(RoleGrant, RoleGrant.role_id == UserRole.role_id)
    return holders.where(*conditions)


def _wildcards(name: str) -> Iterator[str]:
    """Return every wildcard that covers *name*."""
    yield EVERYTHING
    segments = name.split(".")
    for length in range(1, len(segments)):
        yield ".".join((*segments[:length], "*"))
