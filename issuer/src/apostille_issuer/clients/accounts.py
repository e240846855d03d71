"""Service accounts: subjects that are no people."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.authority import reach_of
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.naming import check_text
from apostille_issuer.access.policy import Change
from apostille_issuer.access.service import AccessService
from apostille_issuer.access.standing_in import AccountPlace, authorize_at, require_may_manage_at
from apostille_issuer.accounts.service_subjects import (
    add_subject,
    remove_subject,
    set_subject_state,
)
from apostille_issuer.clients.models import USERS, ServiceAccount
from apostille_issuer.clients.schemas import (
    ServiceAccountDraft,
    ServiceAccountFilter,
    ServiceAccountPatch,
    ServiceAccountView,
)
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, page_of, uuid_of
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.quotas import require_fewer
from apostille_issuer.sessions.ending import Ending, EndReason, SessionEnder
from apostille_issuer.tenancy.naming import check_name
from apostille_issuer.tenancy.service_members import enroll_service_account

__all__ = ["ServiceAccounts", "find_account", "target_of"]

READ = IssuerPermission.CLIENTS_READ.value
WRITE = IssuerPermission.CLIENTS_WRITE.value


class ServiceAccounts:
    """Creates, shows, changes and deletes service accounts.

    One of an organization is shown to, and changed by, who holds the
    permission there; one of the platform, who holds it for the platform.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        access: AccessService,
        ender: SessionEnder,
        per_tenant: int,
    ) -> None:
        """Take what these acts need, and how many a tenant may have."""
        self._database = database
        self._clock = clock
        self._access = access
        self._ender = ender
        self._per_tenant = per_tenant

    async def page(
        self,
        wanted: ServiceAccountFilter,
        context: RequestContext,
        *,
        cursor: str | None,
        limit: int,
    ) -> Page[ServiceAccountView]:
        """Return a page of service accounts, in the order they were created in.

        Those of one organization: by default the one that the actor speaks
        for. Who speaks for none sees all of them.

        Raises:
            IssuerProblem: ``not_found`` for the organization;
                ``permission_denied``; ``validation_failed`` for a cursor that is not ours.
        """
        organization_id = wanted.organization_id or context.organization_id
        statement = _ACCOUNTS.order_by(ServiceAccount.id).limit(limit + 1)
        if (last := uuid_of(cursor)) is not None:
            statement = statement.where(ServiceAccount.id > last)
        if organization_id is not None:
            statement = statement.where(ServiceAccount.organization_id == organization_id)
        async with self._database.read(reach_of(context)) as session:
            await authorize_at(session, context, organization_id, READ)
            rows = (await session.execute(statement)).all()
        return page_of(
            rows,
            limit,
            view=lambda row: _view(row.ServiceAccount, row.state),
            key=lambda row: row.ServiceAccount.id,
        )

    async def get(self, account_id: uuid.UUID, context: RequestContext) -> ServiceAccountView:
        """Return a service account.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``.
        """
        async with self._database.read(reach_of(context)) as session:
            account, state = await find_account(session, account_id, context)
            await authorize_at(session, context, account.organization_id, READ)
        return _view(account, state)

    async def create(
        self, draft: ServiceAccountDraft, context: RequestContext
    ) -> ServiceAccountView:
        """Create a service account, and the membership in its organization.

        Raises:
            IssuerProblem: ``validation_failed``, naming the field;
                ``not_found`` for the organization; ``permission_denied``;
                ``conflict``: the tenant has as many as it may have.
        """
        name = check_name("name", draft.name).text
        description = check_text("description", draft.description)
        account_id, now = new_id(), self._clock()
        organization_id = draft.organization_id or context.organization_id
        tag, target = EventTag.SERVICE_ACCOUNT_CREATED, target_of(account_id)
        async with self._access.change(context, tag, target) as change:
            session = change.session
            await authorize_at(session, context, organization_id, WRITE)
            await add_subject(session, account_id, now)
            tenant_id = None
            if organization_id is not None:
                tenant_id = await enroll_service_account(session, organization_id, account_id, now)
                existing = select(ServiceAccount.id).where(ServiceAccount.tenant_id == tenant_id)
                await require_fewer(session, existing, self._per_tenant, field="service_accounts")
            account = ServiceAccount(
                id=account_id,
                tenant_id=tenant_id,
                organization_id=organization_id,
                name=name,
                description=description,
                created_at=now,
                updated_at=now,
            )
            session.add(account)
            await session.flush()
            view = _view(account, "active")
            change.record(
                tag, target, after=_audited(view), tenant_id=tenant_id, affects_policy=False
            )
        return view

    async def update(
        self, account_id: uuid.UUID, patch: ServiceAccountPatch, context: RequestContext
    ) -> ServiceAccountView:
        """Replace the fields of a service account that *patch* names.

        Raises:
            IssuerProblem: ``not_found``; ``permission_denied``;
                ``validation_failed``; ``grant_exceeds_own`` for an account that
                has more rights over the issuer than the actor.
        """
        tag, target = EventTag.SERVICE_ACCOUNT_UPDATED, target_of(account_id)
        async with self._access.change(context, tag, target) as change:
            session = change.session
            account, state = await find_account(session, account_id, context)
            place = AccountPlace(account.id, account.organization_id)
            await require_may_manage_at(session, context, place, WRITE)
            before = _view(account, state)
            if patch.name is not UNSET:
                account.name = check_name("name", patch.name).text
            if patch.description is not UNSET:
                account.description = check_text("description", patch.description)
            after = _view(account, state if patch.state is UNSET else patch.state)
            if after == before:
                return before
            account.updated_at = self._clock()
            await session.flush()
            if after.state != before.state:
                await set_subject_state(session, account_id, after.state, account.updated_at)
            if after.state == "disabled" != before.state:
                await self._void(session, account, EndReason.USER_DISABLED, context)
            change.record(
                tag,
                target,
                before=_audited(before),
                after=_audited(after),
                tenant_id=account.tenant_id,
                affects_policy=False,
            )
            return _view(account, after.state)

    async def delete(self, account_id: uuid.UUID, context: RequestContext) -> None:
        """Delete a service account with its keys, roles and memberships; its tokens are void.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``, ``grant_exceeds_own``.
        """
        tag, target = EventTag.SERVICE_ACCOUNT_DELETED, target_of(account_id)
        async with self._access.change(context, tag, target) as change:
            session = change.session
            account, state = await find_account(session, account_id, context)
            place = AccountPlace(account.id, account.organization_id)
            await require_may_manage_at(session, context, place, WRITE)
            before, tenant_id = _audited(_view(account, state)), account.tenant_id
            await self._access.record_departures(session, [account_id], context)
            await self._void(session, account, EndReason.USER_DELETED, context)
            session.expunge(account)  # it goes with the user
            await remove_subject(session, account_id)
            change.record(tag, target, before=before, tenant_id=tenant_id, affects_policy=False)

    async def remove_in(self, change: Change, organizations: Select[uuid.UUID]) -> None:
        """Delete the service accounts of *organizations*, which are deleted themselves.

        Whoever may delete the organization may do that. Their tokens speak
        for it alone, so they are void already.

        Args:
            change: The transaction, in which what speaks for these
                organizations has ended.
            organizations: Finds them.
        """
        session, tag = change.session, EventTag.SERVICE_ACCOUNT_DELETED
        statement = _ACCOUNTS.where(ServiceAccount.organization_id.in_(organizations))
        rows = (await session.execute(statement.order_by(ServiceAccount.id))).all()
        accounts = [row.ServiceAccount.id for row in rows]
        await self._access.record_departures(session, accounts, change.context)
        for row in rows:
            account: ServiceAccount = row.ServiceAccount
            before, tenant_id = _audited(_view(account, row.state)), account.tenant_id
            change.record(
                tag,
                target_of(account.id),
                before=before,
                tenant_id=tenant_id,
                affects_policy=False,
            )
            session.expunge(account)  # it goes with the user
        for account_id in accounts:
            await remove_subject(session, account_id)

    async def _void(
        self,
        session: AsyncSession,
        account: ServiceAccount,
        reason: EndReason,
        context: RequestContext,
    ) -> None:
        ending = Ending(reason, self._clock(), context)
        await self._ender.end_all(session, account.id, ending)


async def find_account(
    session: AsyncSession, account_id: uuid.UUID, context: RequestContext
) -> tuple[ServiceAccount, str]:
    """Return a service account and its state; whether the actor may know of it is not checked.

    Raises:
        IssuerProblem: ``not_found``; there is none, or it is another tenant's.
    """
    statement = _ACCOUNTS.where(ServiceAccount.id == account_id)
    row = (await session.execute(statement)).one_or_none()
    if row is None or context.tenant_id not in (None, row.ServiceAccount.tenant_id):
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return row.ServiceAccount, row.state


_ACCOUNTS: Select[Any] = select(ServiceAccount, USERS.c.state).join(
    USERS, USERS.c.id == ServiceAccount.id
)


def target_of(account_id: uuid.UUID) -> str:
    """Return what the audit trail calls a service account."""
    return f"service_account:{account_id}"


def _view(account: ServiceAccount, state: str) -> ServiceAccountView:
    fields = {
        name: getattr(account, name)
        for name in ServiceAccountView.__struct_fields__
        if name != "state"
    }
    return msgspec.convert({**fields, "state": state}, ServiceAccountView)


def _audited(view: ServiceAccountView) -> dict[str, Any]:
    return {
        "organization_id": view.organization_id,
        "name": view.name,
        "description": view.description,
        "state": view.state,
    }
