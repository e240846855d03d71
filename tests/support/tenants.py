"""A customer with companies and people in them, for tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from sqlalchemy import insert, select

from apostille_issuer.access.models import MembershipRole, Role, RoleGrant
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.db.types import new_id
from apostille_issuer.issuer import Issuer
from apostille_issuer.tenancy.lineage import add_organization
from apostille_issuer.tenancy.models import Membership, Organization, Tenant

__all__ = ["insert_membership", "insert_organization", "insert_role", "insert_tenant"]


async def insert_tenant(issuer: Issuer, name: str = "Acme") -> tuple[uuid.UUID, uuid.UUID]:
    """Write a tenant and its root, past every rule, and return their identifiers."""
    tenant_id, now = new_id(), issuer.clock()
    async with issuer.database.begin(EVERY_TENANT) as session:
        session.add(
            Tenant(
                id=tenant_id,
                name=name,
                name_key=name.casefold(),
                state="active",
                plan="basic",
                created_at=now,
                updated_at=now,
            )
        )
    return tenant_id, await insert_organization(issuer, tenant_id, name)


async def insert_organization(
    issuer: Issuer, tenant_id: uuid.UUID, name: str, parent_id: uuid.UUID | None = None
) -> uuid.UUID:
    """Write an organization, past every rule, and return its identifier."""
    ident, now = new_id(), issuer.clock()
    async with issuer.database.begin(EVERY_TENANT) as session:
        parent = None if parent_id is None else await session.get_one(Organization, parent_id)
        await add_organization(
            session,
            Organization(
                id=ident,
                tenant_id=tenant_id,
                parent_id=parent_id,
                name=name,
                name_key=name.casefold(),
                state="active",
                depth=1 if parent is None else parent.depth + 1,
                created_at=now,
                updated_at=now,
            ),
        )
    return ident


async def insert_membership(
    issuer: Issuer,
    organization_id: uuid.UUID,
    user_id: uuid.UUID,
    *roles: str,
    plan: str | None = None,
    scopes: Iterable[str] = (),
) -> uuid.UUID:
    """Make a user a member who has *roles*, past every rule."""
    ident, now = new_id(), issuer.clock()
    async with issuer.database.begin(EVERY_TENANT) as session:
        organization = await session.get_one(Organization, organization_id)
        session.add(
            Membership(
                id=ident,
                tenant_id=organization.tenant_id,
                organization_id=organization_id,
                user_id=user_id,
                state="active",
                plan=plan,
                scopes=list(scopes),
                created_at=now,
                updated_at=now,
            )
        )
        await session.flush()
        for role_id in await session.scalars(select(Role.id).where(Role.name.in_(roles))):
            session.add(
                MembershipRole(
                    membership_id=ident,
                    role_id=role_id,
                    tenant_id=organization.tenant_id,
                    created_at=now,
                )
            )
    return ident


async def insert_role(
    issuer: Issuer,
    organization_id: uuid.UUID,
    *allow: str,
    deny: Iterable[str] = (),
    inherited: bool = False,
) -> str:
    """Write a role of an organization, past every rule, and return its name, a new one."""
    ident, now = new_id(), issuer.clock()
    name = f"role-{ident.hex}"
    async with issuer.database.begin(EVERY_TENANT) as session:
        organization = await session.get_one(Organization, organization_id)
        session.add(
            Role(
                id=ident,
                tenant_id=organization.tenant_id,
                organization_id=organization_id,
                name=name,
                inherited=inherited,
                created_at=now,
                updated_at=now,
            )
        )
        await session.flush()
        rows = [
            {
                "role_id": ident,
                "grant": grant,
                "effect": effect,
                "tenant_id": organization.tenant_id,
            }
            for effect, grants in (("allow", allow), ("deny", tuple(deny)))
            for grant in grants
        ]
        if rows:
            await session.execute(insert(RoleGrant), rows)
    return name
