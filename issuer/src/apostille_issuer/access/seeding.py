"""What every installation starts with, written once by whichever replica is first."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Insert, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_issuer.access.catalogue import (
    INHERITED_ROLES,
    ISSUER_PERMISSIONS,
    ISSUER_SERVICE,
    SYSTEM_ROLES,
)
from apostille_issuer.access.models import (
    Permission,
    PolicyRevision,
    Role,
    RoleGrant,
    Service,
    ServicePermission,
)
from apostille_issuer.access.naming import module_of
from apostille_issuer.access.policy import Change, Policy
from apostille_issuer.access.role_records import make_way
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.problems import StartupError

__all__ = ["seed"]

VERSION: Final = "2"
"""Version of the issuer's own permissions; grows when they do."""


async def seed(policy: Policy, audit: AuditTrail, audience: str) -> None:
    """Write the system roles and the issuer's own service, where they are missing.

    Safe with several replicas starting at once: they take turns at the policy
    lock, and the second finds everything in place. Only adds: an older release
    that runs beside this one must not take away what this one brought.

    Args:
        policy: Opens the transaction.
        audit: Where what was written is recorded.
        audience: Audience of the issuer's own API.

    Raises:
        StartupError: Another service has that audience, or a custom role for
            all has the name of a new system role. A tenant's role is renamed.
    """
    async with policy.database.begin() as session:
        await session.execute(_first_revision(policy.database.dialect))
    now, act = policy.clock(), EventTag.SERVICE_UPDATED
    async with policy.change(COMMAND_LINE, act, f"service:{ISSUER_SERVICE}") as change:
        grown = [
            await _seed_service(change.session, audit, audience, now),
            await _seed_roles(change, audit, now),
        ]
        change.new_revision = any(grown)


def _first_revision(dialect: str) -> Insert:
    values = {"id": 1, "revision": new_id()}
    if dialect == "sqlite":
        return sqlite.insert(PolicyRevision).values(values).on_conflict_do_nothing()
    return postgresql.insert(PolicyRevision).values(values).on_conflict_do_nothing()


async def _seed_service(
    session: AsyncSession, audit: AuditTrail, audience: str, now: datetime
) -> bool:
    rival = select(Service.name).where(Service.audience == audience, Service.name != ISSUER_SERVICE)
    if (other := await session.scalar(rival)) is not None:
        raise StartupError(
            f"APOSTILLE_AUDIENCE: the service {other!r} has the audience {audience!r}"
        )
    service = await session.scalar(select(Service).where(Service.name == ISSUER_SERVICE))
    created = service is None
    if service is None:
        service = Service(
            id=new_id(),
            name=ISSUER_SERVICE,
            audience=audience,
            version=VERSION,
            created_at=now,
            updated_at=now,
        )
        session.add(service)
    moved = service.audience != audience
    service.audience = audience
    present = frozenset(
        await session.scalars(select(Permission.name).where(Permission.service_id == service.id))
    )
    added = sorted(ISSUER_PERMISSIONS.keys() - present)
    if not (created or moved or added):
        return False
    service.version, service.updated_at = VERSION, now
    await session.flush()
    await _add_permissions(session, service, added, now)
    audit.record(
        session,
        EventTag.SERVICE_REGISTERED if created else EventTag.SERVICE_UPDATED,
        context=COMMAND_LINE,
        target=f"service:{ISSUER_SERVICE}",
        after={"audience": audience, "version": VERSION, "added": added},
    )
    return True


async def _add_permissions(
    session: AsyncSession, service: Service, names: list[str], now: datetime
) -> None:
    rows = [
        {
            "id": new_id(),
            "name": name,
            "module": module_of(name),
            "description": ISSUER_PERMISSIONS[name],
            "service_id": service.id,
            "created_at": now,
        }
        for name in names
    ]
    if rows:
        await session.execute(insert(Permission), rows)
        links = [{"service_id": service.id, "permission_id": row["id"]} for row in rows]
        await session.execute(insert(ServicePermission), links)


async def _require_free(session: AsyncSession, name: str) -> None:
    custom = select(Role.id).where(Role.name == name, Role.tenant_id.is_(None))
    if await session.scalar(custom) is not None:
        raise StartupError(f"the custom role {name!r} has the name of a system role: rename it")


async def _seed_roles(change: Change, audit: AuditTrail, now: datetime) -> bool:
    session = change.session
    present = {role.name: role for role in await session.scalars(select(Role).where(Role.system))}
    held = {
        (row.role_id, row.grant)
        for row in await session.scalars(
            select(RoleGrant).join(Role, Role.id == RoleGrant.role_id).where(Role.system)
        )
    }
    grown = False
    for name, wanted in SYSTEM_ROLES.items():
        role = present.get(name)
        created = role is None
        if role is None:
            await make_way(change, name.value, now)
            await _require_free(session, name.value)
            role = Role(
                id=new_id(),
                name=name.value,
                system=True,
                inherited=name in INHERITED_ROLES,
                created_at=now,
            )
            role.description, role.updated_at = wanted.description, now
            session.add(role)
            await session.flush()
        inherited = name in INHERITED_ROLES
        moved, role.inherited = role.inherited != inherited, inherited
        missing = [grant for grant in wanted.allow if (role.id, grant) not in held]
        if not (created or missing or moved):
            continue
        grown = True
        session.add_all(
            RoleGrant(role_id=role.id, grant=grant, effect="allow") for grant in missing
        )
        audit.record(
            session,
            EventTag.ROLE_CREATED if created else EventTag.ROLE_UPDATED,
            context=COMMAND_LINE,
            target=f"role:{name.value}",
            after={"allow": missing},
        )
    return grown
