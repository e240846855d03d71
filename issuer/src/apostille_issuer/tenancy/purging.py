"""Purging deleted tenants: what time does to them, and an operator may do sooner."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final

from sqlalchemy import Select, TableClause, Uuid, column, delete, or_, select, table

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.service import AccessService
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clock import Clock, SettledClock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import SCHEDULED, RequestContext
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.purging import BELIEVED_AFTER
from apostille_issuer.sessions.ending import Ending, EndReason, SessionEnder
from apostille_issuer.tenancy.models import Organization, Tenant
from apostille_issuer.tenancy.tenant_records import find_tenant, organizations_of

__all__ = ["TenantPurge"]

PURGE_SECONDS: Final = 600
"""How often a serving process looks for tenants whose grace is over."""

PURGE_ROWS: Final = 500
"""Rows deleted in one transaction: no login waits for more."""

logger = logging.getLogger(__name__)


def _rows(name: str) -> TableClause:
    return table(name, column("id", Uuid), column("tenant_id", Uuid))


ORGANIZATIONS: Final = _rows("organizations")
MEMBERSHIPS: Final = _rows("memberships")
INVITATIONS: Final = _rows("invitations")
USERS: Final = table("users", column("id", Uuid))
ACCOUNTS: Final = _rows("service_accounts")
SESSIONS: Final = _rows("sessions")
ROLES: Final = _rows("roles")
"""What must be known here of the last four, which are other domains': which rows go."""


class TenantPurge:
    """Removes deleted tenants for good, with everything of theirs but the audit trail.

    Rows go a few at a time, so that nobody else waits, and any number of
    processes may be at it.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        access: AccessService,
        ender: SessionEnder,
    ) -> None:
        """Take where tenants are, and who ends what is left of their sessions."""
        self._database = database
        self._clock = clock
        self._audit = audit
        self._access = access
        self._ender = ender
        self._stop = asyncio.Event()

    async def purge_due(
        self, context: RequestContext = SCHEDULED, *, now: datetime | None = None
    ) -> int:
        """Purge the tenants whose grace is over, and return how many those were.

        Args:
            context: Who does it.
            now: The present, if not what the clock says.
        """
        now = now or self._clock()
        # Without a date it has begun, and was broken off.
        over = or_(Tenant.purge_at <= now, Tenant.purge_at.is_(None))
        due = select(Tenant.id).where(Tenant.state == "deleted", over)
        async with self._database.read(EVERY_TENANT) as session:
            tenants = (await session.scalars(due)).all()
        return sum([await self._purge(tenant_id, context, due_at=now) for tenant_id in tenants])

    async def purge(self, tenant_id: uuid.UUID, context: RequestContext) -> None:
        """Purge a deleted tenant now, whatever is left of its grace.

        Raises:
            IssuerProblem: ``not_found``; ``conflict`` if it is not deleted.
        """
        if not await self._purge(tenant_id, context):
            raise IssuerProblem(ProblemCode.NOT_FOUND)

    @asynccontextmanager
    async def purging(self) -> AsyncIterator[None]:
        """Look for what is due, now and again and again, for as long as the block runs.

        At its end the transaction under way is finished; what is left to be
        deleted is gone on with at the next look, by whichever process. A clock
        that is set forward meanwhile is believed a day later.
        """
        self._stop.clear()
        task = asyncio.create_task(self._keep_purging())
        try:
            yield
        finally:
            self._stop.set()
            await task

    async def _keep_purging(self) -> None:
        settled = SettledClock(self._clock, BELIEVED_AFTER)
        while not self._stop.is_set():
            try:
                await self.purge_due(now=settled())
            except IssuerProblem as problem:
                logger.warning("cannot purge deleted tenants: %s", problem)
            except Exception:
                # Nothing may end this task before its time: nothing would ever be purged again.
                logger.exception("purging deleted tenants failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), PURGE_SECONDS)

    async def _purge(
        self, tenant_id: uuid.UUID, context: RequestContext, *, due_at: datetime | None = None
    ) -> bool:
        """Say whether the tenant is gone by this; with *due_at* only if its grace is over then."""
        if not await self._begin(tenant_id, context, due_at):
            return False
        for rows in _rows_of(tenant_id):
            if not await self._delete(tenant_id, *rows):
                return False
        async with self._database.begin(EVERY_TENANT) as session:
            gone = delete(Tenant).where(Tenant.id == tenant_id).returning(Tenant.name)
            name = await session.scalar(gone)
            if name is None:
                return False
            self._audit.record(
                session,
                EventTag.TENANT_PURGED,
                context=context,
                target=_target(tenant_id),
                before={"name": name},
                tenant_id=tenant_id,
            )
        return True

    async def _begin(
        self, tenant_id: uuid.UUID, context: RequestContext, due_at: datetime | None
    ) -> bool:
        """End what sessions there are, and leave no way back."""
        target = _target(tenant_id)
        async with self._access.change(context, EventTag.TENANT_PURGED, target) as change:
            try:
                tenant = await find_tenant(change.session, tenant_id, lock=True)
            except IssuerProblem:
                return False
            if due_at is None and tenant.state != "deleted":
                raise IssuerProblem(ProblemCode.CONFLICT)
            # It may have been restored, or be new in this state, since we looked.
            if due_at is not None and not _is_due(tenant, due_at):
                return False
            tenant.purge_at = None
            ending = Ending(EndReason.ORGANIZATION_INACTIVE, self._clock(), context)
            await change.session.flush()
            within = organizations_of(tenant_id)
            await self._ender.end_in(change.session, within, ending, target=target)
        return True

    async def _delete(
        self, tenant_id: uuid.UUID, rows: TableClause, found: Select[uuid.UUID]
    ) -> bool:
        """Delete the *rows* that are *found*, a few in each transaction, and say whether all are.

        They are not if the process is to end.
        """
        few = found.limit(PURGE_ROWS).with_for_update(skip_locked=True)
        while not self._stop.is_set():
            async with self._database.begin(tenant_id) as session:
                ids = (await session.scalars(few)).all()
                if ids:
                    await session.execute(delete(rows).where(rows.c.id.in_(ids)))
            if len(ids) < PURGE_ROWS:
                return True
        return False


def _is_due(tenant: Tenant, now: datetime) -> bool:
    return tenant.state == "deleted" and (tenant.purge_at is None or tenant.purge_at <= now)


def _rows_of(tenant_id: uuid.UUID) -> list[tuple[TableClause, Select[uuid.UUID]]]:
    """Return the tables to be emptied, in order, and what finds a tenant's rows in them.

    What is in no table here goes with something that is: roles of members with
    memberships, grants with roles, keys with service accounts.
    """

    def all_in(rows: TableClause) -> Select[uuid.UUID]:
        return select(rows.c.id).where(rows.c.tenant_id == tenant_id).order_by(rows.c.id)

    accounts = select(ACCOUNTS.c.id).where(ACCOUNTS.c.tenant_id == tenant_id)
    deepest_first = organizations_of(tenant_id).order_by(Organization.depth.desc())
    return [
        (SESSIONS, all_in(SESSIONS)),
        (INVITATIONS, all_in(INVITATIONS)),
        (MEMBERSHIPS, all_in(MEMBERSHIPS)),
        (ROLES, all_in(ROLES)),
        # An account is a user too, whom nothing else holds.
        (USERS, select(USERS.c.id).where(USERS.c.id.in_(accounts)).order_by(USERS.c.id)),
        (ORGANIZATIONS, deepest_first),
    ]


def _target(tenant_id: uuid.UUID) -> str:
    return f"tenant:{tenant_id}"
