"""Another system's groups and permissions made ours, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.permissions import covers
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.holders import holders_since, just_him
from apostille_issuer.access.memberships import Member
from apostille_issuer.access.models import (
    ORGANIZATIONS,
    USERS,
    MembershipRole,
    Permission,
    Role,
    Service,
    ServicePermission,
    UserRole,
)
from apostille_issuer.access.naming import module_of
from apostille_issuer.access.permissions import owners_of_modules
from apostille_issuer.access.policy import Change, Policy
from apostille_issuer.access.rights import Rights
from apostille_issuer.access.role_records import (
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
    WithoutCounterpart,
)
from apostille_issuer.access.superusers import require_no_superuser
from apostille_issuer.accounts.names import InvalidLogin, parse_login
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem

__all__ = ["Enrolment", "Importing"]

AT_ONCE: Final = 500
"""Users looked up by one statement."""

VERSION: Final = "imported"
"""Of a service that is registered since permissions belong to it; its manifest names another."""


class Enrolment(Protocol):
    """Makes users members: the rows are the tenancy's."""

    async def enroll(
        self, change: Change, organization_id: uuid.UUID, user_id: uuid.UUID
    ) -> tuple[Member, bool]:
        """Return the member that a user is in an organization, and whether he was none before.

        Raises:
            IssuerProblem: ``seats_exhausted``.
        """


class Importing:
    """Imports what is planned, whoever asks: for the operator at the command line alone."""

    def __init__(self, policy: Policy) -> None:
        """Take what every change of policy needs."""
        self._policy = policy

    async def run(
        self,
        plan: ImportPlan,
        context: RequestContext,
        *,
        enrolment: Enrolment,
        dry_run: bool = False,
    ) -> ImportReport:
        """Make permissions, roles and assignments so, all or none of them.

        Only adds: a permission that the catalogue knows stays as it is, a role
        of the same name at the same place comes to allow what it did not, and
        nobody loses a role. So a second time changes nothing.

        Args:
            plan: What there is to be; see :func:`.rbac_mapping.plan_import`.
            context: Who imports, from where. What he holds is not asked.
            enrolment: Makes members, if roles go to an organization.
            dry_run: Do it all, say what that was, and undo it.

        Raises:
            IssuerProblem: ``not_found`` for the organization; ``name_taken``
                for a role of another organization, or a service's audience;
                ``seats_exhausted``.
        """
        tag = EventTag.ROLE_CREATED
        try:
            async with self._policy.change(context, tag, "import") as change:
                report = await _Import(change, plan, enrolment, self._policy.clock()).run()
                _Undo.if_asked(report, dry_run=dry_run)
        except _Undo as undone:
            return undone.report
        return report


class _Undo(Exception):
    """Rolls a dry run back."""

    def __init__(self, report: ImportReport) -> None:
        super().__init__()
        self.report = report

    @classmethod
    def if_asked(cls, report: ImportReport, *, dry_run: bool) -> None:
        if dry_run:
            raise cls(report)


class _Import:
    """One import under way."""

    def __init__(
        self, change: Change, plan: ImportPlan, enrolment: Enrolment, now: datetime
    ) -> None:
        self._change, self._plan, self._enrolment, self._now = change, plan, enrolment, now
        self._session: AsyncSession = change.session
        self._report = ImportReport(without=list(plan.without))
        self._organization_id = plan.organization_id
        self._tenant_id: uuid.UUID | None = None
        self._roles: dict[str, Role] = {}
        self._changed: list[uuid.UUID] = []
        self._denying: set[uuid.UUID] = set()

    async def run(self) -> ImportReport:
        if self._organization_id is not None:
            self._tenant_id = await self._tenant_of(self._organization_id)
        known = await self._permissions()
        for name, planned in sorted(self._plan.roles.items()):
            await self._role(name, planned, sorted(planned.allow & known))
        await self._session.flush()
        for logins in _in_parts(sorted(self._plan.assignments)):
            await self._users(logins)
        await self._session.flush()
        roles = [role.id for role in self._roles.values()]
        if self._changed or self._report.assigned:
            await self._change.rights_changed(holders_since(self._now, roles, self._changed))
        return self._report

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
            self._roles[name] = await self._create(name, planned, allow)
            return
        self._roles[name] = role
        held = (await grants_of(self._session, [role.id]))[role.id]
        if held.denies:
            self._denying.add(role.id)
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
        self._changed.append(role.id)
        self._report.extended[name] = tuple(missing)
        self._change.record(
            EventTag.ROLE_UPDATED,
            f"role:{name}",
            before=audited(before),
            after=audited(view_of(role, grants)),
            tenant_id=self._tenant_id,
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
            await require_free(self._session, name, self._tenant_id)
        except IssuerProblem as problem:
            error = FieldError(f"role {name}", "a role elsewhere is called like this")
            raise IssuerProblem(problem.code, errors=(error,)) from problem
        role = Role(
            id=new_id(),
            tenant_id=self._tenant_id,
            organization_id=self._organization_id,
            name=name,
            description=planned.description,
            system=False,
            inherited=self._plan.inherited,
            created_at=self._now,
            updated_at=self._now,
        )
        self._session.add(role)
        await self._session.flush()
        grants = Rights(frozenset(allow))
        await store_grants(self._session, role, grants)
        self._report.created[name] = tuple(allow)
        self._change.record(
            EventTag.ROLE_CREATED,
            f"role:{name}",
            after=audited(view_of(role, grants)),
            tenant_id=self._tenant_id,
        )
        return role

    async def _users(self, logins: Sequence[str]) -> None:
        keys: dict[str, str] = {}
        for login in logins:
            try:
                keys[login] = parse_login(login).key
            except InvalidLogin as error:
                self._miss(f"user {login!r}", f"a login name {error}")
        people = select(USERS.c.login_key, USERS.c.id).where(
            USERS.c.login_key.in_(tuple(keys.values())), USERS.c.kind == "person"
        )
        found: Mapping[str, uuid.UUID] = {
            row.login_key: row.id for row in await self._session.execute(people)
        }
        for login, key in keys.items():
            if key not in found:
                self._miss(f"user {login!r}", "nobody has this login name here")
            elif self._organization_id is None:
                await self._give_everywhere(login, found[key])
            else:
                await self._give_in(self._organization_id, login, found[key])

    async def _give_everywhere(self, login: str, user_id: uuid.UUID) -> None:
        held = select(UserRole.role_id).where(UserRole.user_id == user_id)
        for role in await self._to_give(login, user_id, held):
            self._session.add(
                UserRole(
                    user_id=user_id,
                    role_id=role.id,
                    created_at=self._now,
                    granted_by=self._change.actor_id,
                )
            )
            self._record_given(login, user_id, role)
        await self._session.flush()

    async def _give_in(self, organization_id: uuid.UUID, login: str, user_id: uuid.UUID) -> None:
        member, new = await self._enrolment.enroll(self._change, organization_id, user_id)
        if new:
            self._report.members.append(login)
        held = select(MembershipRole.role_id).where(
            MembershipRole.membership_id == member.membership_id
        )
        for role in await self._to_give(login, user_id, held):
            self._session.add(
                MembershipRole(
                    membership_id=member.membership_id,
                    role_id=role.id,
                    tenant_id=member.tenant_id,
                    created_at=self._now,
                    granted_by=self._change.actor_id,
                )
            )
            self._record_given(login, user_id, role)
        await self._session.flush()

    async def _to_give(self, login: str, user_id: uuid.UUID, held: Select[uuid.UUID]) -> list[Role]:
        """Return the roles that a user is to have and has not."""
        present = frozenset(await self._session.scalars(held))
        roles = [self._roles[name] for name in self._plan.assignments[login]]
        missing = [role for role in roles if role.id not in present]
        if self._denying.isdisjoint(role.id for role in missing):
            return missing
        try:
            await require_no_superuser(self._session, just_him(user_id), "role")
        except IssuerProblem:
            denying = [role for role in missing if role.id in self._denying]
            for role in denying:
                self._miss(
                    f"the role {role.name} of user {login!r}", "it denies, he is a superuser"
                )
            return [role for role in missing if role not in denying]
        return missing

    def _record_given(self, login: str, user_id: uuid.UUID, role: Role) -> None:
        self._report.assigned.append((login, role.name))
        where = {} if self._organization_id is None else {"organization": self._organization_id}
        self._change.record(
            EventTag.ROLE_ASSIGNED,
            f"user:{user_id}",
            after={"role": role.name, **where},
            tenant_id=self._tenant_id,
            affects_policy=False,
        )

    def _miss(self, what: str, why: str) -> None:
        self._report.without.append(WithoutCounterpart(what, why))


def _in_parts(logins: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(logins), AT_ONCE):
        yield logins[start : start + AT_ONCE]
