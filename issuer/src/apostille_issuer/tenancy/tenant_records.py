"""What acts on tenants share: rows, checks of what is wanted, views."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from msgspec import UNSET, structs
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.branding import check_branding, read_branding, stored_branding
from apostille_issuer.tenancy.documents import check_document
from apostille_issuer.tenancy.models import Organization, Tenant
from apostille_issuer.tenancy.naming import check_name
from apostille_issuer.tenancy.schemas.tenants import TenantPatch, TenantView

__all__ = [
    "AUDITED",
    "PLATFORM_FIELDS",
    "checked_patch",
    "checked_plan",
    "find_tenant",
    "organizations_of",
    "require_platform",
    "roots_of",
    "target_of",
    "view_of",
]

PLATFORM_FIELDS: Final = ("state", "plan", "seats", "entitlements")
"""What a tenant's own administrators may not change: it is what the tenant pays for."""


async def find_tenant(session: AsyncSession, tenant_id: uuid.UUID, *, lock: bool = False) -> Tenant:
    """Return a tenant, deleted ones too.

    Args:
        session: A transaction that reaches over it.
        tenant_id: Which one.
        lock: Let nobody else change it, or take a seat, until the transaction ends.

    Raises:
        IssuerProblem: ``not_found``.
    """
    statement = select(Tenant).where(Tenant.id == tenant_id)
    if lock:
        # Rows that refer to the tenant may be inserted meanwhile.
        statement = statement.with_for_update(key_share=True)
    tenant = await session.scalar(statement)
    if tenant is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return tenant


def organizations_of(tenant_id: uuid.UUID) -> Select[uuid.UUID]:
    """Return the statement that finds a tenant's organizations, deleted ones too."""
    return select(Organization.id).where(Organization.tenant_id == tenant_id)


AUDITED: Final = (
    *("name", "state", "plan", "seats", "entitlements", "settings", "branding"),
    *("deleted_at", "purge_at"),
)


async def roots_of(
    session: AsyncSession, tenant_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, uuid.UUID]:
    """Return the root organization of each tenant."""
    # A look for each: SQLite would go through the roots of all tenants for a join or a list.
    root = select(Organization.id).where(
        Organization.tenant_id == Tenant.id, Organization.parent_id.is_(None)
    )
    statement = select(Tenant.id, root.correlate(Tenant).scalar_subquery().label("root_id"))
    rows = await session.execute(statement.where(Tenant.id.in_(tenant_ids)))
    return {row.id: row.root_id for row in rows}


def checked_patch(patch: TenantPatch) -> dict[str, Any]:
    """Return the columns that *patch* replaces, if everything in it can be stored."""
    wanted = {name: value for name, value in structs.asdict(patch).items() if value is not UNSET}
    if patch.name is not UNSET:
        name = check_name("name", patch.name)
        wanted |= {"name": name.text, "name_key": name.key}
    if patch.plan is not UNSET:
        checked_plan(patch.plan)
    for field in ("entitlements", "settings"):
        if field in wanted:
            check_document(field, wanted[field])
    if patch.branding is not UNSET:
        wanted["branding"] = stored_branding(check_branding(patch.branding))
    return wanted


def checked_plan(plan: str | None) -> str | None:
    """Return the name of a plan, if it is one line.

    Raises:
        IssuerProblem: ``validation_failed``.
    """
    if plan is not None and not plan.isprintable():
        raise IssuerProblem.invalid_field("plan", "one line of printable characters")
    return plan


def require_platform(patch: TenantPatch, context: RequestContext) -> None:
    """Leave to the platform's administrators what is theirs.

    Raises:
        IssuerProblem: ``platform_only``, naming the fields.
    """
    if context.tenant_id is None:
        return
    reserved = [name for name in PLATFORM_FIELDS if getattr(patch, name) is not UNSET]
    if reserved:
        raise IssuerProblem(
            ProblemCode.PLATFORM_ONLY,
            errors=tuple(FieldError(name, "the platform's to decide") for name in reserved),
        )


def view_of(tenant: Tenant, root_id: uuid.UUID) -> TenantView:
    """Return what clients see of *tenant*."""
    own = {name: getattr(tenant, name) for name in TenantView.__struct_fields__ if name in _OWN}
    return TenantView(**own, root_organization_id=root_id, branding=read_branding(tenant.branding))


_OWN: Final = frozenset(TenantView.__struct_fields__) - {"root_organization_id", "branding"}


def target_of(tenant_id: uuid.UUID) -> str:
    """Return how the audit trail names a tenant."""
    return f"tenant:{tenant_id}"
