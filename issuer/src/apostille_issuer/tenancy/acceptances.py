"""Invitations, as those see them who got the letter: shown and accepted."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct, structs
from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.memberships import Member
from apostille_issuer.access.policy import Change
from apostille_issuer.access.service import AccessService
from apostille_issuer.accounts.authentication import Authenticated
from apostille_issuer.accounts.invited import InvitedAccounts, NewAccount
from apostille_issuer.accounts.names import InvalidLogin, LoginName, parse_login
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.branding import read_branding
from apostille_issuer.tenancy.extras import Extras
from apostille_issuer.tenancy.invitation_records import (
    require_active_with_reason,
    require_pending,
)
from apostille_issuer.tenancy.invitation_tokens import (
    InvalidInvitationToken,
    InvitationToken,
    InvitationTokens,
)
from apostille_issuer.tenancy.membership_rules import MembershipRules, find_membership
from apostille_issuer.tenancy.models import USERS, Invitation, Organization, Tenant
from apostille_issuer.tenancy.promises import Promises
from apostille_issuer.tenancy.schemas.invitations import Acceptance, Accepted, Offer
from apostille_issuer.tenancy.seats import require_seat_now

__all__ = ["Acceptances"]

ACCEPTED: Final = EventTag.INVITATION_ACCEPTED
REFUSED: Final = EventTag.INVITATION_REFUSED

_AUDITED: Final = frozenset(
    {
        ProblemCode.ADDRESS_MISMATCH,
        ProblemCode.ALREADY_A_MEMBER,
        ProblemCode.INVITATION_ENDED,
        ProblemCode.INVITATION_EXPIRED,
        ProblemCode.INVITATION_VOID,
        ProblemCode.LOGIN_TAKEN,
        ProblemCode.ORGANIZATION_INACTIVE,
        ProblemCode.SEATS_EXHAUSTED,
    }
)
"""Refusals that whoever administers the tenant should find in its trail."""


class _Invited(Struct, frozen=True):
    """An invitation that can be accepted, and to what."""

    row: Invitation
    organization: Organization
    tenant: Tenant

    @property
    def name(self) -> LoginName:
        return LoginName(self.row.email, self.row.email_key)


class _Bearer(Struct, frozen=True):
    """Whose access token came along."""

    user_id: uuid.UUID


_Proof = NewAccount | Authenticated | _Bearer
"""Who accepts, and how he showed that."""


class Acceptances:
    """What the token of a letter is good for. No route of these asks for a login.

    Everything about one acceptance happens in one transaction, under the
    policy lock: seats, membership and account are there together or not at all.
    """

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        access: AccessService,
        accounts: InvitedAccounts,
        promises: Promises,
        rules: MembershipRules,
        tokens: InvitationTokens,
    ) -> None:
        """Take what is needed.

        Args:
            database: Holds the invitations.
            clock: Tells whether one has expired.
            audit: Records acceptances, and most refusals.
            access: Changes rights.
            accounts: Makes accounts, and lets those that are there prove themselves.
            promises: Judges whether the inviter can keep his.
            rules: Writes memberships.
            tokens: Verifies what is in the letter.
        """
        self._database = database
        self._clock = clock
        self._audit = audit
        self._access = access
        self._accounts = accounts
        self._promises = promises
        self._rules = rules
        self._tokens = tokens

    async def show(self, token: str) -> Offer:
        """Return what a letter invites to.

        Raises:
            IssuerProblem: ``invalid_invitation``, ``invitation_ended``,
                ``invitation_expired``; ``organization_inactive``, saying why.
        """
        said = self._verified(token)
        async with self._database.read(EVERY_TENANT) as session:
            invited = await self._invited(session, said)
            account = exists().where(USERS.c.login_key == invited.row.email_key)
            account_exists = bool(await session.scalar(select(account)))
        return Offer(
            organization_id=invited.organization.id,
            organization=invited.organization.name,
            tenant_id=invited.tenant.id,
            tenant=invited.tenant.name,
            branding=read_branding(invited.tenant.branding),
            email=invited.row.email,
            expires_at=invited.row.expires_at,
            account_exists=account_exists,
        )

    async def accept(
        self, request: Acceptance, context: RequestContext, *, bearer: uuid.UUID | None
    ) -> Accepted:
        """Make whoever got the letter a member of what it invites to.

        Args:
            request: The token, and what proves who accepts.
            context: From where.
            bearer: The user whose access token came along, where *request*
                has no password.

        Raises:
            IssuerProblem: As :meth:`show`; ``address_mismatch``;
                ``already_a_member``; ``invitation_void``; ``seats_exhausted``;
                ``login_taken`` for a new account of one that is there;
                ``invalid_credentials``, ``session_ended``; ``validation_failed``;
                ``rate_limited``, ``overloaded``.
        """
        said = self._verified(request.token)
        async with self._database.read(EVERY_TENANT) as session:
            row = await session.get(Invitation, said.invitation_id)
        if row is None:
            raise IssuerProblem(ProblemCode.INVALID_INVITATION)
        context = structs.replace(context, actor_id=bearer, tenant_id=row.tenant_id)
        async with (
            self._accounts.attempt(row.email_key, context),
            self._auditing(row, context),
        ):
            proof = await self._proof(request, said, context, bearer)
            return await self._accept(said, proof, context)

    # Inside.

    def _verified(self, token: str) -> InvitationToken:
        try:
            return self._tokens.verify(token)
        except InvalidInvitationToken:
            raise IssuerProblem(ProblemCode.INVALID_INVITATION) from None

    async def _invited(
        self, session: AsyncSession, said: InvitationToken, *, lock: bool = False
    ) -> _Invited:
        """Return the invitation that *said* names, if it can be accepted now."""
        found = (
            select(Invitation, Organization, Tenant)
            .join(Organization, Organization.id == Invitation.organization_id)
            .join(Tenant, Tenant.id == Invitation.tenant_id)
            .where(Invitation.id == said.invitation_id)
        )
        if lock:
            found = found.with_for_update(of=Invitation)
        row = (await session.execute(found)).one_or_none()
        if row is None:
            raise IssuerProblem(ProblemCode.INVALID_INVITATION)
        invitation: Invitation = row.Invitation
        if invitation.generation != said.generation:
            raise IssuerProblem(ProblemCode.INVITATION_ENDED)
        require_pending(invitation, self._clock())
        await require_active_with_reason(session, invitation.organization_id)
        return _Invited(invitation, row.Organization, row.Tenant)

    async def _proof(
        self,
        request: Acceptance,
        said: InvitationToken,
        context: RequestContext,
        bearer: uuid.UUID | None,
    ) -> _Proof:
        """Return who accepts; what takes long is done here, outside of the transaction."""
        async with self._database.read(EVERY_TENANT) as session:
            name = (await self._invited(session, said)).name
            if request.password is not None and request.login is None:
                await self._accounts.require_none(session, name.key)
        if request.password is None:
            if bearer is None or request.login is not None:
                raise IssuerProblem.invalid_field("password", "required")
            return _Bearer(bearer)
        if request.login is None:
            return await self._accounts.draft(name, request.password)
        if _key_of(request.login) != name.key:
            raise IssuerProblem(ProblemCode.ADDRESS_MISMATCH)
        return await self._accounts.prove(request.login, request.password, context)

    async def _accept(
        self, said: InvitationToken, proof: _Proof, context: RequestContext
    ) -> Accepted:
        context = structs.replace(context, actor_id=_who(proof))
        target = f"invitation:{said.invitation_id}"
        async with self._access.change(context, ACCEPTED, target) as change:
            invited = await self._invited(change.session, said, lock=True)
            row = invited.row
            user_id = await self._settle_account(change.session, proof, row, context)
            await self._join(change, row, user_id, context)
            change.record(
                ACCEPTED,
                target,
                after={
                    "organization_id": row.organization_id,
                    "user_id": user_id,
                    "invited_by": row.invited_by,
                },
                tenant_id=row.tenant_id,
                affects_policy=False,
            )
        return Accepted(
            organization_id=row.organization_id,
            organization=invited.organization.name,
            tenant_id=row.tenant_id,
            user_id=user_id,
            account_created=isinstance(proof, NewAccount),
        )

    async def _settle_account(
        self, session: AsyncSession, proof: _Proof, row: Invitation, context: RequestContext
    ) -> uuid.UUID:
        """Return the account of who accepts, made or proven in this transaction."""
        if isinstance(proof, NewAccount):
            await self._accounts.require_none(session, row.email_key)
            return await self._accounts.add(session, proof, context)
        if isinstance(proof, Authenticated):
            user_id = await self._accounts.confirm(session, proof, context)
        else:
            user_id = proof.user_id
        await self._accounts.require_owner(session, user_id, row.email_key)
        return user_id

    async def _join(
        self, change: Change, row: Invitation, user_id: uuid.UUID, context: RequestContext
    ) -> None:
        """Write the membership that *row* promised, and that it was accepted."""
        session = change.session
        membership = await find_membership(session, row.organization_id, user_id)
        if membership is not None:
            detail = FieldError("membership", f"is {membership.state}")
            raise IssuerProblem(ProblemCode.ALREADY_A_MEMBER, errors=(detail,))
        member = Member(new_id(), row.tenant_id, row.organization_id, user_id)
        roles = await self._promises.keep(session, row, member, context)
        await require_seat_now(session, row.tenant_id, user_id)
        extras = Extras(row.plan, tuple(row.scopes))
        await self._rules.insert(session, member, roles, extras, granted_by=row.invited_by)
        # He may have stood there before, by a role that he has further up.
        await self._rules.rights_changed(change, member, roles)
        row.state, row.answered_at, row.accepted_by = "accepted", self._clock(), user_id
        change.record(
            EventTag.MEMBERSHIP_CREATED,
            f"organization:{row.organization_id}",
            after={
                "user_id": user_id,
                "state": "active",
                "roles": [role.name for role in roles],
                "plan": row.plan,
                "scopes": row.scopes,
            },
            tenant_id=row.tenant_id,
        )

    @asynccontextmanager
    async def _auditing(self, row: Invitation, context: RequestContext) -> AsyncIterator[None]:
        """Record a refusal in a transaction of its own: that of the acceptance is gone."""
        try:
            yield
        except IssuerProblem as problem:
            if problem.code in _AUDITED:
                async with self._database.begin(row.tenant_id) as session:
                    self._audit.record(
                        session,
                        REFUSED,
                        context=context,
                        target=f"invitation:{row.id}",
                        outcome="refused",
                        after={"code": problem.code.value},
                        tenant_id=row.tenant_id,
                    )
            raise


def _who(proof: _Proof) -> uuid.UUID:
    return proof.id if isinstance(proof, NewAccount) else proof.user_id


def _key_of(login: str) -> str | None:
    try:
        return parse_login(login).key
    except InvalidLogin:
        return None
