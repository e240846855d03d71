"""One change of policy at a time: lock, act, audit, new revision."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final, Protocol

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.permissions import EVERYTHING
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.holders import Holders, Places
from apostille_issuer.access.models import (
    MEMBERSHIPS,
    USERS,
    MembershipRole,
    PolicyRevision,
    RoleGrant,
    UserRole,
)
from apostille_issuer.access.rights import NO_RIGHTS, Rights
from apostille_issuer.audit.service import AuditTrail, Details
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database, Statements
from apostille_issuer.db.reach import EVERY_TENANT, Reach
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem

__all__ = [
    "Change",
    "Policy",
    "RightsWatch",
    "hold_policy",
    "lock_policy",
    "require_held",
    "require_may_manage",
    "rights_of",
]

_AUDITED_REFUSALS: Final = frozenset(
    {
        ProblemCode.GRANT_EXCEEDS_OWN,
        ProblemCode.LAST_ADMINISTRATOR,
        ProblemCode.LAST_SUPERUSER,
        ProblemCode.PROTECTED,
    }
)
"""Attempts to go around a control are events of their own (OWASP ASVS V16.3.3)."""


async def lock_policy(session: AsyncSession) -> PolicyRevision:
    """Return the revision, locked until the transaction of *session* ends.

    Whoever changes roles, grants, assignments, the catalogue or services takes
    this lock before it looks at anything, so that what it checked still holds
    when it writes. On SQLite the write transaction is that lock already.
    """
    row = await session.scalar(select(PolicyRevision).with_for_update())
    if row is None:
        raise LookupError("the policy has not been seeded")
    return row


def hold_policy(statements: Statements) -> None:
    """Keep policy as it is until the transaction of *statements* ends; any number may.

    It comes before any lock on a user, as :func:`lock_policy` does.
    """
    statements.execute(_HOLD)


_HOLD = select(PolicyRevision.id).with_for_update(read=True)


class RightsWatch(Protocol):
    """Who has to know when somebody's rights change: tokens say what they were."""

    async def rights_changed(
        self,
        session: AsyncSession,
        users: Select[uuid.UUID] | None,
        within: Select[uuid.UUID] | None = None,
        *,
        places: Places | None = None,
    ) -> None:
        """Void what says otherwise, in the transaction that changes the rights of *users*.

        Args:
            session: That transaction.
            users: Whose rights change; ``None`` for nobody but those of *places*.
            within: The organizations in which they do; everywhere, by default.
            places: Users, each with an organization in which his rights change as well.
        """


async def rights_of(session: AsyncSession, user_id: uuid.UUID | None) -> Rights:
    """Return what a user holds now.

    Nothing for nobody, an unknown one, or one who is disabled, whatever his
    last token says.
    """
    if user_id is None:
        return NO_RIGHTS
    statement = (
        select(RoleGrant.grant, RoleGrant.effect)
        .join(UserRole, UserRole.role_id == RoleGrant.role_id)
        .join(USERS, USERS.c.id == UserRole.user_id)
        .where(UserRole.user_id == user_id, USERS.c.state == "active")
    )
    return Rights.of((grant, effect) for grant, effect in await session.execute(statement))


async def require_may_manage(
    session: AsyncSession, actor_id: uuid.UUID | None, users: Select[uuid.UUID]
) -> None:
    """Let nobody act on an account that has more rights over the issuer than his.

    The actor must hold every right under ``iam`` that one of *users* is
    allowed, disabled ones included: they may be enabled next. For a superuser
    that means to be one. What they are allowed in an organization counts as
    well: who sets an administrator's password can become him. Everybody may
    act on himself.

    Raises:
        IssuerProblem: ``grant_exceeds_own``, naming what is missing.
    """
    over_issuer = or_(RoleGrant.grant == EVERYTHING, RoleGrant.grant.startswith("iam."))
    everywhere = select(UserRole.role_id).where(
        UserRole.user_id.in_(users), UserRole.user_id != actor_id
    )
    by_membership = (
        select(MembershipRole.role_id)
        .join(MEMBERSHIPS, MEMBERSHIPS.c.id == MembershipRole.membership_id)
        .where(MEMBERSHIPS.c.user_id.in_(users), MEMBERSHIPS.c.user_id != actor_id)
    )
    statement = (
        select(RoleGrant.grant)
        .where(or_(RoleGrant.role_id.in_(everywhere), RoleGrant.role_id.in_(by_membership)))
        .where(RoleGrant.effect == "allow", over_issuer)
        .distinct()
    )
    if held := (await session.scalars(statement)).all():
        own = await rights_of(session, actor_id)
        if missing := own.missing(held):
            raise IssuerProblem(ProblemCode.GRANT_EXCEEDS_OWN, missing=missing)


def require_held(own: Rights, grants: Iterable[str]) -> None:
    """Let nobody hand on what he does not hold.

    Raises:
        IssuerProblem: ``grant_exceeds_own``, naming what is missing.
    """
    if missing := own.missing(grants):
        raise IssuerProblem(ProblemCode.GRANT_EXCEEDS_OWN, missing=missing)


class Change:
    """A change of policy under way."""

    def __init__(
        self,
        session: AsyncSession,
        audit: AuditTrail,
        watch: RightsWatch,
        context: RequestContext,
    ) -> None:
        """Act in the transaction of *session*, for whom *context* names."""
        self.session = session
        self.new_revision = False
        self.context = context
        self._audit = audit
        self._watch = watch

    @property
    def actor_id(self) -> uuid.UUID | None:
        """Who acts."""
        return self.context.actor_id

    async def require(self, grants: frozenset[str]) -> None:
        """Let nobody hand on what he does not hold.

        The rights compared are those in the database now, not those of the
        token, which may be narrowed to an audience or older than a change.

        Raises:
            IssuerProblem: ``grant_exceeds_own``, naming what is missing.
        """
        if not grants:
            return
        own = await rights_of(self.session, self.context.actor_id)
        require_held(own, grants)

    async def require_may_manage(self, users: Select[uuid.UUID]) -> None:
        """Let nobody change what those may do who have more rights over the issuer than he.

        Raises:
            IssuerProblem: ``grant_exceeds_own``, naming what is missing.
        """
        await require_may_manage(self.session, self.context.actor_id, users)

    async def rights_changed(
        self, users: Select[uuid.UUID] | Holders, within: Select[uuid.UUID] | None = None
    ) -> None:
        """Void the access tokens of whoever *users* finds, now, for this change.

        With *within*, those alone that speak for one of these organizations.
        Of those who hold something by membership, those alone that speak for
        an organization in which they do.
        """
        if isinstance(users, Holders):
            await self._watch.rights_changed(
                self.session, users.everywhere, within, places=users.places
            )
        else:
            await self._watch.rights_changed(self.session, users, within)

    def record(  # noqa: PLR0913 - the columns of a row, by name
        self,
        tag: EventTag,
        target: str,
        *,
        before: Details | None = None,
        after: Details | None = None,
        tenant_id: uuid.UUID | None = None,
        affects_policy: bool = True,
    ) -> None:
        """Write what was done into the audit trail, in the same transaction.

        Args:
            tag: What was done.
            target: On what.
            before: Its state before.
            after: Its state now.
            tenant_id: Whose it is, in whose trail it is then; by default that of
                whom the actor speaks for.
            affects_policy: Whether what follows from roles, catalogue and
                services may have changed, so that cached results are void.
        """
        self._audit.record(
            self.session,
            tag,
            context=self.context,
            target=target,
            before=before,
            after=after,
            tenant_id=tenant_id,
        )
        self.new_revision = self.new_revision or affects_policy


class Policy:
    """Opens the transactions that change policy."""

    def __init__(
        self, database: Database, clock: Clock, audit: AuditTrail, watch: RightsWatch
    ) -> None:
        """Take what every change needs."""
        self.database = database
        self.clock = clock
        self._audit = audit
        self._watch = watch

    @asynccontextmanager
    async def change(
        self,
        context: RequestContext,
        tag: EventTag,
        target: str,
        *,
        reach: Reach = EVERY_TENANT,
    ) -> AsyncIterator[Change]:
        """Open a locked transaction in which policy may change.

        Args:
            context: Who acts, from where.
            tag: What is attempted: if it is refused for want of rights, that
                is recorded in a transaction of its own.
            target: On what.
            reach: The tenant whose policy may change, and no other's; all, by default.
        """
        try:
            async with self.database.begin(reach) as session:
                revision = await lock_policy(session)
                change = Change(session, self._audit, self._watch, context)
                yield change
                if change.new_revision:
                    revision.revision = new_id()
        except IssuerProblem as problem:
            if problem.code in _AUDITED_REFUSALS:
                await self._record_refusal(context, tag, target, problem)
            raise

    async def _record_refusal(
        self, context: RequestContext, tag: EventTag, target: str, problem: IssuerProblem
    ) -> None:
        async with self.database.begin(context.tenant_id) as session:
            self._audit.record(
                session,
                tag,
                context=context,
                target=target,
                outcome="refused",
                after={"code": problem.code.value, "missing": list(problem.missing)},
            )
