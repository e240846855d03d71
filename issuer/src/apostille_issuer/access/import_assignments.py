"""The second half of an import: who has its roles."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_issuer.access.holders import just_him
from apostille_issuer.access.import_roles import RoleImport
from apostille_issuer.access.memberships import Member
from apostille_issuer.access.models import MEMBERSHIPS, USERS, MembershipRole, Role, UserRole
from apostille_issuer.access.policy import Change
from apostille_issuer.access.schemas import ImportPlan, ImportReport, WithoutCounterpart
from apostille_issuer.access.superusers import require_no_superuser
from apostille_issuer.accounts.names import InvalidLogin, parse_login
from apostille_issuer.problems import IssuerProblem

__all__ = ["AssignmentImport", "Enrolment"]

AT_ONCE: Final = 500
"""Users looked up by one statement."""


class Enrolment(Protocol):
    """Makes users members: the rows are the tenancy's."""

    async def enroll(
        self, change: Change, organization_id: uuid.UUID, user_ids: Collection[uuid.UUID]
    ) -> tuple[dict[uuid.UUID, Member], frozenset[uuid.UUID]]:
        """Return the members that users are in an organization, and which were none before.

        Raises:
            IssuerProblem: ``seats_exhausted``.
        """


class AssignmentImport:
    """Gives users who exist here the roles of an import, in its transaction."""

    def __init__(  # noqa: PLR0913 - what an import shares, and the two it needs beside
        self,
        change: Change,
        plan: ImportPlan,
        report: ImportReport,
        now: datetime,
        *,
        imported: RoleImport,
        enrolment: Enrolment,
    ) -> None:
        """Take what there is to be, the roles, and who makes members."""
        self._change, self._plan, self._report, self._now = change, plan, report, now
        self._session: AsyncSession = change.session
        self._organization_id = plan.organization_id
        self._imported = imported
        self._enrolment = enrolment

    async def run(self) -> None:
        """Give them.

        Raises:
            IssuerProblem: ``seats_exhausted``.
        """
        for logins in _in_parts(sorted(self._plan.assignments)):
            await self._users(logins)

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
        there = {login: found[key] for login, key in keys.items() if key in found}
        for login in sorted(keys.keys() - there.keys()):
            self._miss(f"user {login!r}", "nobody has this login name here")
        if self._organization_id is None:
            await self._give_everywhere(there)
        else:
            await self._give_in(self._organization_id, there)
        await self._session.flush()

    async def _give_everywhere(self, users: Mapping[str, uuid.UUID]) -> None:
        held = select(UserRole.user_id, UserRole.role_id).where(
            UserRole.user_id.in_(users.values()), UserRole.role_id.in_(self._role_ids())
        )
        async for login, user_id, role in self._to_give(users, held):
            self._session.add(
                UserRole(
                    user_id=user_id,
                    role_id=role.id,
                    created_at=self._now,
                    granted_by=self._change.actor_id,
                )
            )
            self._record_given(login, user_id, role)

    async def _give_in(self, organization_id: uuid.UUID, users: Mapping[str, uuid.UUID]) -> None:
        members, new = await self._enrolment.enroll(
            self._change, organization_id, sorted(frozenset(users.values()))
        )
        self._report.members += [login for login, user_id in users.items() if user_id in new]
        held = (
            select(MEMBERSHIPS.c.user_id, MembershipRole.role_id)
            .join(MembershipRole, MembershipRole.membership_id == MEMBERSHIPS.c.id)
            .where(
                MEMBERSHIPS.c.organization_id == organization_id,
                MEMBERSHIPS.c.user_id.in_(users.values()),
            )
        )
        async for login, user_id, role in self._to_give(users, held):
            self._session.add(
                MembershipRole(
                    membership_id=members[user_id].membership_id,
                    role_id=role.id,
                    tenant_id=members[user_id].tenant_id,
                    created_at=self._now,
                    granted_by=self._change.actor_id,
                )
            )
            self._record_given(login, user_id, role)

    def _role_ids(self) -> list[uuid.UUID]:
        return [role.id for role in self._imported.roles.values()]

    async def _to_give(
        self, users: Mapping[str, uuid.UUID], held: Select[uuid.UUID, uuid.UUID]
    ) -> AsyncIterator[tuple[str, uuid.UUID, Role]]:
        """Yield the roles that users are to have and have not."""
        present = {(row[0], row[1]) for row in await self._session.execute(held)}
        for login, user_id in users.items():
            for role in (self._imported.roles[name] for name in self._plan.assignments[login]):
                if (user_id, role.id) in present:
                    continue
                present.add((user_id, role.id))  # two spellings of a login are one user
                if role.id in self._imported.denying and await self._is_superuser(user_id):
                    what = f"the role {role.name} of user {login!r}"
                    self._miss(what, "it denies, he is a superuser")
                    continue
                yield login, user_id, role

    async def _is_superuser(self, user_id: uuid.UUID) -> bool:
        try:
            await require_no_superuser(self._session, just_him(user_id), "role")
        except IssuerProblem:
            return True
        return False

    def _record_given(self, login: str, user_id: uuid.UUID, role: Role) -> None:
        self._report.assigned.append((login, role.name))
        where = {} if self._organization_id is None else {"organization": self._organization_id}
        self._change.record(
            EventTag.ROLE_ASSIGNED,
            f"user:{user_id}",
            after={"role": role.name, **where},
            tenant_id=self._imported.tenant_id,
            affects_policy=False,
        )

    def _miss(self, what: str, why: str) -> None:
        self._report.without.append(WithoutCounterpart(what, why))


def _in_parts(logins: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(logins), AT_ONCE):
        yield logins[start : start + AT_ONCE]
