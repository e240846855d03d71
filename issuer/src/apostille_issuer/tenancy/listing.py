"""Pages of organizations in order of their names, whose price does not rise with their number.

A page is read from ranges of indexes that are in that order: all of them, a
tenant's, a parent's, or a subtree's. What a member of a tenant may see of it is
a few subtrees and a few organizations (:class:`.Territory`), so his page is
merged from their ranges.
"""

from __future__ import annotations

import uuid
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    Uuid,
    exists,
    false,
    literal,
    select,
    tuple_,
    union,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from apostille_issuer.access.territory import Territory
from apostille_issuer.tenancy.models import Organization, OrganizationLineage
from apostille_issuer.tenancy.naming import LAST, Place
from apostille_issuer.tenancy.schemas.organizations import OrganizationFilter

__all__ = ["Range", "organizations_in"]

LINEAGE = OrganizationLineage
SelectT = TypeVar("SelectT", bound=Select[*tuple[Any, ...]])

MAX_MERGED = 100
"""Most subtrees whose ranges are merged; of more, all that is in them is sorted."""


class Range(Struct, frozen=True):
    """Which part of a list by name is wanted."""

    after: Place | None
    """Behind this one; from the beginning, by default."""
    prefix: str
    """Of names whose keys begin so; empty for all."""
    limit: int

    def of(
        self,
        statement: SelectT,
        name_key: InstrumentedAttribute[str],
        ident: InstrumentedAttribute[uuid.UUID],
    ) -> SelectT:
        """Return what *statement* finds of it, in order."""
        if self.after is not None:
            last = tuple_(literal(self.after.key, String()), literal(self.after.id, Uuid()))
            statement = statement.where(tuple_(name_key, ident) > last)
        if self.prefix:
            statement = statement.where(name_key.between(self.prefix, self.prefix + LAST))
        return statement.order_by(name_key, ident).limit(self.limit)


async def organizations_in(
    session: AsyncSession,
    wanted: OrganizationFilter,
    within: Territory | None,
    part: Range,
    *,
    only: ColumnElement[bool] | None = None,
) -> Select[uuid.UUID]:
    """Return the statement that finds the identifiers of *part* of the organizations *wanted*.

    Args:
        session: A transaction, to find out what is in what.
        wanted: Which ones.
        within: Where whoever asks may see them; everywhere, by default.
        part: In order of names, then of identifiers.
        only: What is true of the row of each organization that is found, besides.
    """
    conditions = [*_conditions(wanted, within), *(() if only is None else (only,))]
    roots = None if within is None else within.subtrees
    single = frozenset[uuid.UUID]() if within is None else within.organizations
    if wanted.subtree_of is not None:
        roots, single = await _cut(session, roots, single, wanted.subtree_of)
    if wanted.parent_id is not None:
        conditions.append(Organization.parent_id == wanted.parent_id)
        if roots is None or await _is_in(session, wanted.parent_id, roots):
            roots = None
        else:
            # The subsidiaries of what is not in a subtree can be in one as its root alone.
            roots, single = frozenset(), roots | single
    if roots is None:
        found = select(Organization.id).where(*conditions)
        return part.of(found, Organization.name_key, Organization.id)
    return _merged(roots, single, conditions, part)


def _conditions(wanted: OrganizationFilter, within: Territory | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.state is None:
        conditions.append(Organization.state != "deleted")
    else:
        conditions.append(Organization.state == wanted.state)
    if wanted.tenant_id is not None:
        conditions.append(Organization.tenant_id == wanted.tenant_id)
    if within is not None and within.but_organizations:
        conditions.append(Organization.id.not_in(within.but_organizations))
    if within is not None and within.but_subtrees:
        tree = aliased(LINEAGE)
        denied = exists().where(
            tree.organization_id == Organization.id, tree.ancestor_id.in_(within.but_subtrees)
        )
        conditions.append(~denied)
    return conditions


async def _cut(
    session: AsyncSession,
    roots: frozenset[uuid.UUID] | None,
    single: frozenset[uuid.UUID],
    subtree_of: uuid.UUID,
) -> tuple[frozenset[uuid.UUID], frozenset[uuid.UUID]]:
    """Return what of the subtrees *roots*, and of those that are *single*, is in a subtree."""
    whole = frozenset({subtree_of})
    if roots is None or await _is_in(session, subtree_of, roots):
        return whole, frozenset()
    below = select(LINEAGE.organization_id).where(
        LINEAGE.ancestor_id == subtree_of, LINEAGE.organization_id.in_(roots | single)
    )
    kept = frozenset(await session.scalars(below))
    return roots & kept, single & kept


async def _is_in(
    session: AsyncSession, organization_id: uuid.UUID, roots: frozenset[uuid.UUID]
) -> bool:
    """Say whether an organization is in one of the subtrees *roots*."""
    if not roots:
        return False
    found = select(LINEAGE.ancestor_id).where(
        LINEAGE.organization_id == organization_id, LINEAGE.ancestor_id.in_(roots)
    )
    return await session.scalar(found.limit(1)) is not None


def _merged(
    roots: frozenset[uuid.UUID],
    single: frozenset[uuid.UUID],
    conditions: list[ColumnElement[bool]],
    part: Range,
) -> Select[uuid.UUID]:
    """Return the statement that finds *part* of what is in subtrees, or single."""
    ranges: list[Select[str, uuid.UUID]] = []
    if single:
        alone = select(Organization.name_key, Organization.id).where(
            Organization.id.in_(single), *conditions
        )
        ranges.append(part.of(alone, Organization.name_key, Organization.id))
    # Of very many, and one may be in another: all that is in them at once.
    trees: list[ColumnElement[bool]] = [LINEAGE.ancestor_id.in_(roots)]
    if len(roots) <= MAX_MERGED:
        trees = [LINEAGE.ancestor_id == root for root in sorted(roots)]
    for in_tree in trees:
        below = (
            select(LINEAGE.name_key, LINEAGE.organization_id)
            .join(Organization, Organization.id == LINEAGE.organization_id)
            .where(in_tree, *conditions)
        )
        if len(roots) > MAX_MERGED:
            below = below.distinct()
        ranges.append(part.of(below, LINEAGE.name_key, LINEAGE.organization_id))
    if not ranges:
        return select(Organization.id).where(false())
    # Each in a query of its own: SQLite knows no limit in a part of a union. What
    # is in several of them comes once.
    found = union(*(select(each.subquery()) for each in ranges)).subquery()
    return select(found.c[1]).order_by(*found.c).limit(part.limit)
