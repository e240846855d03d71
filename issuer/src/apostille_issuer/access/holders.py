"""Whose rights change when a role or the catalogue does, and where."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from apostille_contracts.permissions import EVERYTHING
from apostille_issuer.access.models import (
    LINEAGE,
    MEMBERSHIPS,
    USERS,
    MembershipRole,
    Role,
    RoleGrant,
    UserRole,
)

__all__ = [
    "Holders",
    "Places",
    "holders_below",
    "holders_of_permissions",
    "holders_of_role",
    "holders_since",
    "just_him",
]

Places = Select[uuid.UUID, uuid.UUID]
"""A statement that finds pairs of a user and an organization in which something is true of him."""


class Holders(Struct, frozen=True):
    """Who holds something: everywhere, or in organizations by membership."""

    everywhere: Select[uuid.UUID] | None
    """Users; ``None`` for nobody."""
    places: Places

    @property
    def users(self) -> Select[uuid.UUID]:
        """The statement that finds all of them, wherever they hold it."""
        members = USERS.c.id.in_(select(self.places.subquery().c.user_id))
        if self.everywhere is None:
            return select(USERS.c.id).where(members)
        return select(USERS.c.id).where(or_(USERS.c.id.in_(self.everywhere), members))


def just_him(user_id: uuid.UUID) -> Select[uuid.UUID]:
    """Return the statement that finds this user."""
    return select(USERS.c.id).where(USERS.c.id == user_id)


def holders_of_role(role_id: uuid.UUID, *, inherited: bool) -> Holders:
    """Return who holds a role.

    Args:
        role_id: Which.
        inherited: Whether in all below an organization, too, in which they have it.
    """
    here = () if inherited else (LINEAGE.c.distance == 0,)
    return Holders(
        select(UserRole.user_id).where(UserRole.role_id == role_id),
        _places(MembershipRole.role_id == role_id, *here),
    )


def holders_below(role_id: uuid.UUID) -> Holders:
    """Return who holds a role in organizations only because he has it further up, if inherited."""
    return Holders(None, _places(MembershipRole.role_id == role_id, LINEAGE.c.distance > 0))


def holders_since(
    given_at: datetime, role_ids: Sequence[uuid.UUID], changed: Sequence[uuid.UUID]
) -> Holders:
    """Return who holds one of the *changed* roles, or was given one of *role_ids* at that moment.

    For an act that changes many: the policy lock keeps others from that moment.
    """
    everywhere = select(UserRole.user_id).where(
        or_(
            UserRole.role_id.in_(changed),
            and_(UserRole.role_id.in_(role_ids), UserRole.created_at == given_at),
        )
    )
    given = and_(MembershipRole.role_id.in_(role_ids), MembershipRole.created_at == given_at)
    places = _places(
        or_(MembershipRole.role_id.in_(changed), given),
        or_(LINEAGE.c.distance == 0, Role.inherited),
    ).join(Role, Role.id == MembershipRole.role_id)
    return Holders(everywhere, places)


def holders_of_permissions(names: Iterable[str]) -> Holders:
    """Return whose token may name one of *names*, and where.

    Those are the holders of roles that allow it by name; and those who hold it
    by a wildcard that may be broken up, because something is denied them
    (DESIGN section 4). A wildcard in one piece says the same as before. What
    somebody holds everywhere comes together with what he has in an organization.
    """
    wanted = frozenset(names)
    wildcards = frozenset(wildcard for name in wanted for wildcard in _wildcards(name))
    allowed = RoleGrant.effect == "allow"
    named = and_(allowed, RoleGrant.grant.in_(wanted))
    covered = and_(allowed, RoleGrant.grant.in_(wildcards))
    denied = RoleGrant.effect == "deny"
    by_wildcard, by_deny = _with_grant(covered), _with_grant(denied)
    everywhere = select(USERS.c.id).where(
        or_(
            USERS.c.id.in_(_with_grant(named)),
            USERS.c.id.in_(by_wildcard) & USERS.c.id.in_(by_deny),
        )
    )
    user_id, organization_id = MEMBERSHIPS.c.user_id, LINEAGE.c.organization_id
    counts = or_(LINEAGE.c.distance == 0, Role.inherited)
    places = (
        _places(counts, or_(named, covered, denied))
        .join(Role, Role.id == MembershipRole.role_id)
        .join(RoleGrant, RoleGrant.role_id == Role.id)
        .group_by(user_id, organization_id)
        .having(
            or_(
                _any(named),
                and_(
                    or_(_any(covered), user_id.in_(by_wildcard)),
                    or_(_any(denied), user_id.in_(by_deny)),
                ),
            )
        )
    )
    return Holders(everywhere, places)


def _places(*conditions: ColumnElement[bool]) -> Places:
    return (
        select(MEMBERSHIPS.c.user_id, LINEAGE.c.organization_id)
        .select_from(MembershipRole)
        .join(MEMBERSHIPS, MEMBERSHIPS.c.id == MembershipRole.membership_id)
        .join(LINEAGE, LINEAGE.c.ancestor_id == MEMBERSHIPS.c.organization_id)
        .where(*conditions)
    )


def _any(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return whether *condition* is true of one row of the group."""
    return func.max(case((condition, 1), else_=0)) == 1


def _with_grant(*conditions: ColumnElement[bool]) -> Select[uuid.UUID]:
    holders = select(UserRole.user_id).join(RoleGrant, RoleGrant.role_id == UserRole.role_id)
    return holders.where(*conditions)


def _wildcards(name: str) -> Iterator[str]:
    """Return every wildcard that covers *name*."""
    yield EVERYTHING
    segments = name.split(".")
    for length in range(1, len(segments)):
        yield ".".join((*segments[:length], "*"))
