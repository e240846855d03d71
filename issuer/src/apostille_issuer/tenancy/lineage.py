"""The tree of organizations, kept beside it as who is in whom.

:class:`.OrganizationLineage` has a row for an organization and each one that it
is in, so that no question about the tree takes a walk through it. Whoever adds,
moves or renames organizations does so here, under the policy lock
(:meth:`.Policy.change`): two that change a tree take turns.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from apostille_contracts.problems import ProblemCode
from apostille_issuer.db.types import new_id
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.models import Organization, OrganizationLineage, Tenant
from apostille_issuer.tenancy.naming import DisplayName

__all__ = [
    "above",
    "add_organization",
    "add_root",
    "height_of",
    "is_active",
    "just_it",
    "move_organization",
    "rename_organization",
    "require_active",
    "subtree_of",
    "tenant_of",
]

LINEAGE = OrganizationLineage


def subtree_of(organization_id: uuid.UUID) -> Select[uuid.UUID]:
    """Return the statement that finds an organization and all below it, deleted ones too."""
    return select(LINEAGE.organization_id).where(LINEAGE.ancestor_id == organization_id)


def just_it(organization_id: uuid.UUID) -> Select[uuid.UUID]:
    """Return the statement that finds an organization alone."""
    return select(Organization.id).where(Organization.id == organization_id)


def above(organization_id: uuid.UUID) -> Select[uuid.UUID]:
    """Return the statement that finds an organization and all that it is in, to the root."""
    return select(LINEAGE.ancestor_id).where(LINEAGE.organization_id == organization_id)


async def tenant_of(session: AsyncSession, organization_id: uuid.UUID) -> uuid.UUID:
    """Return whose organization it is, deleted or not.

    Raises:
        IssuerProblem: ``not_found``.
    """
    statement = select(Organization.tenant_id).where(Organization.id == organization_id)
    tenant_id = await session.scalar(statement)
    if tenant_id is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return tenant_id


def is_active() -> ColumnElement[bool]:
    """Return whether tokens can speak for the organization of a statement's row.

    It is active, and so are its tenant and all that it is in.
    """
    tree, over = aliased(LINEAGE), aliased(Organization)
    inactive = (
        select(over.id)
        .join(tree, tree.ancestor_id == over.id)
        .where(tree.organization_id == Organization.id, over.state != "active")
        # As EXISTS, PostgreSQL might look for all that is inactive first, in all the tree.
        .limit(1)
        .correlate(Organization)
        .scalar_subquery()
    )
    tenant = exists().where(Tenant.id == Organization.tenant_id, Tenant.state == "active")
    return and_(tenant, inactive.is_(None))


async def require_active(session: AsyncSession, organization_id: uuid.UUID) -> None:
    """Make sure that tokens can speak for an organization.

    Under the policy lock it stays so until the transaction ends.

    Raises:
        IssuerProblem: ``organization_inactive``.
    """
    statement = (
        select(is_active()).select_from(Organization).where(Organization.id == organization_id)
    )
    if not await session.scalar(statement):
        raise IssuerProblem(ProblemCode.ORGANIZATION_INACTIVE)


async def add_root(
    session: AsyncSession, tenant_id: uuid.UUID, name: DisplayName, now: datetime
) -> Organization:
    """Give a tenant its root organization, and return it."""
    root = Organization(
        id=new_id(),
        tenant_id=tenant_id,
        parent_id=None,
        name=name.text,
        name_key=name.key,
        state="active",
        depth=1,
        settings={},
        created_at=now,
        updated_at=now,
    )
    await add_organization(session, root)
    return root


async def add_organization(session: AsyncSession, organization: Organization) -> None:
    """Add *organization* below its parent; its ``depth`` is the parent's and one."""
    session.add(organization)
    await session.flush()
    await session.execute(
        insert(LINEAGE).values(
            organization_id=organization.id,
            ancestor_id=organization.id,
            tenant_id=organization.tenant_id,
            distance=0,
            name_key=organization.name_key,
        )
    )
    if organization.parent_id is not None:
        await _hang(session, organization.id, organization.parent_id)


async def rename_organization(
    session: AsyncSession, organization: Organization, name: DisplayName
) -> None:
    """Give *organization* another name, here and where lists are in order of it."""
    organization.name, organization.name_key = name.text, name.key
    await session.execute(
        update(LINEAGE)
        .where(LINEAGE.organization_id == organization.id)
        .values(name_key=name.key)
        .execution_options(synchronize_session=False)
    )


async def height_of(session: AsyncSession, organization_id: uuid.UUID) -> int:
    """Return how many levels an organization has with all below it: 1 for one without any.

    What is deleted does not count.
    """
    deepest = (
        select(func.max(LINEAGE.distance))
        .join(Organization, Organization.id == LINEAGE.organization_id)
        .where(LINEAGE.ancestor_id == organization_id, Organization.state != "deleted")
    )
    return (await session.scalar(deepest) or 0) + 1


async def move_organization(
    session: AsyncSession, organization: Organization, parent: Organization
) -> None:
    """Hang *organization*, with all below it, below *parent*, which is none of them.

    That no limit of depth is passed, and no name taken there, is checked before.
    """
    moved = subtree_of(organization.id)
    deeper = parent.depth + 1 - organization.depth
    # What they are in outside of themselves, they are in no longer.
    await session.execute(
        delete(LINEAGE)
        .where(LINEAGE.organization_id.in_(moved), LINEAGE.ancestor_id.not_in(moved))
        .execution_options(synchronize_session=False)
    )
    await _hang(session, organization.id, parent.id)
    await session.execute(
        update(Organization)
        .where(Organization.id.in_(moved), Organization.id != organization.id)
        .values(depth=Organization.depth + deeper)
        .execution_options(synchronize_session=False)
    )
    organization.parent_id, organization.depth = parent.id, parent.depth + 1
    await session.flush()


async def _hang(session: AsyncSession, organization_id: uuid.UUID, parent_id: uuid.UUID) -> None:
    """Write down that an organization, and all below it, is in *parent_id* and all above that."""
    below, over = aliased(LINEAGE), aliased(LINEAGE)
    pairs = (
        select(
            below.organization_id,
            over.ancestor_id,
            below.tenant_id,
            below.distance + over.distance + 1,
            below.name_key,
        )
        .select_from(below)
        # Each with each: one condition says it to SQLAlchemy, too.
        .join(over, over.organization_id == parent_id)
        .where(below.ancestor_id == organization_id)
    )
    columns = ["organization_id", "ancestor_id", "tenant_id", "distance", "name_key"]
    await session.execute(insert(LINEAGE).from_select(columns, pairs))
