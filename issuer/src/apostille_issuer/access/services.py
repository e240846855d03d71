"""Services, and the manifests that say which permissions they use."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.manifest import Manifest
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import ISSUER_SERVICE
from apostille_issuer.access.holders import holders_of_permissions
from apostille_issuer.access.manifests import (
    apply_changes,
    audience_of,
    changes_between,
    check_manifest,
    load_registered,
)
from apostille_issuer.access.models import Permission, Service, ServicePermission
from apostille_issuer.access.naming import module_of, reference
from apostille_issuer.access.permissions import in_use, owners_of_modules, users_of, wildcards_on
from apostille_issuer.access.policy import Policy
from apostille_issuer.access.schemas import ManifestChanges, ServiceOutcome, ServiceView
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, key_of, page_of
from apostille_issuer.problems import IssuerProblem

__all__ = ["Services"]


class Services:
    """Acts on services. The issuer's own can be read, never changed."""

    def __init__(self, policy: Policy) -> None:
        """Take what every change of policy needs."""
        self._policy = policy

    async def page(self, *, cursor: str | None, limit: int) -> Page[ServiceView]:
        """Return a page of services in order of their names."""
        statement = select(Service).where(Service.name > key_of(cursor)).order_by(Service.name)
        async with self._policy.database.read(EVERY_TENANT) as session:
            services = (await session.scalars(statement.limit(limit + 1))).all()
            declared = await _declared_by(session, services[:limit])
        return page_of(
            services,
            limit,
            view=lambda service: _view(service, declared[service.id]),
            key=lambda service: service.name,
        )

    async def get(self, service: str) -> ServiceView:
        """Return the service of that name or identifier.

        Raises:
            IssuerProblem: ``not_found``.
        """
        async with self._policy.database.read(EVERY_TENANT) as session:
            found = await _find(session, service)
            return _view(found, (await _declared_by(session, [found]))[found.id])

    async def push(
        self, manifest: Manifest, context: RequestContext, *, dry_run: bool = False
    ) -> ServiceOutcome:
        """Register a service, or bring it up to its new manifest.

        A permission that is no longer declared leaves the catalogue, unless a
        role names it: then it is deprecated, and stays for the role's sake.
        Pushing the same manifest again changes nothing. Suggested roles are
        suggestions; none is created.

        Args:
            manifest: As :func:`apostille_contracts.manifest.parse_manifest` returns it.
            context: Who pushes, from where.
            dry_run: Only say what would change.

        Raises:
            IssuerProblem: ``validation_failed``; ``protected`` for the
                issuer's own service; ``name_taken`` for another service's
                audience; ``conflict`` for permissions in another service's
                module, naming both.
        """
        check_manifest(manifest)
        if dry_run:
            async with self._policy.database.read(EVERY_TENANT) as session:
                changes = changes_between(await load_registered(session, manifest), manifest)
            return _outcome(manifest, changes, applied=False)
        target = f"service:{manifest.service}"
        async with self._policy.change(context, EventTag.SERVICE_UPDATED, target) as change:
            registered = await load_registered(change.session, manifest)
            changes = changes_between(registered, manifest)
            if changes.any():
                before = _summary(registered.service) if registered.service else None
                await apply_changes(
                    change.session, registered, manifest, changes, self._policy.clock()
                )
                gone = (*changes.deprecated, *changes.removed)
                if gone:
                    await change.rights_changed(holders_of_permissions(gone))
                change.record(
                    EventTag.SERVICE_REGISTERED if changes.created else EventTag.SERVICE_UPDATED,
                    target,
                    before=before,
                    after={
                        "audience": audience_of(manifest),
                        "version": manifest.version,
                        "changes": changes,
                    },
                )
        return _outcome(manifest, changes, applied=True)

    async def delete(self, service: str, context: RequestContext) -> None:
        """Remove a service and its permissions.

        Raises:
            IssuerProblem: ``not_found``; ``protected`` for the issuer's own;
                ``in_use`` if roles name its permissions, or hold wildcards
                on its modules, naming which: another service could fill them.
        """
        reference(service)
        target = f"service:{service}"
        async with self._policy.change(context, EventTag.SERVICE_DELETED, target) as change:
            session = change.session
            found = await _find(session, service)
            if found.name == ISSUER_SERVICE:
                raise IssuerProblem(ProblemCode.PROTECTED)
            of_it = select(Permission.name).where(Permission.service_id == found.id)
            owned = (await session.scalars(of_it)).all()
            owners = await owners_of_modules(session, {found.name, *map(module_of, owned)})
            modules = {module for module, owner in owners.items() if owner == found.name}
            users = await users_of(session, owned) | await wildcards_on(session, modules)
            if users:
                raise in_use(users)
            before = _summary(found)
            await change.rights_changed(holders_of_permissions(owned))
            await session.execute(delete(Permission).where(Permission.service_id == found.id))
            await session.execute(delete(Service).where(Service.id == found.id))
            change.record(EventTag.SERVICE_DELETED, f"service:{found.name}", before=before)


async def _find(session: AsyncSession, service: str) -> Service:
    wanted = reference(service)
    column = Service.name if isinstance(wanted, str) else Service.id
    found = await session.scalar(select(Service).where(column == wanted))
    if found is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return found


async def _declared_by(
    session: AsyncSession, services: Sequence[Service]
) -> dict[uuid.UUID, dict[str, str]]:
    """Return what each of *services* declares: name to description."""
    declared: dict[uuid.UUID, dict[str, str]] = {service.id: {} for service in services}
    rows = await session.execute(
        select(ServicePermission.service_id, Permission.name, Permission.description)
        .join(Permission, Permission.id == ServicePermission.permission_id)
        .where(ServicePermission.service_id.in_(tuple(declared)))
        .order_by(Permission.name)
    )
    for service_id, name, description in rows:
        declared[service_id][name] = description
    return declared


def _view(service: Service, permissions: dict[str, str]) -> ServiceView:
    return ServiceView(
        id=service.id,
        name=service.name,
        audience=service.audience,
        version=service.version,
        permissions=permissions,
        created_at=service.created_at,
        updated_at=service.updated_at,
    )


def _summary(service: Service) -> dict[str, Any]:
    return {"audience": service.audience, "version": service.version}


def _outcome(manifest: Manifest, changes: ManifestChanges, *, applied: bool) -> ServiceOutcome:
    return ServiceOutcome(
        service=manifest.service,
        audience=audience_of(manifest),
        version=manifest.version,
        applied=applied,
        changes=changes,
    )
