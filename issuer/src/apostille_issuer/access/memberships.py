"""The roles that members have in organizations, and who may change them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Row, Select, delete, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.denying import OVER_ISSUER, require_may_deny
from apostille_issuer.access.holders import just_him
from apostille_issuer.access.holdings import Holdings, from_here_down, just_here
from apostille_issuer.access.models import (
    LINEAGE,
    MEMBERSHIPS,
    MembershipRole,
    Role,
    RoleGrant,
    UserRole,
)
from apostille_issuer.access.naming import reference
from apostille_issuer.access.policy import require_held
from apostille_issuer.access.rights import Rights
from apostille_issuer.access.roles import find_role_in, grants_of
from apostille_issuer.access.standings import roles_in_organizations
from apostille_issuer.access.territory import Territory
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem

__all__ = [
    "GrantedRole",
    "Member",
    "MemberRoles",
    "RolesThere",
    "require_may_give",
    "require_may_take",
]


class Member(Struct, frozen=True):
    """Somebody in an organization."""

    membership_id: uuid.UUID
    tenant_id: uuid.UUID
    organization_id: uuid.UUID
    user_id: uuid.UUID


class GrantedRole(Struct, frozen=True):
    """A role, and what follows from having it."""

    id: uuid.UUID
    name: str
    inherited: bool
    grants: Rights


class RolesThere(Struct, frozen=True):
    """What somebody is in an organization."""

    names: tuple[str, ...]
    """Of his roles there by membership, inherited ones included, in alphabetical order."""
    direct: bool
    """He is a member of that one itself."""


def require_may_give(own: Holdings, roles: Iterable[GrantedRole]) -> None:
    """Let nobody give roles that allow or deny what he does not hold where they count.

    Raises:
        IssuerProblem: ``grant_exceeds_own``, naming what is missing.
    """
    for role in roles:
        require_held(own.behind(inherited=role.inherited), role.grants.allows | role.grants.denies)


def require_may_take(own: Holdings, roles: Iterable[GrantedRole]) -> None:
    """Let nobody take roles away that deny what he does not hold: it would be denied no longer.

    Raises:
        IssuerProblem: ``grant_exceeds_own``, naming what is missing.
    """
    for role in roles:
        require_held(own.behind(inherited=role.inherited), role.grants.denies)


class MemberRoles:
    """Rows of ``membership_roles``, in the transactions of whoever keeps the memberships.

    The acts of the tenancy domain call these in a transaction of
    :meth:`.AccessService.change`; nothing here opens one.
    """

    async def find(
        self, session: AsyncSession, organization_id: uuid.UUID, texts: Sequence[str]
    ) -> tuple[GrantedRole, ...]:
        """Return the roles that a request names, by name or identifier, each once.

        Raises:
            IssuerProblem: ``validation_failed``, naming the place of each that
                cannot be given there; ``protected`` for ``superuser``.
        """
        found: dict[uuid.UUID, Role] = {}
        errors: list[FieldError] = []
        for index, text in enumerate(texts):
            try:
                role = await find_role_in(session, organization_id, reference(text))
            except IssuerProblem as problem:
                if problem.code != ProblemCode.NOT_FOUND:
                    raise
                errors.append(FieldError(f"roles[{index}]", "there is no such role here"))
            else:
                found[role.id] = role
        if errors:
            raise IssuerProblem(ProblemCode.VALIDATION_FAILED, errors=tuple(errors))
        return await _with_grants(session, list(found.values()))

    async def find_one(
        self, session: AsyncSession, organization_id: uuid.UUID, text: str
    ) -> GrantedRole:
        """Return the role that a path names.

        Raises:
            IssuerProblem: ``not_found``; ``protected`` for ``superuser``.
        """
        role = await find_role_in(session, organization_id, reference(text))
        (granted,) = await _with_grants(session, [role])
        return granted

    async def of(self, session: AsyncSession, membership_id: uuid.UUID) -> tuple[GrantedRole, ...]:
        """Return the roles of a member, in order of their names."""
        held = (
            select(Role)
            .join(MembershipRole, MembershipRole.role_id == Role.id)
            .where(MembershipRole.membership_id == membership_id)
            .order_by(Role.name)
        )
        return await _with_grants(session, (await session.scalars(held)).all())

    async def names(
        self, session: AsyncSession, membership_ids: Sequence[uuid.UUID]
    ) -> dict[uuid.UUID, tuple[str, ...]]:
        """Return the names of the roles of many members, in order."""
        held = (
            select(MembershipRole.membership_id, Role.name)
            .join(Role, Role.id == MembershipRole.role_id)
            .where(MembershipRole.membership_id.in_(membership_ids))
            .order_by(Role.name)
        )
        found: dict[uuid.UUID, list[str]] = {ident: [] for ident in membership_ids}
        for row in await session.execute(held):
            found[row.membership_id].append(row.name)
        return {ident: tuple(names) for ident, names in found.items()}

    async def names_of(
        self, session: AsyncSession, role_ids: Collection[uuid.UUID]
    ) -> dict[uuid.UUID, str]:
        """Return the names of roles, but for those that are there no more."""
        found = select(Role.id, Role.name).where(Role.id.in_(role_ids))
        return {row.id: row.name for row in await session.execute(found)}

    def memberships_with(self, role: str) -> Select[uuid.UUID]:
        """Return the statement that finds the memberships with a role of that name or identifier.

        Raises:
            IssuerProblem: ``not_found``; no role can be called that.
        """
        wanted = reference(role)
        column = Role.id if isinstance(wanted, uuid.UUID) else Role.name
        return (
            select(MembershipRole.membership_id)
            .join(Role, Role.id == MembershipRole.role_id)
            .where(column == wanted)
        )

    async def give(
        self,
        session: AsyncSession,
        member: Member,
        roles: Iterable[GrantedRole],
        *,
        granted_by: uuid.UUID | None,
        at: datetime,
    ) -> None:
        """Give a member roles that he does not have yet; whether one may is not checked."""
        rows = [
            {
                "membership_id": member.membership_id,
                "role_id": role.id,
                "tenant_id": member.tenant_id,
                "created_at": at,
                "granted_by": granted_by,
            }
            for role in roles
        ]
        if rows:
            await session.execute(insert(MembershipRole), rows)

    async def take(self, session: AsyncSession, member: Member, role: GrantedRole) -> None:
        """Take a role away from a member; whether one may is not checked."""
        await session.execute(
            delete(MembershipRole).where(
                MembershipRole.membership_id == member.membership_id,
                MembershipRole.role_id == role.id,
            )
        )

    async def require_may_manage(
        self,
        session: AsyncSession,
        context: RequestContext,
        own: Holdings,
        member: Member,
        *,
        new_roles: Sequence[GrantedRole] = (),
    ) -> None:
        """Let nobody change what those may do who have more rights over an organization than he.

        The actor must hold every right under ``iam`` that some role allows the
        member there, whatever state his membership is in. Where one of
        *new_roles* denies, it could put him out of office further up, and
        further down if it is inherited: then what he has there counts, too
        (:func:`.require_may_deny`). Everybody may act on himself; a superuser
        is denied nothing.

        Raises:
            IssuerProblem: ``grant_exceeds_own``, naming what is missing; ``protected``.
        """
        if any(role.grants.denies for role in new_roles):
            await require_may_deny(
                session, context, just_him(member.user_id), member.organization_id, field="role"
            )
        if member.user_id == context.actor_id:
            return
        require_held(own.here, await session.scalars(_allowed_here(member)))
        if any(role.inherited and role.grants.denies for role in new_roles):
            require_held(own.below, await session.scalars(_allowed_below(member)))

    async def territory(self, session: AsyncSession, user_id: uuid.UUID) -> Territory:
        """Return what a user may speak for by membership, told in as many places as he has those.

        What is below one of its subtrees and is not active he may not speak for.

        Args:
            session: A transaction that reaches over all tenants, or over the one asked about.
            user_id: Who.
        """
        memberships = (
            roles_in_organizations()
            .add_columns(Role.inherited)
            .where(MEMBERSHIPS.c.user_id == user_id, LINEAGE.c.distance == 0)
        )
        rows = (await session.execute(memberships)).all()
        subtrees = frozenset(row.organization_id for row in rows if row.inherited)
        here = frozenset(row.organization_id for row in rows)
        return Territory(subtrees=subtrees, organizations=here - subtrees)

    async def roles_in(
        self, session: AsyncSession, user_id: uuid.UUID, organizations: Collection[uuid.UUID]
    ) -> dict[uuid.UUID, RolesThere]:
        """Return what a user is by membership in each of *organizations* that he may speak for."""
        memberships = roles_in_organizations().where(
            MEMBERSHIPS.c.user_id == user_id, LINEAGE.c.organization_id.in_(organizations)
        )
        found: dict[uuid.UUID, list[Row[Any]]] = {}
        for row in await session.execute(memberships):
            found.setdefault(row.organization_id, []).append(row)
        return {
            ident: RolesThere(
                tuple(sorted({row.name for row in rows if row.name is not None})),
                any(row.distance == 0 for row in rows),
            )
            for ident, rows in found.items()
        }

    def places_concerned(
        self, organization_id: uuid.UUID, roles: Iterable[GrantedRole]
    ) -> Select[uuid.UUID]:
        """Return the statement that finds where rights change if a member's *roles* do."""
        if any(role.inherited for role in roles):
            return from_here_down(organization_id)
        return just_here(organization_id)

    def places_lost(self, organization_id: uuid.UUID, user_id: uuid.UUID) -> Select[uuid.UUID]:
        """Return the statement that finds where, from here down, a user does not stand any more."""
        below = LINEAGE.alias("below")
        stands = (
            roles_in_organizations()
            .with_only_columns(LINEAGE.c.organization_id, maintain_column_froms=True)
            .where(
                MEMBERSHIPS.c.user_id == user_id,
                LINEAGE.c.organization_id == below.c.organization_id,
            )
            .correlate(below)
        )
        return select(below.c.organization_id).where(
            below.c.ancestor_id == organization_id, ~stands.exists()
        )


async def _with_grants(session: AsyncSession, roles: Sequence[Role]) -> tuple[GrantedRole, ...]:
    grants = await grants_of(session, [role.id for role in roles])
    return tuple(GrantedRole(role.id, role.name, role.inherited, grants[role.id]) for role in roles)


def _allowed_here(member: Member) -> Select[str]:
    """Return the statement that finds what a member may do about the issuer where he is one.

    By his membership, by those above it where the role is inherited, and by
    the roles that he has everywhere.
    """
    by_membership = (
        select(MembershipRole.role_id)
        .join(MEMBERSHIPS, MEMBERSHIPS.c.id == MembershipRole.membership_id)
        .join(LINEAGE, LINEAGE.c.ancestor_id == MEMBERSHIPS.c.organization_id)
        .join(Role, Role.id == MembershipRole.role_id)
        .where(
            MEMBERSHIPS.c.user_id == member.user_id,
            LINEAGE.c.organization_id == member.organization_id,
            or_(LINEAGE.c.distance == 0, Role.inherited),
        )
    )
    everywhere = select(UserRole.role_id).where(UserRole.user_id == member.user_id)
    return _allowed_by(or_(RoleGrant.role_id.in_(by_membership), RoleGrant.role_id.in_(everywhere)))


def _allowed_below(member: Member) -> Select[str]:
    """Return the same for every membership that he has from there down."""
    below = (
        select(MembershipRole.role_id)
        .join(MEMBERSHIPS, MEMBERSHIPS.c.id == MembershipRole.membership_id)
        .where(
            MEMBERSHIPS.c.user_id == member.user_id,
            MEMBERSHIPS.c.organization_id.in_(from_here_down(member.organization_id)),
        )
    )
    return _allowed_by(RoleGrant.role_id.in_(below))


def _allowed_by(roles: ColumnElement[bool]) -> Select[str]:
    return select(RoleGrant.grant).where(roles, RoleGrant.effect == "allow", OVER_ISSUER).distinct()
