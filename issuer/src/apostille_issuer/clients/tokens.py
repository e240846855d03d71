"""Access tokens for clients that prove who they are (RFC 6749 section 4.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec
from msgspec import Struct
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.throttle import Throttled
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clients.api_keys import key_target
from apostille_issuer.clients.authentication import (
    Authenticated,
    ClientAuthenticator,
    ClientRefused,
    Credentials,
    Proof,
)
from apostille_issuer.clients.lane import Lane
from apostille_issuer.clients.models import ApiKey
from apostille_issuer.clients.throttle import ClientThrottle
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import RequestContext
from apostille_issuer.keys.service import KeyService
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.client_sessions import ClientSessions, Wanted
from apostille_issuer.sessions.mint import MintedClaims
from apostille_issuer.status.allocation import IndexAllocator
from apostille_issuer.status.schemas import StatusIndex

__all__ = ["ClientToken", "ClientTokens"]

UNREADABLE = "unreadable"
"""What credentials that cannot be anybody's are told by."""


class ClientToken(Struct, frozen=True):
    """An access token and what the client has to know of it."""

    text: str
    expires_in: int
    """Seconds."""
    scopes: Sequence[str]

    def __repr__(self) -> str:
        """Show no token in any log."""
        return f"ClientToken(expires_in={self.expires_in!r})"


class ClientTokens:
    """Gives clients access tokens, within limits of how often they may fail to prove themselves.

    A token costs one read where the key was used within the minute; otherwise,
    after a change of rights, and for every assertion, a write as well.
    """

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        authenticator: ClientAuthenticator,
        throttle: ClientThrottle,
        sessions: ClientSessions,
        indexes: IndexAllocator,
        keys: KeyService,
    ) -> None:
        """Take what is needed to look up, limit, record, mint and sign."""
        self._database = database
        self._clock = clock
        self._audit = audit
        self._authenticator = authenticator
        self._throttle = throttle
        self._lane = Lane()
        self._sessions = sessions
        self._indexes = indexes
        self._keys = keys

    async def issue(
        self, credentials: Credentials, wanted: Wanted, context: RequestContext
    ) -> ClientToken:
        """Return an access token for whose credentials these are.

        Raises:
            ClientRefused: They are nobody's, or no good now.
            IssuerProblem: ``rate_limited``, with ``retry_after``, instead of
                :class:`.ClientRefused` after too many of those; ``overloaded``
                while a flood of them goes on; ``not_a_member`` of the
                organization any longer, or that is not active;
                ``unknown_audience``; ``token_oversized``.
            ScopeNotHeld: A scope is wanted that the account does not have.
        """
        now, proof = self._clock(), None
        try:
            proof = self._authenticator.read(credentials, now)
            async with self._turn(proof, context, now):
                claims = await self._claims(proof, wanted, context, now)
        except ClientRefused as refused:
            await self._refuse(refused, proof, context, now)
            raise
        self._throttle.remember(proof.secret_hash)
        text = await self._keys.sign(claims.payload)
        return ClientToken(text, claims.expires_in, claims.scopes)

    @asynccontextmanager
    async def _turn(
        self, proof: Proof, context: RequestContext, now: datetime
    ) -> AsyncIterator[None]:
        """Let nobody take more than his part of the database who has failed too often.

        A right proof must be told from a wrong one all the same, so it is
        looked at; whose secret was right before need not wait for that.
        """
        limited = self._throttle.is_limited(proof.credential, context.address, now)
        if limited and not self._throttle.knows(proof.secret_hash):
            async with self._lane.turn():
                yield
        else:
            yield

    async def _refuse(
        self,
        refused: ClientRefused,
        proof: Proof | None,
        context: RequestContext,
        now: datetime,
    ) -> None:
        """Count a failure, and write it down, unless there have been too many.

        Raises:
            IssuerProblem: ``rate_limited``, with ``retry_after``.
        """
        if proof is not None:
            self._throttle.forget(proof.secret_hash)
        credential = UNREADABLE if proof is None else proof.credential
        try:
            self._throttle.failed(credential, context.address, now)
        except Throttled as throttled:
            if throttled.first:
                await self._record_refusal(ClientRefused("rate_limited"), context)
            raise IssuerProblem(
                ProblemCode.RATE_LIMITED, retry_after=throttled.retry_after
            ) from None
        await self._record_refusal(refused, context)

    async def _claims(
        self, proof: Proof, wanted: Wanted, context: RequestContext, now: datetime
    ) -> MintedClaims:
        async with self._database.read(EVERY_TENANT) as session:
            found = await self._authenticator.find(session, proof, now)
            if found.assertion is None:
                claims = await self._sessions.at_hand(session, found.holder, wanted)
                if claims is not None:
                    return claims
        spare = await self._indexes.take(1)
        try:
            async with self._database.begin(EVERY_TENANT) as session:
                return await self._renewed(session, found, wanted, spare, context)
        finally:
            self._indexes.give_back(spare)

    async def _renewed(
        self,
        session: AsyncSession,
        found: Authenticated,
        wanted: Wanted,
        spare: list[StatusIndex],
        context: RequestContext,
    ) -> MintedClaims:
        """Make sure, with the session locked, that *found* still holds, and write the use down."""
        now, key_id = self._clock(), found.holder.key_id
        row = await self._sessions.locked(session, key_id)
        if row is None:
            raise ClientRefused("revoked", key_id, found.holder.tenant_id)
        still = await self._authenticator.confirm(session, key_id, now)
        await self._authenticator.use_up(session, found, now)
        claims = await self._sessions.renewed(session, row, still.holder, wanted, spare)
        minute = now.replace(second=0, microsecond=0)
        if still.last_used_at != minute:
            await self._record_use(session, still, minute, context)
        return claims

    async def _record_use(
        self,
        session: AsyncSession,
        client: Authenticated,
        minute: datetime,
        context: RequestContext,
    ) -> None:
        """Write down that a key was used: once in a minute, however often it is."""
        holder = client.holder
        await session.execute(
            update(ApiKey)
            .where(ApiKey.id == holder.key_id)
            .values(last_used_at=minute)
            .execution_options(synchronize_session=False)
        )
        self._audit.record(
            session,
            EventTag.CLIENT_AUTHENTICATED,
            context=msgspec.structs.replace(context, actor_id=holder.account_id),
            target=key_target(holder.key_id),
            tenant_id=holder.tenant_id,
        )

    async def _record_refusal(self, refused: ClientRefused, context: RequestContext) -> None:
        """Record why; never what was sent, which may be a secret."""
        target = None if refused.key_id is None else key_target(refused.key_id)
        async with self._database.begin(EVERY_TENANT) as session:
            self._audit.record(
                session,
                EventTag.CLIENT_REFUSED,
                context=context,
                target=target,
                outcome="refused",
                after={"reason": refused.reason},
                tenant_id=refused.tenant_id,
            )
