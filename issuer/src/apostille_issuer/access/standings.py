"""Which roles users have, everywhere and in organizations, read in one statement."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, cast

from msgspec import Struct
from sqlalchemy import (
    Integer,
    Row,
    Select,
    String,
    Table,
    Uuid,
    bindparam,
    literal_column,
    null,
    or_,
    select,
    true,
    type_coerce,
    union_all,
)

from apostille_issuer.access.models import (
    LINEAGE,
    MEMBERSHIPS,
    ORGANIZATIONS,
    TENANTS,
    MembershipRole,
    PolicyRevision,
    Role,
    UserRole,
)
from apostille_issuer.db.engine import Statements
from apostille_issuer.db.types import JsonDocument

__all__ = ["Place", "Standing", "Standings", "read_standings", "roles_in_organizations"]


class Place(Struct, frozen=True):
    """Where somebody stands: a user, and the organization that he speaks for, if any."""

    user_id: uuid.UUID
    organization_id: uuid.UUID | None = None


class Standing(Struct, frozen=True):
    """What somebody has there."""

    role_ids: tuple[uuid.UUID, ...] = ()
    """In order of their names."""
    role_names: tuple[str, ...] = ()
    tenant_id: uuid.UUID | None = None
    plan: str | None = None
    scopes: tuple[str, ...] = ()


class Standings(Struct, frozen=True):
    """Where users stand, and the policy in force at that moment."""

    revision: uuid.UUID
    at: dict[Place, Standing]
    """Who does not belong to an organization, or to one that is not active, has no entry for it."""


def read_standings(statements: Statements, places: Sequence[Place]) -> Standings:
    """Return where those *places* are; the transaction reaches over the tenants concerned.

    A membership counts if it is active, and so are its tenant and every
    organization from the one spoken for to the root. One in an organization
    further up counts if a role of it is inherited. What users have everywhere
    they have in organizations, too.

    Raises:
        LookupError: The policy has not been seeded.
    """
    users = {place.user_id for place in places}
    organizations = {place.organization_id for place in places} - {None}
    if organizations:
        given = {"users": tuple(users), "organizations": tuple(organizations)}
        rows = statements.execute(_WITHIN, given).all()
    else:
        rows = statements.execute(_EVERYWHERE, {"users": tuple(users)}).all()
    if not rows:
        raise LookupError("the policy has not been seeded")
    everywhere: dict[uuid.UUID, list[Row[Any]]] = {}
    within: dict[Place, list[Row[Any]]] = {}
    for row in rows:
        # Where nobody has anything there is one row, without any.
        if row.user_id is None:
            continue
        if not organizations or row.organization_id is None:
            everywhere.setdefault(row.user_id, []).append(row)
        else:
            within.setdefault(Place(row.user_id, row.organization_id), []).append(row)
    at: dict[Place, Standing] = {}
    for place in places:
        own = everywhere.get(place.user_id, [])
        if place.organization_id is None:
            at[place] = Standing(*_roles(own))
        elif (held := within.get(place)) is not None:
            at[place] = _standing(own, held)
    return Standings(rows[0].revision, at)


def _standing(everywhere: list[Row[Any]], within: list[Row[Any]]) -> Standing:
    nearest_first = sorted(within, key=lambda row: row.distance)
    plans = [row.plan for row in nearest_first if row.plan is not None]
    scopes = sorted({scope for row in within for scope in row.scopes})
    return Standing(
        *_roles([*everywhere, *within]),
        tenant_id=within[0].tenant_id,
        plan=plans[0] if plans else within[0].tenant_plan,
        scopes=tuple(scopes),
    )


def _roles(rows: list[Row[Any]]) -> tuple[tuple[uuid.UUID, ...], tuple[str, ...]]:
    named = sorted({(row.name, row.role_id) for row in rows if row.role_id is not None})
    return tuple(ident for _, ident in named), tuple(name for name, _ in named)


_USERS = bindparam("users", type_=Uuid(), expanding=True)
_ORGANIZATIONS = bindparam("organizations", type_=Uuid(), expanding=True)

# Built once: composing a statement takes as long as SQLite takes to answer it. Of
# tables, not classes: what makes objects of rows takes as long again, at each login.
_REVISIONS, _USER_ROLES, _ROLES = (
    cast("Table", model.__table__) for model in (PolicyRevision, UserRole, Role)
)
_EVERYWHERE = (
    select(
        _REVISIONS.c.revision, _USER_ROLES.c.user_id, _ROLES.c.id.label("role_id"), _ROLES.c.name
    )
    .select_from(_REVISIONS)
    .outerjoin(_USER_ROLES, _USER_ROLES.c.user_id.in_(_USERS))
    .outerjoin(_ROLES, _ROLES.c.id == _USER_ROLES.c.role_id)
)


def roles_in_organizations(*, even_inactive: bool = False) -> Select[Any]:
    """Return the statement that finds roles by membership: of users, in organizations.

    A row for each role, and at least one for each membership that counts; the
    caller says of whom and where, by ``MEMBERSHIPS.c.user_id`` and
    ``LINEAGE.c.organization_id``.

    Args:
        even_inactive: Find the roles in organizations that are not active, too,
            of who has them in one further up that is: he may activate them again.
    """
    above = LINEAGE.alias("above")
    must_be_active = LINEAGE.c.ancestor_id if even_inactive else LINEAGE.c.organization_id
    inactive = (
        select(literal_column("1"))
        .select_from(above.join(ORGANIZATIONS, ORGANIZATIONS.c.id == above.c.ancestor_id))
        .where(
            above.c.organization_id == must_be_active,
            ORGANIZATIONS.c.state != "active",
        )
        .exists()
    )
    return (
        select(
            MEMBERSHIPS.c.user_id,
            LINEAGE.c.organization_id,
            MEMBERSHIPS.c.tenant_id,
            TENANTS.c.plan.label("tenant_plan"),
            MEMBERSHIPS.c.plan,
            MEMBERSHIPS.c.scopes,
            LINEAGE.c.distance,
            Role.id.label("role_id"),
            Role.name,
        )
        .select_from(LINEAGE)
        .join(MEMBERSHIPS, MEMBERSHIPS.c.organization_id == LINEAGE.c.ancestor_id)
        .join(TENANTS, TENANTS.c.id == MEMBERSHIPS.c.tenant_id)
        .outerjoin(MembershipRole, MembershipRole.membership_id == MEMBERSHIPS.c.id)
        .outerjoin(
            Role,
            (Role.id == MembershipRole.role_id) & or_(LINEAGE.c.distance == 0, Role.inherited),
        )
        .where(
            MEMBERSHIPS.c.state == "active",
            TENANTS.c.state == "active",
            or_(LINEAGE.c.distance == 0, Role.id.is_not(None)),
            ~inactive,
        )
    )


_HELD = union_all(
    select(
        UserRole.user_id,
        type_coerce(null(), Uuid()).label("organization_id"),
        type_coerce(null(), Uuid()).label("tenant_id"),
        type_coerce(null(), String()).label("tenant_plan"),
        type_coerce(null(), String()).label("plan"),
        type_coerce(null(), JsonDocument).label("scopes"),
        type_coerce(null(), Integer()).label("distance"),
        Role.id.label("role_id"),
        Role.name,
    )
    .join(Role, Role.id == UserRole.role_id)
    .where(UserRole.user_id.in_(_USERS)),
    roles_in_organizations().where(
        MEMBERSHIPS.c.user_id.in_(_USERS), LINEAGE.c.organization_id.in_(_ORGANIZATIONS)
    ),
).subquery("held")

_WITHIN = (
    select(PolicyRevision.revision, _HELD).select_from(PolicyRevision).outerjoin(_HELD, true())
)
