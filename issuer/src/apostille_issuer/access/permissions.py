"""The catalogue of permissions."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from msgspec import UNSET
from sqlalchemy import Row, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.catalogue import ISSUER_SERVICE
from apostille_issuer.access.holders import holders_of_permissions
from apostille_issuer.access.models import Permission, Role, RoleGrant, Service, ServicePermission
from apostille_issuer.access.naming import (
    check_name,
    check_text,
    known_permission_name,
    module_of,
    new_permission_name,
)
from apostille_issuer.access.policy import Policy
from apostille_issuer.access.schemas import PermissionDraft, PermissionPatch, PermissionView
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, key_of, page_of
from apostille_issuer.problems import IssuerProblem

__all__ = ["Permissions", "in_use", "owners_of_modules", "users_of", "wildcards_on"]

MAX_NAMED_ROLES = 20
"""Roles that an answer names; there may be more."""


class Permissions:
    """Acts on the catalogue. What the issuer brings along is protected."""

    def __init__(self, policy: Policy) -> None:
        """Take what every change of policy needs."""
        self._policy = policy

    async def page(self, *, cursor: str | None, limit: int) -> Page[PermissionView]:
        """Return a page of the catalogue in order of names, hence by module."""
        statement = _PERMISSIONS.where(Permission.name > key_of(cursor)).order_by(Permission.name)
        async with self._policy.database.read(EVERY_TENANT) as session:
            rows = (await session.execute(statement.limit(limit + 1))).all()
        return page_of(rows, limit, view=_view, key=lambda row: row.Permission.name)

    async def create(self, draft: PermissionDraft, context: RequestContext) -> PermissionView:
        """Add a permission, declared by a service or by none yet.

        A module belongs to one service: the one that is called like it, or
        that first declared a permission in it.

        Raises:
            IssuerProblem: ``validation_failed``; ``name_taken``; ``protected``
                for the issuer's own modules; ``conflict`` if the module
                belongs to another service, naming which.
        """
        name = new_permission_name("name", draft.name)
        check_text("description", draft.description)
        if draft.service is not None:
            check_name("service", draft.service)
        target = f"permission:{name}"
        async with self._policy.change(context, EventTag.PERMISSION_CREATED, target) as change:
            session = change.session
            if draft.service == ISSUER_SERVICE:
                raise IssuerProblem(ProblemCode.PROTECTED)
            if await session.scalar(select(Permission.id).where(Permission.name == name)):
                raise _taken()
            owner = (await owners_of_modules(session, {module_of(name)})).get(module_of(name))
            if owner not in (None, draft.service):
                raise _belongs_elsewhere(owner)
            service = await _service_called(session, draft.service)
            permission = Permission(
                id=new_id(),
                name=name,
                module=module_of(name),
                description=draft.description,
                service_id=service.id if service else None,
                created_at=self._policy.clock(),
            )
            session.add(permission)
            await session.flush()
            if service is not None:
                session.add(ServicePermission(service_id=service.id, permission_id=permission.id))
            change.record(
                EventTag.PERMISSION_CREATED,
                target,
                after={"description": draft.description, "service": draft.service},
            )
        return await self.get(name)

    async def get(self, name: str) -> PermissionView:
        """Return the permission *name*.

        Raises:
            IssuerProblem: ``not_found``.
        """
        async with self._policy.database.read(EVERY_TENANT) as session:
            return _view(await _find(session, known_permission_name(name)))

    async def update(
        self, name: str, patch: PermissionPatch, context: RequestContext
    ) -> PermissionView:
        """Replace the description; the next manifest of its service may do so again.

        Raises:
            IssuerProblem: ``not_found``; ``protected`` for the issuer's own.
        """
        known_permission_name(name)
        if patch.description is not UNSET:
            check_text("description", patch.description)
        target = f"permission:{name}"
        async with self._policy.change(context, EventTag.PERMISSION_UPDATED, target) as change:
            row = await _find(change.session, name)
            _require_not_ours(row)
            before = row.Permission.description
            if patch.description not in (UNSET, before):
                row.Permission.description = patch.description
                change.record(
                    EventTag.PERMISSION_UPDATED,
                    target,
                    before={"description": before},
                    after={"description": patch.description},
                    affects_policy=False,
                )
            return _view(row)

    async def delete(self, name: str, context: RequestContext) -> None:
        """Remove a permission that no role names.

        A wildcard that covers it does not name it. But where it is the last
        that its owner has in the module, nobody would own the module from then
        on, and a wildcard on it would come to mean what another one declares.

        Raises:
            IssuerProblem: ``not_found``; ``protected`` for the issuer's own;
                ``in_use``, naming the roles.
        """
        known_permission_name(name)
        target = f"permission:{name}"
        async with self._policy.change(context, EventTag.PERMISSION_DELETED, target) as change:
            row = await _find(change.session, name)
            _require_not_ours(row)
            users = await users_of(change.session, [name])
            if await _is_last_of_its_owner(change.session, row.Permission):
                users |= await wildcards_on(change.session, {row.Permission.module})
            if users:
                raise in_use(users)
            await change.rights_changed(holders_of_permissions([name]))
            await change.session.execute(delete(Permission).where(Permission.name == name))
            change.record(
                EventTag.PERMISSION_DELETED,
                target,
                before={"description": row.Permission.description, "service": row.service},
            )


_PERMISSIONS = (
    select(
        Permission,
        Service.name.label("service"),
        ServicePermission.permission_id.label("declared"),
    )
    .outerjoin(Service, Service.id == Permission.service_id)
    .outerjoin(ServicePermission, ServicePermission.permission_id == Permission.id)
)


async def users_of(session: AsyncSession, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return which roles name each of the permissions; those unused are left out."""
    rows = await session.execute(
        select(RoleGrant.grant, Role.name)
        .join(Role, Role.id == RoleGrant.role_id)
        .where(RoleGrant.grant.in_(tuple(names)))
        .distinct()
        .order_by(RoleGrant.grant, Role.name)
    )
    users: dict[str, tuple[str, ...]] = {}
    for permission, role in rows:
        users[permission] = (*users.get(permission, ()), role)
    return users


async def wildcards_on(
    session: AsyncSession, modules: AbstractSet[str]
) -> dict[str, tuple[str, ...]]:
    """Return which roles hold each of the wildcards that there are on *modules*."""
    wildcards = await session.scalars(
        select(RoleGrant.grant).where(RoleGrant.grant.endswith(".*")).distinct()
    )
    return await users_of(session, [grant for grant in wildcards if module_of(grant) in modules])


def in_use(users: dict[str, tuple[str, ...]]) -> IssuerProblem:
    """Return ``in_use``, naming grants and the roles that grant or deny them."""
    errors = [
        FieldError(grant, f"the role {role} grants or denies it")
        for grant, roles in users.items()
        for role in roles
    ]
    return IssuerProblem(ProblemCode.IN_USE, errors=tuple(errors[:MAX_NAMED_ROLES]))


async def owners_of_modules(session: AsyncSession, modules: Iterable[str]) -> dict[str, str]:
    """Return the name of the service that owns each of *modules*, where one does."""
    wanted = tuple(modules)
    rows = await session.execute(
        select(Permission.module, Service.name)
        .join(Service, Service.id == Permission.service_id)
        .where(Permission.module.in_(wanted))
        .distinct()
    )
    owners = {module: service for module, service in rows}  # noqa: C416 - rows are not tuples to mypy
    for name in await session.scalars(select(Service.name).where(Service.name.in_(wanted))):
        owners.setdefault(name, name)
    return owners


async def _is_last_of_its_owner(session: AsyncSession, permission: Permission) -> bool:
    """Say whether its service, or nobody, owns nothing else in the module.

    The service that is called like the module owns it without any.
    """
    others = select(Permission.id).where(
        Permission.module == permission.module,
        Permission.service_id == permission.service_id,
        Permission.id != permission.id,
    )
    namesake = select(Service.id).where(Service.name == permission.module)
    return await session.scalar(others.limit(1)) is None and await session.scalar(namesake) is None


async def _find(session: AsyncSession, name: str) -> Row[Permission, str, uuid.UUID]:
    row = (await session.execute(_PERMISSIONS.where(Permission.name == name))).one_or_none()
    if row is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return row


async def _service_called(session: AsyncSession, name: str | None) -> Service | None:
    if name is None:
        return None
    service = await session.scalar(select(Service).where(Service.name == name))
    if service is None:
        raise IssuerProblem.invalid_field("service", "no service of this name is registered")
    return service


def _require_not_ours(row: Row[Permission, str, uuid.UUID]) -> None:
    if row.service == ISSUER_SERVICE:
        raise IssuerProblem(ProblemCode.PROTECTED)


def _taken() -> IssuerProblem:
    return IssuerProblem(
        ProblemCode.NAME_TAKEN, errors=(FieldError("name", "it is in the catalogue already"),)
    )


def _belongs_elsewhere(owner: str | None) -> IssuerProblem:
    return IssuerProblem(
        ProblemCode.CONFLICT, errors=(FieldError("name", f"its module belongs to {owner}"),)
    )


def _view(row: Row[Permission, str, uuid.UUID]) -> PermissionView:
    permission = row.Permission
    return PermissionView(
        id=permission.id,
        name=permission.name,
        module=permission.module,
        description=permission.description,
        service=row.service,
        deprecated=row.service is not None and row.declared is None,
        created_at=permission.created_at,
    )
