"""Invitations, as administrators see them: sent, listed, sent again, revoked."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import structs
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.authority import authorize, reach_of
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.policy import Change
from apostille_issuer.access.service import AccessService
from apostille_issuer.accounts.names import InvalidLogin, LoginName, parse_login_prefix
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, page_of, uuid_of
from apostille_issuer.notifications.addresses import InvalidAddress, parse_address
from apostille_issuer.notifications.outbox import Outbox
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.quotas import require_fewer
from apostille_issuer.tenancy.extras import Extras, check_plan, check_scopes
from apostille_issuer.tenancy.invitation_records import (
    INVITATION_LETTER,
    in_state,
    require_active_with_reason,
    require_pace,
    role_ids,
    state_of,
    view_of,
)
from apostille_issuer.tenancy.models import USERS, Invitation, Membership, Organization
from apostille_issuer.tenancy.naming import LAST
from apostille_issuer.tenancy.promises import Promises
from apostille_issuer.tenancy.schemas.invitations import (
    InvitationDraft,
    InvitationFilter,
    InvitationView,
)
from apostille_issuer.tenancy.seats import require_seat

__all__ = ["Invitations"]

READ: Final = IssuerPermission.INVITATIONS_READ.value
WRITE: Final = IssuerPermission.INVITATIONS_WRITE.value

SENT: Final = EventTag.INVITATION_SENT
REVOKED: Final = EventTag.INVITATION_REVOKED


class Invitations:
    """Acts on invitations, each in a transaction of its own.

    They take turns with every other change of policy, so what was checked
    still holds when the row is written. Letters go out after the commit.
    """

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        *,
        access: AccessService,
        outbox: Outbox,
        promises: Promises,
        lifetime: timedelta,
        letters_per_day: int,
        pending_per_tenant: int,
    ) -> None:
        """Take what is needed.

        Args:
            database: Holds the invitations.
            clock: Dates them.
            access: Knows who may do what.
            outbox: Sends the letters.
            promises: Judges what they promise.
            lifetime: How long a letter is good.
            letters_per_day: How many one tenant may send within 24 hours.
            pending_per_tenant: How many of a tenant may wait for an answer.
        """
        self._database = database
        self._clock = clock
        self._access = access
        self._outbox = outbox
        self._promises = promises
        self._lifetime = lifetime
        self._letters_per_day = letters_per_day
        self._pending_per_tenant = pending_per_tenant

    async def page(
        self,
        organization_id: uuid.UUID,
        wanted: InvitationFilter,
        context: RequestContext,
        *,
        cursor: str | None,
        limit: int,
    ) -> Page[InvitationView]:
        """Return a page of invitations to an organization, newest first.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``;
                ``validation_failed`` for a cursor that is not ours, or what no
                address begins with.
        """
        now = self._clock()
        statement = (
            select(Invitation)
            .where(Invitation.organization_id == organization_id)
            .order_by(Invitation.id.desc())
            .limit(limit + 1)
        )
        if (last := uuid_of(cursor)) is not None:
            statement = statement.where(Invitation.id < last)
        if wanted.state is not None:
            statement = statement.where(in_state(wanted.state, now))
        if wanted.email:
            prefix = _checked_prefix(wanted.email)
            statement = statement.where(Invitation.email_key.between(prefix, prefix + LAST))
        async with self._database.read(reach_of(context)) as session:
            await authorize(session, context, organization_id, READ)
            rows = (await session.scalars(statement)).all()
            names = await self._names(session, rows)
        return page_of(
            rows, limit, view=lambda row: view_of(row, names, now), key=lambda row: row.id
        )

    async def get(
        self, organization_id: uuid.UUID, invitation_id: uuid.UUID, context: RequestContext
    ) -> InvitationView:
        """Return an invitation.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``.
        """
        async with self._database.read(reach_of(context)) as session:
            await authorize(session, context, organization_id, READ)
            row = await _find(session, organization_id, invitation_id)
            return view_of(row, await self._names(session, [row]), self._clock())

    async def invite(
        self, organization_id: uuid.UUID, draft: InvitationDraft, context: RequestContext
    ) -> InvitationView:
        """Invite whoever owns an address; he takes a seat from now on.

        An expired invitation to the same address is put away. One that is
        pending stands in the way: it is to be sent again, or revoked.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``;
                ``validation_failed``; ``organization_inactive``, saying why;
                ``already_a_member``; ``conflict``, naming the pending one, or
                that the tenant has as many pending ones as it may have;
                ``rate_limited``; ``seats_exhausted``; ``grant_exceeds_own``;
                ``protected``; ``platform_only`` for a plan that a tenant's
                administrator names.
        """
        address = _checked_address(draft.email)
        extras = Extras(check_plan(draft.plan), check_scopes(draft.scopes))
        invitation_id, now = new_id(), self._clock()
        async with self._change(context, SENT, invitation_id) as change:
            session = change.session
            roles = await self._promises.check(
                session, context, organization_id, roles=draft.roles, extras=extras
            )
            await require_active_with_reason(session, organization_id)
            organization = await session.get_one(Organization, organization_id)
            await _require_no_member(session, organization_id, address.key)
            await _make_room(session, organization_id, address.key, now)
            await require_pace(
                session, organization.tenant_id, address.key, now, most=self._letters_per_day
            )
            await self._require_fewer(session, organization.tenant_id, now)
            await require_seat(session, organization.tenant_id, now, email_key=address.key)
            row = Invitation(
                id=invitation_id,
                tenant_id=organization.tenant_id,
                organization_id=organization_id,
                email=address.text,
                email_key=address.key,
                generation=0,
                state="pending",
                roles=[str(role.id) for role in roles],
                plan=extras.plan,
                scopes=list(extras.scopes),
                invited_by=context.actor_id,
                created_at=now,
                queued_at=now,
                delivery="waiting",
                expires_at=now + self._lifetime,
            )
            session.add(row)
            await session.flush()
            self._outbox.queue(session, INVITATION_LETTER, invitation_id)
            view = view_of(row, {role.id: role.name for role in roles}, now)
            _record(change, SENT, row, after=_audited(view))
        return view

    async def resend(
        self, organization_id: uuid.UUID, invitation_id: uuid.UUID, context: RequestContext
    ) -> InvitationView:
        """Send another letter, good for the whole lifetime again; those before are void.

        One that has expired is pending again by it, and takes a seat again.
        Whoever sends a letter must be able to promise what it promises, and
        it is his rights that count when it is accepted.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``;
                ``invitation_ended``; ``organization_inactive``; ``rate_limited``;
                ``seats_exhausted``; ``conflict``: the tenant has as many pending
                ones as it may have; ``validation_failed``,
                ``grant_exceeds_own`` and ``platform_only`` as for :meth:`invite`.
        """
        now = self._clock()
        async with self._change(context, SENT, invitation_id) as change:
            session = change.session
            await authorize(session, context, organization_id, WRITE)
            row = await _find(session, organization_id, invitation_id)
            _require_unanswered(row)
            await self._promises.check(
                session,
                context,
                organization_id,
                roles=row.roles,
                extras=Extras(row.plan, tuple(row.scopes)),
            )
            await require_active_with_reason(session, organization_id)
            await require_pace(
                session, row.tenant_id, row.email_key, now, most=self._letters_per_day
            )
            if state_of(row, now) != "pending":
                await self._require_fewer(session, row.tenant_id, now)
            await require_seat(session, row.tenant_id, now, email_key=row.email_key)
            names = await self._names(session, [row])
            before = view_of(row, names, now)
            row.generation += 1
            row.invited_by = context.actor_id
            row.queued_at, row.delivery, row.sent_at = now, "waiting", None
            row.expires_at = now + self._lifetime
            await session.flush()
            self._outbox.queue(session, INVITATION_LETTER, row.id, row.generation)
            view = view_of(row, names, now)
            _record(change, SENT, row, before=_audited(before), after=_audited(view))
        return view

    async def revoke(
        self, organization_id: uuid.UUID, invitation_id: uuid.UUID, context: RequestContext
    ) -> None:
        """Make an invitation void; revoking it twice changes nothing.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``;
                ``invitation_ended``: it was accepted.
        """
        now = self._clock()
        async with self._change(context, REVOKED, invitation_id) as change:
            await authorize(change.session, context, organization_id, WRITE)
            row = await _find(change.session, organization_id, invitation_id)
            if row.state == "revoked":
                return
            _require_unanswered(row)
            before = {"state": state_of(row, now)}
            row.state, row.answered_at = "revoked", now
            _record(change, REVOKED, row, before=before, after={"state": "revoked"})

    # Inside.

    def _change(
        self, context: RequestContext, tag: EventTag, invitation_id: uuid.UUID
    ) -> AbstractAsyncContextManager[Change]:
        return self._access.change(context, tag, _target(invitation_id))

    async def _require_fewer(
        self, session: AsyncSession, tenant_id: uuid.UUID, now: datetime
    ) -> None:
        pending = select(Invitation.id).where(
            Invitation.tenant_id == tenant_id, in_state("pending", now)
        )
        await require_fewer(session, pending, self._pending_per_tenant, field="invitations")

    async def _names(
        self, session: AsyncSession, rows: Sequence[Invitation]
    ) -> dict[uuid.UUID, str]:
        wanted = {ident for row in rows for ident in role_ids(row)}
        return await self._access.members.names_of(session, wanted)


async def _find(
    session: AsyncSession, organization_id: uuid.UUID, invitation_id: uuid.UUID
) -> Invitation:
    found = select(Invitation).where(
        Invitation.id == invitation_id, Invitation.organization_id == organization_id
    )
    row = await session.scalar(found)
    if row is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return row


def _require_unanswered(row: Invitation) -> None:
    """Return if *row* waits for an answer, in time or not."""
    if row.state != "pending":
        raise IssuerProblem(ProblemCode.INVITATION_ENDED)


async def _require_no_member(
    session: AsyncSession, organization_id: uuid.UUID, email_key: str
) -> None:
    member = (
        select(Membership.id)
        .join(USERS, USERS.c.id == Membership.user_id)
        .where(Membership.organization_id == organization_id, USERS.c.login_key == email_key)
    )
    if await session.scalar(member) is not None:
        raise IssuerProblem(ProblemCode.ALREADY_A_MEMBER)


async def _make_room(
    session: AsyncSession, organization_id: uuid.UUID, email_key: str, now: datetime
) -> None:
    """Put an expired invitation away, and refuse where one is pending."""
    found = select(Invitation).where(
        Invitation.organization_id == organization_id,
        Invitation.email_key == email_key,
        Invitation.state == "pending",
    )
    row = await session.scalar(found)
    if row is None:
        return
    if state_of(row, now) == "pending":
        detail = f"is invited already: resend or revoke invitation {row.id}"
        raise IssuerProblem(ProblemCode.CONFLICT, errors=(FieldError("email", detail),))
    row.state = "expired"
    await session.flush()


def _checked_address(email: str) -> LoginName:
    try:
        return parse_address(email)
    except InvalidAddress as error:
        raise IssuerProblem.invalid_field("email", str(error)) from error


def _checked_prefix(email: str) -> str:
    try:
        return parse_login_prefix(email)
    except InvalidLogin as error:
        raise IssuerProblem.invalid_field("email", str(error)) from error


def _record(
    change: Change,
    tag: EventTag,
    row: Invitation,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any],
) -> None:
    change.record(
        tag,
        _target(row.id),
        before=before,
        after=after,
        tenant_id=row.tenant_id,
        affects_policy=False,
    )


def _audited(view: InvitationView) -> dict[str, Any]:
    fields = ("organization_id", "email", "state", "roles", "plan", "scopes", "expires_at")
    return {name: value for name, value in structs.asdict(view).items() if name in fields}


def _target(invitation_id: uuid.UUID) -> str:
    return f"invitation:{invitation_id}"
