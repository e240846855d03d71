"""Members of organizations as they are shown: one, and in pages."""

from __future__ import annotations

import uuid
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Row, Select, Uuid, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.memberships import MemberRoles
from apostille_issuer.accounts.names import InvalidLogin, parse_login_prefix
from apostille_issuer.http.paging import Page, key_of, not_a_cursor, page_of
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.lineage import subtree_of
from apostille_issuer.tenancy.models import USERS, Membership
from apostille_issuer.tenancy.naming import LAST
from apostille_issuer.tenancy.schemas.memberships import MemberFilter, MemberView

__all__ = ["MemberPlace", "member_in", "members_in", "place_of"]

UUID_LENGTH: Final = 36

FEW: Final = 500
"""Up to so many are listed in a statement."""


class MemberPlace(Struct, frozen=True):
    """Where a member stands in a list: users in the order of their making."""

    user_id: uuid.UUID
    organization_id: uuid.UUID

    def __str__(self) -> str:
        """Return what a cursor is made of; see :func:`place_of`."""
        return f"{self.user_id}{self.organization_id}"


def place_of(cursor: str | None) -> MemberPlace | None:
    """Return the place that *cursor* stands for; ``None`` for the first page.

    Raises:
        IssuerProblem: ``validation_failed``; it is not a cursor of ours.
    """
    if cursor is None:
        return None
    text = key_of(cursor)
    try:
        return MemberPlace(uuid.UUID(text[:UUID_LENGTH]), uuid.UUID(text[UUID_LENGTH:]))
    except ValueError:
        raise not_a_cursor() from None


async def member_in(
    session: AsyncSession, organization_id: uuid.UUID, user_id: uuid.UUID, roles: MemberRoles
) -> MemberView:
    """Return a member of an organization.

    Raises:
        IssuerProblem: ``not_found``; he is none, or one further up alone.
    """
    found = _MEMBERS.where(
        Membership.organization_id == organization_id, Membership.user_id == user_id
    )
    row = (await session.execute(found)).one_or_none()
    if row is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    membership_id = row.Membership.id
    return _view(row, (await roles.names(session, [membership_id]))[membership_id])


async def members_in(  # noqa: PLR0913 - where, which, and what part of them
    session: AsyncSession,
    tenant_id: uuid.UUID,
    organization_id: uuid.UUID,
    wanted: MemberFilter,
    roles: MemberRoles,
    *,
    after: MemberPlace | None,
    limit: int,
) -> Page[MemberView]:
    """Return a page of the members of an organization, or of all from there down.

    Raises:
        IssuerProblem: ``validation_failed`` for what no login name begins with;
            ``not_found`` for what no role can be called.
    """
    statement = _MEMBERS.where(Membership.tenant_id == tenant_id)
    for condition in await _conditions(session, wanted, roles):
        statement = statement.where(condition)
    if wanted.subtree:
        below = subtree_of(organization_id)
        statement = statement.where(await _among(session, Membership.organization_id, below))
        if after is not None:
            last = tuple_(literal(after.user_id, Uuid()), literal(after.organization_id, Uuid()))
            place = tuple_(Membership.user_id, Membership.organization_id)
            statement = statement.where(place > last)
    else:
        statement = statement.where(Membership.organization_id == organization_id)
        if after is not None:
            statement = statement.where(Membership.user_id > after.user_id)
    ordered = statement.order_by(Membership.user_id, Membership.organization_id)
    rows = (await session.execute(ordered.limit(limit + 1))).all()
    names = await roles.names(session, [row.Membership.id for row in rows])
    return page_of(
        rows,
        limit,
        view=lambda row: _view(row, names[row.Membership.id]),
        key=lambda row: MemberPlace(row.Membership.user_id, row.Membership.organization_id),
    )


_MEMBERS: Select[Any] = select(Membership, USERS.c.login, USERS.c.kind).join(
    USERS, USERS.c.id == Membership.user_id
)


async def _conditions(
    session: AsyncSession, wanted: MemberFilter, roles: MemberRoles
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.state is not None:
        conditions.append(Membership.state == wanted.state)
    if wanted.role is not None:
        holding = roles.memberships_with(wanted.role)
        conditions.append(await _among(session, Membership.id, holding))
    if wanted.login:
        prefix = _checked_prefix(wanted.login)
        conditions.append(USERS.c.login_key.between(prefix, prefix + LAST))
    return conditions


async def _among(
    session: AsyncSession, column: InstrumentedAttribute[uuid.UUID], found: Select[uuid.UUID]
) -> ColumnElement[bool]:
    """Return whether *column* is one of those *found*, so that it is looked up where they are many.

    Few are listed, and lead to their rows. Of many, the rows are taken in the
    order of the list, each is looked up, and a page is soon full.
    """
    few = (await session.scalars(found.limit(FEW + 1))).all()
    if len(few) <= FEW:
        return column.in_(few)
    return found.where(found.selected_columns[0] == column).exists()


def _checked_prefix(login: str) -> str:
    try:
        return parse_login_prefix(login)
    except InvalidLogin as error:
        raise IssuerProblem.invalid_field("login", str(error)) from error


def _view(row: Row[Any], roles: tuple[str, ...]) -> MemberView:
    membership: Membership = row.Membership
    held = {name: getattr(membership, name) for name in _OF_MEMBERSHIP}
    said = {"login": row.login, "kind": row.kind, "roles": roles}
    return msgspec.convert(held | said, MemberView)


_OF_MEMBERSHIP: Final = (
    *("user_id", "organization_id", "state", "plan", "scopes", "created_at", "updated_at"),
)
