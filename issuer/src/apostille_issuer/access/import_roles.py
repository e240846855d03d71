"""The first half of an import: what is missing in the catalogue, and roles."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.permissions import covers
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.models import (
    ORGANIZATIONS,
    Permission,
    Role,
    Service,
    ServicePermission,
)
from apostille_issuer.access.naming import module_of
from apostille_issuer.access.permissions import owners_of_modules
from apostille_issuer.access.policy import Change
from apostille_issuer.access.rights import Rights
from apostille_issuer.access.role_records import (
    add_role,
    audited,
    grants_of,
    require_free,
    store_grants,
    view_of,
)
from apostille_issuer.access.roles import find_role, find_role_in
from apostille_issuer.access.schemas import (
    ImportPlan,
    ImportReport,
    PlannedRole,
    RoleDraft,
    WithoutCounterpart,
)
from apostille_issuer.db.types import new_id
from apostille_issuer.problems import IssuerProblem

__all__ = ["RoleImport"]

VERSION: Final = "imported"
"""Of a service that is registered since permissions belong to it; its manifest names another."""


class RoleImport:
    """Adds permissions and roles in the transaction of an import."""

    def __init__(
        self, change: Change, plan: ImportPlan, report: ImportReport, now: datetime
    ) -> None:
        """Take what there is to be, and where to say what was done."""
        self._change, self._plan, self._report, self._now = change, plan, report, now
        self._session: AsyncSession = change.session
        self._organization_id = plan.organization_id
        self.tenant_id: uuid.UUID | None = None
        """Whose the organization is that roles go to, if they go to one."""
        self.roles: dict[str, Role] = {}
        """By name, once :meth:`run` has been."""
        self.changed: list[uuid.UUID] = []
        """Those that were there and allow more now."""
        self.denying: set[uuid.UUID] = set()

    async def run(self) -> None:
        """Make them so.

        Raises:
            IssuerProblem: ``not_found`` for the organization; ``name_taken``
                for a role of another organization, or a service's audience.
        """
        if self._organization_id is not None:
            self.tenant_id = await self._tenant_of(self._organization_id)
        known = await self._permissions()
        for name, planned in sorted(self._plan.roles.items()):
            await self._role(name, planned, sorted(planned.allow & known))
        await self._session.flush()

    async def _tenant_of(self, organization_id: uuid.UUID) -> uuid.UUID:
        statement = select(ORGANIZATIONS.c.tenant_id).where(
            ORGANIZATIONS.c.id == organization_id, ORGANIZATIONS.c.state != "deleted"
        )
        tenant_id: uuid.UUID | None = await self._session.scalar(statement)
        if tenant_id is None:
            error = FieldError("organization", "there is no such organization")
            raise IssuerProblem(ProblemCode.NOT_FOUND, errors=(error,))
        return tenant_id

    async def _permissions(self) -> frozenset[str]:
        """Add the permissions that are missing; return those that roles can name."""
        catalogue = set(await self._session.scalars(select(Permission.name)))
        wanted = self._plan.permissions
        new = sorted(wanted.keys() - catalogue)
        owners = await owners_of_modules(self._session, {module_of(name) for name in new})
        services: dict[str, Service] = {}
        for name in new:
            planned = wanted[name]
            owner = owners.setdefault(module_of(name), planned.service)
            if owner != planned.service:
                self._miss(f"permission {planned.source}", f"{name}: its module is {owner}'s")
                continue
            if planned.service not in services:
                services[planned.service] = await self._service(planned.service)
            await self._permission(name, services[planned.service])
            catalogue.add(name)
        return frozenset(catalogue)

    async def _service(self, name: str) -> Service:
        """Return the service of that name, registered if need be."""
        found = await self._session.scalar(select(Service).where(Service.name == name))
        if found is not None:
            return found
        rival = select(Service.name).where(Service.audience == name)
        if (other := await self._session.scalar(rival)) is not None:
            error = FieldError("service", f"{other} has the audience {name}")
            raise IssuerProblem(ProblemCode.NAME_TAKEN, errors=(error,))
        service = Service(
            id=new_id(),
            name=name,
            audience=name,
            version=VERSION,
            created_at=self._now,
            updated_at=self._now,
        )
        self._session.add(service)
        await self._session.flush()
        self._report.services.append(name)
        after = {"audience": name, "version": VERSION}
        self._change.record(EventTag.SERVICE_REGISTERED, f"service:{name}", after=after)
        return service

    async def _permission(self, name: str, service: Service) -> None:
        planned = self._plan.permissions[name]
        row = Permission(
            id=new_id(),
            name=name,
            module=module_of(name),
            description=planned.description,
            service_id=service.id,
            created_at=self._now,
        )
        self._session.add(row)
        await self._session.flush()
        self._session.add(ServicePermission(service_id=service.id, permission_id=row.id))
        self._report.permissions[name] = planned.source
        self._change.record(
            EventTag.PERMISSION_CREATED,
            f"permission:{name}",
            after={"description": planned.description, "service": service.name},
        )

    async def _role(self, name: str, planned: PlannedRole, allow: list[str]) -> None:
        role = await self._found(name)
        if role is None:
            self.roles[name] = await self._create(name, planned, allow)
            return
        self.roles[name] = role
        held = (await grants_of(self._session, [role.id]))[role.id]
        if held.denies:
            self.denying.add(role.id)
        missing = [
            wanted for wanted in allow if not any(covers(own, wanted) for own in held.allows)
        ]
        if role.system or role.organization_id != self._organization_id:
            for wanted in missing:
                self._miss(f"{wanted} of the role {name}", "which is not changed here")
            return
        if not missing:
            return
        grants = Rights(held.allows.union(missing), held.denies)
        before, role.updated_at = view_of(role, held), self._now
        await store_grants(self._session, role, grants)
        self.changed.append(role.id)
        self._report.extended[name] = tuple(missing)
        self._change.record(
            EventTag.ROLE_UPDATED,
            f"role:{name}",
            before=audited(before),
            after=audited(view_of(role, grants)),
            tenant_id=self.tenant_id,
        )

    async def _found(self, name: str) -> Role | None:
        try:
            if self._organization_id is None:
                return await find_role(self._session, name)
            return await find_role_in(self._session, self._organization_id, name)
        except IssuerProblem as problem:
            if problem.code is not ProblemCode.NOT_FOUND:
                raise
        return None

    async def _create(self, name: str, planned: PlannedRole, allow: list[str]) -> Role:
        try:
            await require_free(self._session, name, self.tenant_id)
        except IssuerProblem as problem:
            error = FieldError(f"role {name}", "a role elsewhere is called like this")
            raise IssuerProblem(problem.code, errors=(error,)) from problem
        grants = Rights(frozenset(allow))
        draft = RoleDraft(
            name=name, description=planned.description, inherited=self._plan.inherited
        )
        role = await add_role(
            self._session,
            draft,
            grants,
            self._now,
            tenant_id=self.tenant_id,
            organization_id=self._organization_id,
        )
        self._report.created[name] = tuple(allow)
        self._change.record(
            EventTag.ROLE_CREATED,
            f"role:{name}",
            after=audited(view_of(role, grants)),
            tenant_id=self.tenant_id,
        )
        return role

    def _miss(self, what: str, why: str) -> None:
        self._report.without.append(WithoutCounterpart(what, why))
