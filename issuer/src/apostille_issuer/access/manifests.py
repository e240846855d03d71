"""A manifest against what is registered: the difference, and making it so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.manifest import Manifest
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.catalogue import ISSUER_SERVICE
from apostille_issuer.access.models import Permission, Service, ServicePermission
from apostille_issuer.access.naming import check_name, check_text, module_of, new_permission_name
from apostille_issuer.access.permissions import owners_of_modules, users_of, wildcards_on
from apostille_issuer.access.schemas import ManifestChanges
from apostille_issuer.db.types import new_id
from apostille_issuer.problems import IssuerProblem

__all__ = [
    "Registered",
    "apply_changes",
    "audience_of",
    "changes_between",
    "check_manifest",
    "load_registered",
]

MAX_PERMISSIONS: Final = 2_000
"""Most permissions of one service."""

MAX_NAMED_CONFLICTS: Final = 20
"""Conflicts that an answer names; there may be more."""


class Registered(Struct, frozen=True, kw_only=True):
    """What the database holds that a manifest touches."""

    service: Service | None
    catalogue: dict[str, Permission]
    """Permissions of the service, and those the manifest names."""
    declared: frozenset[str]
    """Names that the service's last manifest declared."""
    owners: dict[str, str]
    """Modules the manifest touches, and the service that owns each."""
    users: dict[str, tuple[str, ...]]
    """Permissions that the manifest drops, and the roles for whose sake each stays."""
    audience_taken: bool
    """Another service has the audience."""


def audience_of(manifest: Manifest) -> str:
    """Return the audience; the service's name unless one is given."""
    return manifest.service if manifest.audience is None else manifest.audience


def check_manifest(manifest: Manifest) -> None:
    """Refuse what cannot be stored or is the issuer's own.

    Raises:
        IssuerProblem: ``validation_failed``, ``protected``.
    """
    check_name("service", manifest.service)
    if manifest.service == ISSUER_SERVICE:
        raise IssuerProblem(ProblemCode.PROTECTED)
    check_text("version", manifest.version)
    check_text("audience", audience_of(manifest))
    if len(manifest.permissions) > MAX_PERMISSIONS:
        raise IssuerProblem.invalid_field("permissions", f"at most {MAX_PERMISSIONS:,}")
    for name, description in manifest.permissions.items():
        new_permission_name("permissions", name)
        check_text(f"permissions.{name}", description)


async def load_registered(session: AsyncSession, manifest: Manifest) -> Registered:
    """Read what *manifest* touches."""
    service = await session.scalar(select(Service).where(Service.name == manifest.service))
    named = Permission.name.in_(tuple(manifest.permissions))
    mine = Permission.service_id == service.id if service else named
    permissions = (await session.scalars(select(Permission).where(named | mine))).all()
    declared = select(Permission.name).join(ServicePermission).where(mine)
    dropped = [p.name for p in permissions if p.name not in manifest.permissions]
    rival = select(Service.id).where(
        Service.audience == audience_of(manifest), Service.name != manifest.service
    )
    return Registered(
        service=service,
        catalogue={permission.name: permission for permission in permissions},
        declared=frozenset(await session.scalars(declared)) if service else frozenset(),
        owners=await owners_of_modules(session, {module_of(name) for name in manifest.permissions}),
        users=await _users_of_dropped(session, manifest, dropped) if dropped else {},
        audience_taken=await session.scalar(rival) is not None,
    )


async def _users_of_dropped(
    session: AsyncSession, manifest: Manifest, dropped: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the roles for whose sake each of *dropped* stays.

    Those name it; or they hold a wildcard on a module of which nothing else
    stays. That must go on belonging to the service, or another one could
    declare what the wildcard means.
    """
    kept = {manifest.service, *map(module_of, manifest.permissions)}
    left = {module_of(name) for name in dropped} - kept
    held = await wildcards_on(session, left)
    by_module: dict[str, set[str]] = {}
    for wildcard, roles in held.items():
        by_module.setdefault(module_of(wildcard), set()).update(roles)
    by_wildcard = {
        name: tuple(sorted(by_module[module_of(name)]))
        for name in dropped
        if module_of(name) in by_module
    }
    return by_wildcard | await users_of(session, dropped)


def changes_between(registered: Registered, manifest: Manifest) -> ManifestChanges:
    """Return what *manifest* would change.

    Raises:
        IssuerProblem: ``name_taken`` for another service's audience;
            ``conflict`` for permissions in another service's module.
    """
    _require_no_conflict(registered, manifest)
    service, names = registered.service, manifest.permissions.keys()
    dropped = sorted(registered.catalogue.keys() - names)
    updated = {} if service is None else {"audience": service.audience, "version": service.version}
    wanted = {"audience": audience_of(manifest), "version": manifest.version}
    return ManifestChanges(
        created=service is None,
        updated=tuple(field for field, value in updated.items() if value != wanted[field]),
        added=tuple(sorted(names - registered.declared)),
        changed=tuple(
            name
            for name in sorted(names & registered.declared)
            if registered.catalogue[name].description != manifest.permissions[name]
        ),
        deprecated={
            name: registered.users[name]
            for name in dropped
            if name in registered.users and name in registered.declared
        },
        removed=tuple(name for name in dropped if name not in registered.users),
    )


async def apply_changes(
    session: AsyncSession,
    registered: Registered,
    manifest: Manifest,
    changes: ManifestChanges,
    now: datetime,
) -> None:
    """Make *changes* so, in the locked transaction that *registered* was read in."""
    service = registered.service
    if service is None:
        service = Service(id=new_id(), name=manifest.service, created_at=now)
        session.add(service)
    service.audience, service.version = audience_of(manifest), manifest.version
    service.updated_at = now
    await session.flush()
    added: list[dict[str, object]] = []
    for name in (*changes.added, *changes.changed):
        permission = registered.catalogue.get(name)
        if permission is None:
            permission = Permission(id=new_id(), name=name, module=module_of(name), created_at=now)
            session.add(permission)
        permission.description = manifest.permissions[name]
        permission.service_id = service.id
        if name not in registered.declared:
            added.append({"service_id": service.id, "permission_id": permission.id})
    await session.flush()
    if added:
        await session.execute(insert(ServicePermission), added)
    deprecated = [registered.catalogue[name].id for name in changes.deprecated]
    await session.execute(
        delete(ServicePermission).where(ServicePermission.permission_id.in_(deprecated))
    )
    await session.execute(delete(Permission).where(Permission.name.in_(changes.removed)))


def _require_no_conflict(registered: Registered, manifest: Manifest) -> None:
    if registered.audience_taken:
        raise IssuerProblem(
            ProblemCode.NAME_TAKEN,
            errors=(FieldError("audience", "another service has this audience"),),
        )
    errors = tuple(_conflicts(registered, manifest))
    if errors:
        raise IssuerProblem(ProblemCode.CONFLICT, errors=errors[:MAX_NAMED_CONFLICTS])


def _conflicts(registered: Registered, manifest: Manifest) -> Iterable[FieldError]:
    for name in manifest.permissions:
        owner = registered.owners.get(module_of(name), manifest.service)
        if owner != manifest.service:
            yield FieldError(
                f"permissions.{name}", f"the module {module_of(name)} belongs to {owner}"
            )
