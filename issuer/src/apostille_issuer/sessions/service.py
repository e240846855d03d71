"""Sessions: login, refresh, logout."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Final, cast

import msgspec
from sqlalchemy import Connection, Table, insert

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.authentication import Authenticator, Superseded
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.keys.service import KeyService
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.chain import Use
from apostille_issuer.sessions.ending import Ending, EndReason, SessionEnder
from apostille_issuer.sessions.mint import Bearer
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.sessions.queue import RefreshQueue
from apostille_issuer.sessions.refresh_tokens import InvalidRefreshToken, RefreshTokens
from apostille_issuer.sessions.rights import RightsReader
from apostille_issuer.sessions.schemas import LoginRequest, TokenSet
from apostille_issuer.sessions.store import Ask, Renewal
from apostille_issuer.sessions.switching import OrganizationSwitch
from apostille_issuer.status.allocation import IndexAllocator
from apostille_issuer.status.schemas import StatusIndex
from apostille_issuer.tenancy.homes import Homes

__all__ = ["SessionService"]

AMR_PASSWORD = ("pwd",)
"""How the person proved who he is (RFC 8176 section 2)."""


class SessionService:
    """Begins, renews and ends sessions."""

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        authenticator: Authenticator,
        ender: SessionEnder,
        keys: KeyService,
        refreshes: RefreshQueue,
        switches: OrganizationSwitch,
        indexes: IndexAllocator,
        rights: RightsReader,
        homes: Homes,
        client_id: str,
        idle_lifetime: timedelta,
        absolute_lifetime: timedelta,
    ) -> None:
        """Take what sessions are made with.

        Args:
            database: Holds the sessions.
            clock: Dates them.
            audit: Records logins and what ends sessions.
            authenticator: Compares passwords.
            ender: Ends sessions.
            keys: Signs tokens.
            refreshes: Moves refresh chains on.
            switches: Moves them on to another organization.
            indexes: Gives out places in status lists.
            rights: Knows what tokens say.
            homes: Knows which organization a login speaks for.
            client_id: The client that logins of people are bound to.
            idle_lifetime: A session not refreshed for this long ends.
            absolute_lifetime: A session ends this long after its login.
        """
        self._database = database
        self._clock = clock
        self._audit = audit
        self._authenticator = authenticator
        self._ender = ender
        self._keys = keys
        self._refreshes = refreshes
        self._switches = switches
        self._indexes = indexes
        self._rights = rights
        self._homes = homes
        self._tokens = RefreshTokens(keys.refresh_macs)
        self._client_id = client_id
        self._idle_lifetime = idle_lifetime
        self._absolute_lifetime = absolute_lifetime

    async def login(self, request: LoginRequest, context: RequestContext) -> TokenSet:
        """Begin a session for whose login name and password these are.

        Raises:
            IssuerProblem: ``invalid_credentials``, ``rate_limited``,
                ``overloaded``, ``unknown_audience``, ``token_oversized``,
                ``not_a_member`` of the organization named, or of any where the
                host is a tenant's.
        """
        try:
            return await self._begin(request, context)
        except Superseded:
            pass
        # Compared with what there is now: his other login may have hashed the
        # same password anew; or it is not his any more, and that is found out.
        try:
            return await self._begin(request, context)
        except Superseded:
            raise IssuerProblem(ProblemCode.INVALID_CREDENTIALS) from None

    async def _begin(self, request: LoginRequest, context: RequestContext) -> TokenSet:
        found = await self._authenticator.authenticate(request.login, request.password, context)
        context = msgspec.structs.replace(context, actor_id=found.user_id)
        audience, now = _audiences(request), self._clock()
        (status,) = await self._indexes.take(1)
        bearer = self._bearer(found.user_id, now, status)

        usable_until = min(now + self._idle_lifetime, bearer.expires_at)

        def begin(connection: Connection) -> Renewal:
            self._rights.hold(connection)
            self._authenticator.confirm(connection, found, context)
            organization_id = self._homes.choose(
                connection, found.user_id, request.organization, context.host
            )
            begun = msgspec.structs.replace(bearer, organization_id=organization_id)
            (claims,) = self._rights.claims(connection, [(begun, audience)], now)
            row = _row(begun, audience, usable_until, context)
            connection.execute(_INSERT, row | {"tenant_id": claims.tenant_id})
            self._audit.write(
                connection,
                EventTag.LOGIN_SUCCEEDED,
                context=context,
                target=f"session:{begun.session_id}",
                tenant_id=claims.tenant_id,
            )
            return Renewal(begun, 0, usable_until, claims)

        try:
            renewal = await self._database.write_at_once(begin, EVERY_TENANT)
        except IssuerProblem as problem:
            if problem.code is ProblemCode.NOT_A_MEMBER:
                await self._authenticator.refused(found, problem.code, context)
            raise
        return await self._sign(renewal)

    async def refresh(self, refresh_token: str, context: RequestContext) -> TokenSet:
        """Use up *refresh_token* for a fresh access token and its successor.

        Who loses a race, by seconds, gets the same successor. A token used
        before that ends its session.

        Raises:
            IssuerProblem: ``invalid_refresh_token``, ``refresh_token_reused``,
                ``session_ended``; ``unknown_audience`` and
                ``token_oversized``, which use up nothing.

        See: RFC 9700 section 4.14.2.
        """
        try:
            token = self._tokens.verify(refresh_token)
        except InvalidRefreshToken:
            raise IssuerProblem(ProblemCode.INVALID_REFRESH_TOKEN) from None
        use = Use(token.session_id, token.generation, self._client_id)
        outcome = await self._refreshes.use(Ask(use, context))
        if isinstance(outcome, ProblemCode):
            raise IssuerProblem(outcome)
        return await self._sign(outcome)

    async def switch(
        self, refresh_token: str, organization_id: uuid.UUID | None, context: RequestContext
    ) -> TokenSet:
        """Use up *refresh_token* for tokens that speak for another organization, or for none.

        The access token that the session had is void: it spoke for another
        one. Asked again within seconds with the same refresh token, it gets
        the same successor, as :meth:`refresh` does.

        Raises:
            IssuerProblem: What :meth:`refresh` raises; ``not_a_member``, which
                uses up nothing.
        """
        try:
            token = self._tokens.verify(refresh_token)
        except InvalidRefreshToken:
            raise IssuerProblem(ProblemCode.INVALID_REFRESH_TOKEN) from None
        ask = Ask(Use(token.session_id, token.generation, self._client_id), context)
        outcome = await self._switches.use(ask, organization_id)
        if isinstance(outcome, ProblemCode):
            raise IssuerProblem(outcome)
        return await self._sign(outcome)

    async def end(
        self, session_id: uuid.UUID, context: RequestContext, *, user_id: uuid.UUID | None = None
    ) -> None:
        """End a session; one that has ended already, or never was, is no error.

        Args:
            session_id: Which.
            context: Who asks, from where.
            user_id: Whose it has to be.
        """
        ending = Ending(EndReason.LOGOUT, self._clock(), context)
        async with self._database.begin(EVERY_TENANT) as session:
            row = await session.get(LoginSession, session_id)
            if row is not None and user_id in (None, row.user_id):
                context = msgspec.structs.replace(context, actor_id=row.user_id)
                await self._ender.end(
                    session, session_id, msgspec.structs.replace(ending, context=context)
                )

    async def end_by_token(self, refresh_token: str, context: RequestContext) -> None:
        """End the session that *refresh_token*, of whatever generation, belongs to.

        A token that was not made here ends nothing, which is what its bearer
        wants (RFC 7009 section 2.2).
        """
        try:
            token = self._tokens.verify(refresh_token)
        except InvalidRefreshToken:
            return
        await self.end(token.session_id, context)

    def _bearer(self, user_id: uuid.UUID, now: datetime, status: StatusIndex) -> Bearer:
        """Return whom a session that begins *now* speaks for."""
        return Bearer(
            session_id=new_id(),
            user_id=user_id,
            client_id=self._client_id,
            auth_time=now,
            amr=AMR_PASSWORD,
            expires_at=now + self._absolute_lifetime,
            status=status,
        )

    async def _sign(self, renewal: Renewal) -> TokenSet:
        left = renewal.usable_until - renewal.claims.issued_at
        return TokenSet(
            access_token=await self._keys.sign(renewal.claims.payload),
            expires_in=renewal.claims.expires_in,
            refresh_token=self._tokens.make(renewal.bearer.session_id, renewal.generation),
            refresh_expires_in=int(left.total_seconds()),
        )


def _audiences(request: LoginRequest) -> list[str] | None:
    """Return the audiences named, each once."""
    if request.audience is None:
        return None
    named = [request.audience] if isinstance(request.audience, str) else request.audience
    return list(dict.fromkeys(named))


_INSERT: Final = insert(cast("Table", LoginSession.__table__))


def _row(
    bearer: Bearer, audience: list[str] | None, usable_until: datetime, context: RequestContext
) -> dict[str, Any]:
    """Return the row of a session that begins."""
    begun = bearer.auth_time
    return {
        "id": bearer.session_id,
        "user_id": bearer.user_id,
        "organization_id": bearer.organization_id,
        "client_id": bearer.client_id,
        "audience": audience,
        "generation": 0,
        "auth_time": begun,
        "amr": list(bearer.amr),
        "created_at": begun,
        "rotated_at": begun,
        "expires_at": bearer.expires_at,
        "idle_expires_at": usable_until,
        "user_agent": context.user_agent,
        "address": context.address,
        "status_list_id": bearer.status.list_id,
        "status_index": bearer.status.idx,
    }
