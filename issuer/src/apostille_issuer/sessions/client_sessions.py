"""Sessions of API keys: what the access tokens of service accounts stand in.

A key has one session of its own identifier, for as long as it lives. It has no
refresh token: the key itself asks for each access token (RFC 6749 section
4.4.3). As with a refresh, the session is locked before rights are read, so that
whoever changes them either finds the place in a status list that the token is
given, or has changed them before.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast

from msgspec import Struct
from sqlalchemy import Row, Select, Table, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.clock import Clock
from apostille_issuer.http.context import RequestContext
from apostille_issuer.sessions.ending import Ending, EndReason, SessionEnder
from apostille_issuer.sessions.mint import Bearer, MintedClaims
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.sessions.rights import RightsReader
from apostille_issuer.status.marking import TOKENS_DIE_WITHIN
from apostille_issuer.status.schemas import StatusIndex

__all__ = ["FRESH", "ClientSessions", "KeyHolder", "ScopeNotHeld", "Wanted"]

SESSIONS = cast("Table", LoginSession.__table__)

FRESH: Final = timedelta(minutes=1)
"""For so long after a use another one writes nothing down.

Far below the slack that :data:`.TOKENS_DIE_WITHIN` has for times that are not exact.
"""


class ScopeNotHeld(Exception):
    """A scope was asked for that the account does not have."""


class KeyHolder(Struct, frozen=True, kw_only=True):
    """An API key, and the service account that it is of."""

    key_id: uuid.UUID
    account_id: uuid.UUID
    tenant_id: uuid.UUID | None
    organization_id: uuid.UUID | None
    expires_at: datetime
    """The key's end; no token outlives it."""


class Wanted(Struct, frozen=True):
    """What a token is to be good for."""

    audience: Sequence[str] | None = None
    """``None`` for the default."""
    scopes: frozenset[str] | None = None
    """``None`` for all that the account has."""


class ClientSessions:
    """Begins and ends them, and says what their access tokens say; opens no transaction."""

    def __init__(self, clock: Clock, ender: SessionEnder, rights: RightsReader) -> None:
        """Take the clock, who ends sessions, and who knows what tokens say."""
        self._clock = clock
        self._ender = ender
        self._rights = rights

    async def begin(self, session: AsyncSession, holder: KeyHolder) -> None:
        """Give a new API key its session."""
        now = self._clock()
        await session.execute(
            insert(SESSIONS),
            {
                "id": holder.key_id,
                "user_id": holder.account_id,
                "tenant_id": holder.tenant_id,
                "organization_id": holder.organization_id,
                "kind": "client",
                "client_id": str(holder.account_id),
                "generation": 0,
                "auth_time": now,
                "amr": [],
                "created_at": now,
                "rotated_at": now,
                "expires_at": holder.expires_at,
                "idle_expires_at": holder.expires_at,
            },
        )

    async def shorten(self, session: AsyncSession, key_id: uuid.UUID, expires_at: datetime) -> None:
        """Let a key end sooner than it would have.

        Its session lives on until the tokens there are have died, so that a
        change of rights still finds them.
        """
        end = max(expires_at, self._clock() + TOKENS_DIE_WITHIN)
        await session.execute(
            update(SESSIONS)
            .where(SESSIONS.c.id == key_id, SESSIONS.c.expires_at > end)
            .values(expires_at=end, idle_expires_at=end)
        )

    async def end(self, session: AsyncSession, holder: KeyHolder, context: RequestContext) -> None:
        """End the session of a key that is revoked; its access tokens are void."""
        ending = Ending(EndReason.KEY_REVOKED, self._clock(), context)
        await self._ender.end(session, holder.key_id, ending)

    async def at_hand(
        self, session: AsyncSession, holder: KeyHolder, wanted: Wanted
    ) -> MintedClaims | None:
        """Return the claims of a token if there is nothing to write down for it.

        The index is read before the rights are: a token can have one that was
        taken away this moment, and be void at once, but never rights that were.

        Returns:
            ``None`` where the session has to be written to: see :meth:`renewed`.

        Raises:
            IssuerProblem, ScopeNotHeld: As :meth:`renewed`.
        """
        now = self._clock()
        row = (await session.execute(_SELECT, {"key_id": holder.key_id})).one_or_none()
        if (
            row is None
            or row.revoked_at is not None
            or row.status_index is None
            or row.rotated_at <= now - FRESH
        ):
            return None
        status = StatusIndex(row.status_list_id, row.status_index)
        return await self._claims(session, holder, wanted, status, now)

    async def locked(self, session: AsyncSession, key_id: uuid.UUID) -> Row[Any] | None:
        """Return the session of a key, locked, if it has not ended.

        From here on nobody changes what the account may do, or whether it may
        do anything, without finding the token that is being made.
        """
        row = (await session.execute(_LOCK, {"key_id": key_id})).one_or_none()
        return None if row is None or row.revoked_at is not None else row

    async def renewed(
        self,
        session: AsyncSession,
        row: Row[Any],
        holder: KeyHolder,
        wanted: Wanted,
        spare: list[StatusIndex],
    ) -> MintedClaims:
        """Return the claims of a token, and write down that one was made.

        Args:
            session: A transaction that writes.
            row: What :meth:`locked` returned.
            holder: Whose key it is.
            wanted: What the token is to be good for.
            spare: An index; taken out if the session needs one.

        Raises:
            IssuerProblem: ``not_a_member`` of the organization any longer, or
                that is not active; ``unknown_audience``; ``token_oversized``.
            ScopeNotHeld: The account has not all scopes that are wanted.
        """
        now = self._clock()
        status = StatusIndex(row.status_list_id, row.status_index)
        if row.status_index is None:
            status = spare.pop()
        await session.execute(
            _RENEW,
            {"key_id": row.id, "now": now, "list_id": status.list_id, "idx": status.idx},
        )
        return await self._claims(session, holder, wanted, status, now)

    async def _claims(
        self,
        session: AsyncSession,
        holder: KeyHolder,
        wanted: Wanted,
        status: StatusIndex,
        now: datetime,
    ) -> MintedClaims:
        bearer = Bearer(
            session_id=holder.key_id,
            user_id=holder.account_id,
            client_id=str(holder.account_id),
            auth_time=None,
            amr=(),
            expires_at=holder.expires_at,
            status=status,
            organization_id=holder.organization_id,
            scopes=wanted.scopes,
        )
        (claims,) = await session.run_sync(self._rights.claims, [(bearer, wanted.audience)], now)
        if wanted.scopes is not None and wanted.scopes != set(claims.scopes):
            raise ScopeNotHeld
        return claims


# Built once: composing a statement takes as long as SQLite takes to answer it.
_SELECT: Select[Any] = select(
    SESSIONS.c.id,
    SESSIONS.c.rotated_at,
    SESSIONS.c.revoked_at,
    SESSIONS.c.status_list_id,
    SESSIONS.c.status_index,
).where(SESSIONS.c.id == bindparam("key_id"), SESSIONS.c.kind == "client")
_LOCK = _SELECT.with_for_update()
_RENEW = (
    update(SESSIONS)
    .where(SESSIONS.c.id == bindparam("key_id"))
    .values(
        rotated_at=bindparam("now"),
        status_list_id=bindparam("list_id"),
        status_index=bindparam("idx"),
    )
)
