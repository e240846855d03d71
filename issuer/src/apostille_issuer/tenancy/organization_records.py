"""What all acts on organizations share: rows, checks among siblings, views, audit."""

from __future__ import annotations

import uuid
from typing import Any, Final, cast

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.authority import authorize
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.policy import Change
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.lineage import is_active
from apostille_issuer.tenancy.models import MAX_DEPTH, Organization
from apostille_issuer.tenancy.naming import DisplayName
from apostille_issuer.tenancy.schemas.organizations import OrganizationState, OrganizationView

__all__ = [
    "WRITE",
    "audited",
    "find_to_change",
    "record",
    "require_depth",
    "require_free",
    "shown",
    "target_of",
    "view_of",
    "viewed",
]

WRITE: Final = IssuerPermission.ORGANIZATIONS_WRITE.value


async def find_to_change(
    session: AsyncSession, context: RequestContext, organization_id: uuid.UUID
) -> Organization:
    """Return an organization that the actor may change.

    Raises:
        IssuerProblem: ``not_found``, ``permission_denied``.
    """
    await authorize(session, context, organization_id, WRITE)
    return await session.get_one(Organization, organization_id)


def require_depth(depth: int) -> None:
    """Make sure that an organization can be so deep in the tree.

    Raises:
        IssuerProblem: ``organization_too_deep``.
    """
    if depth > MAX_DEPTH:
        raise IssuerProblem(ProblemCode.ORGANIZATION_TOO_DEEP)


async def require_free(session: AsyncSession, parent_id: uuid.UUID, name: DisplayName) -> None:
    """Make sure that no subsidiary of *parent_id* has that name.

    Raises:
        IssuerProblem: ``name_taken``.
    """
    taken = select(Organization.id).where(
        Organization.parent_id == parent_id,
        Organization.name_key == name.key,
        Organization.state != "deleted",
    )
    if await session.scalar(taken) is not None:
        raise IssuerProblem(
            ProblemCode.NAME_TAKEN,
            errors=(FieldError("name", "belongs to another subsidiary, in this or another case"),),
        )


def shown() -> Select[Organization, bool]:
    """Return the statement that finds what :func:`view_of` shows."""
    return select(Organization, is_active().label("active"))


async def viewed(session: AsyncSession, organization_id: uuid.UUID) -> OrganizationView:
    """Return what clients see of an organization, which is there."""
    row = (await session.execute(shown().where(Organization.id == organization_id))).one()
    return view_of(row.Organization, active=row.active)


def view_of(organization: Organization, *, active: bool) -> OrganizationView:
    """Return what clients see of *organization*."""
    return OrganizationView(
        id=organization.id,
        tenant_id=organization.tenant_id,
        parent_id=organization.parent_id,
        name=organization.name,
        state=cast("OrganizationState", organization.state),
        active=active,
        depth=organization.depth,
        settings=organization.settings,
        created_at=organization.created_at,
        updated_at=organization.updated_at,
        deleted_at=organization.deleted_at,
    )


def audited(organization: Organization) -> dict[str, Any]:
    """Return what the audit trail keeps of an organization's state."""
    return {
        "name": organization.name,
        "parent_id": organization.parent_id,
        "state": organization.state,
        "settings": organization.settings,
    }


def record(
    change: Change,
    tag: EventTag,
    organization: Organization,
    *,
    before: dict[str, Any] | None = None,
) -> None:
    """Write what became of *organization* into the trail of its tenant."""
    # What roles grant is what it was: only who stands where may have changed.
    change.record(
        tag,
        target_of(organization.id),
        before=before,
        after=audited(organization),
        tenant_id=organization.tenant_id,
        affects_policy=False,
    )


def target_of(organization_id: uuid.UUID) -> str:
    """Return what an organization is called in the audit trail."""
    return f"organization:{organization_id}"
