"""Moves refresh chains on in the database: any number of them in one transaction.

One conditional update takes every token that is good to its next generation,
whoever else tries the same at that moment: the database lets one of them win.
What the update did not take has lost a race, was used before, or belongs to a
session that has ended; one more look at the row tells which.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
from msgspec import Struct
from sqlalchemy import Row, Table, bindparam, case, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import ProblemCode
from apostille_issuer.clock import Clock
from apostille_issuer.http.context import RequestContext
from apostille_issuer.sessions.chain import Standing, Use, Verdict, judge
from apostille_issuer.sessions.ending import SessionEnder, Theft
from apostille_issuer.sessions.locking import lock_sessions
from apostille_issuer.sessions.mint import Bearer, MintedClaims
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.sessions.rights import RightsReader
from apostille_issuer.status.schemas import StatusIndex

__all__ = ["Ask", "Outcome", "RefreshStore", "Renewal", "Spoken"]

# Rows are read and written by column: there is no object to keep in step.
SESSIONS = cast("Table", LoginSession.__table__)

_Rows = dict[uuid.UUID, Row[Any]]


class Ask(Struct, frozen=True):
    """A refresh that is asked for."""

    use: Use
    context: RequestContext


class Renewal(Struct, frozen=True):
    """What a refresh, or a login, gives: everything but the signatures."""

    bearer: Bearer
    generation: int
    """Of the refresh token to hand out."""
    usable_until: datetime
    """When that token, unused, and its session with it, expires."""
    claims: MintedClaims


Outcome = Renewal | ProblemCode
"""A renewal, or why there is none. Either way the transaction is to be committed."""


class Spoken(Struct, frozen=True):
    """For whom a session spoke; for nobody if both are ``None``."""

    tenant_id: uuid.UUID | None = None
    organization_id: uuid.UUID | None = None


_REFUSALS = {
    Verdict.REUSED: ProblemCode.REFRESH_TOKEN_REUSED,
    Verdict.ENDED: ProblemCode.SESSION_ENDED,
    Verdict.FOREIGN: ProblemCode.INVALID_REFRESH_TOKEN,
}


class RefreshStore:
    """Knows the table of sessions; opens no transaction of its own."""

    def __init__(
        self,
        clock: Clock,
        ender: SessionEnder,
        rights: RightsReader,
        *,
        idle_lifetime: timedelta,
        replay_window: timedelta,
    ) -> None:
        """Take the rules' numbers; see :func:`.chain.judge`."""
        self._clock = clock
        self._ender = ender
        self._rights = rights
        self._idle_lifetime = idle_lifetime
        self._replay_window = replay_window

    async def use(
        self, session: AsyncSession, asks: Sequence[Ask], spare: list[StatusIndex]
    ) -> list[Outcome]:
        """Use refresh tokens, and return what comes of each, in the same order.

        At most an update and two reads for all of them, and on PostgreSQL one
        more that locks several, unless one is theft, or rights have changed.

        Args:
            session: The transaction.
            asks: Tokens, and who presents them.
            spare: As many indexes; those that sessions get are taken out.

        Raises:
            IssuerProblem: For one of them no token can be minted
                (``token_oversized``, ``unknown_audience``). Roll back, so that
                nothing has been used, and ask again for each alone.
        """
        now = self._clock()
        thefts: list[Theft] = []
        decided = await self._decide(session, asks, now, thefts)
        renewed = [row for row in decided if not isinstance(row, ProblemCode)]
        renewals = iter(await self._renew(session, renewed, now, spare))
        # Last, since it locks what everybody who ends a session needs.
        await self._ender.end_stolen(session, thefts, now)
        return [row if isinstance(row, ProblemCode) else next(renewals) for row in decided]

    async def switch(
        self,
        session: AsyncSession,
        ask: Ask,
        organization_id: uuid.UUID | None,
        spare: list[StatusIndex],
    ) -> tuple[Spoken, Outcome]:
        """Use a refresh token for a renewal that speaks for another organization.

        Returns:
            For whom the session spoke until now, and what comes of *ask*.

        Args:
            session: The transaction; it holds the policy (:meth:`.RightsReader.hold`).
            ask: The token, and who presents it.
            organization_id: For which one; ``None`` for none.
            spare: An index, taken out if the session gets it.

        Raises:
            IssuerProblem: No token can be minted: ``not_a_member``, and what
                :meth:`use` raises. Roll back.
        """
        now = self._clock()
        thefts: list[Theft] = []
        (row,) = await self._decide(session, [ask], now, thefts)
        await self._ender.end_stolen(session, thefts, now)
        if isinstance(row, ProblemCode):
            return Spoken(), row
        before = Spoken(row.tenant_id, row.organization_id)
        if row.organization_id == organization_id:
            (renewal,) = await self._renew(session, [row], now, spare)
            return before, renewal
        # Its tokens stand elsewhere from now on: what ends the sessions of one
        # organization would miss a token of this one that speaks for it still.
        index = spare.pop()
        bearer = msgspec.structs.replace(_bearer(row, index), organization_id=organization_id)
        (claims,) = await session.run_sync(self._rights.claims, [(bearer, row.audience)], now)
        await session.execute(
            update(SESSIONS)
            .where(SESSIONS.c.id == row.id)
            .values(
                tenant_id=claims.tenant_id,
                organization_id=organization_id,
                status_list_id=index.list_id,
                status_index=index.idx,
            )
        )
        if row.status_index is not None:
            await self._ender.void(session, StatusIndex(row.status_list_id, row.status_index))
        renewal = Renewal(bearer, row.generation, row.idle_expires_at, claims)
        return before, renewal

    async def _decide(
        self,
        session: AsyncSession,
        asks: Sequence[Ask],
        now: datetime,
        thefts: list[Theft],
    ) -> list[Row[Any] | ProblemCode]:
        """Return the row of each session that goes on, or why it does not.

        Sessions that are to be ended for it are added to *thefts*.
        """
        asked = {ask.use.session_id for ask in asks}
        if len(asked) > 1:
            await lock_sessions(session, SESSIONS.c.id.in_(asked))
        rows = await self._advance(session, [ask.use for ask in asks], now)
        winners = set(rows)
        rows |= await _rows(session, asked - winners)
        decided: list[Row[Any] | ProblemCode] = []
        for ask in asks:
            row = rows.get(ask.use.session_id)
            # Of twins in one batch the first has won, the others lost a race.
            if row is not None and row.id in winners and row.generation == ask.use.generation + 1:
                winners.discard(row.id)
                decided.append(row)
                continue
            verdict = judge(ask.use, _standing(row), now, self._replay_window)
            if row is not None and verdict is Verdict.REPLAY:
                decided.append(row)
                continue
            if row is not None and verdict is Verdict.REUSED:
                context = msgspec.structs.replace(ask.context, actor_id=row.user_id)
                thefts.append(Theft(row.id, row.user_id, row.tenant_id, context))
                del rows[row.id]
            decided.append(_REFUSALS[verdict])
        return decided

    async def _advance(self, session: AsyncSession, uses: Sequence[Use], now: datetime) -> _Rows:
        """Take every session whose token is good to its next generation."""
        moved = await session.execute(
            _ADVANCE,
            {
                "ids": {use.session_id for use in uses},
                "good": [(use.session_id, use.generation, use.client_id) for use in uses],
                "now": now,
                "idle_end": now + self._idle_lifetime,
            },
        )
        return {row.id: row for row in moved}

    async def _renew(
        self,
        session: AsyncSession,
        rows: Sequence[Row[Any]],
        now: datetime,
        spare: list[StatusIndex],
    ) -> list[Renewal]:
        given = await _give_indexes(session, rows, spare)
        bearers = [_bearer(row, given.get(row.id)) for row in rows]
        audiences = [row.audience for row in rows]
        claims = await session.run_sync(
            self._rights.claims, list(zip(bearers, audiences, strict=True)), now
        )
        return [
            Renewal(bearer, row.generation, row.idle_expires_at, minted)
            for bearer, row, minted in zip(bearers, rows, claims, strict=True)
        ]


_COLUMNS = tuple(
    SESSIONS.c[name]
    for name in (
        *(
            "id",
            "user_id",
            "tenant_id",
            "organization_id",
            "client_id",
            "audience",
            "generation",
            "auth_time",
            "amr",
        ),
        *("rotated_at", "expires_at", "idle_expires_at", "revoked_at"),
        *("status_list_id", "status_index"),
    )
)

_NOW = bindparam("now", type_=SESSIONS.c.rotated_at.type)
_IDLE_END = bindparam("idle_end", type_=SESSIONS.c.idle_expires_at.type)

# Built once: building it takes longer than the database does.
_ADVANCE = (
    update(SESSIONS)
    .where(
        # Says less than the next condition, and is what an index serves.
        SESSIONS.c.id.in_(bindparam("ids", expanding=True)),
        tuple_(SESSIONS.c.id, SESSIONS.c.generation, SESSIONS.c.client_id).in_(
            bindparam("good", expanding=True)
        ),
        SESSIONS.c.revoked_at.is_(None),
        SESSIONS.c.expires_at > _NOW,
        SESSIONS.c.idle_expires_at > _NOW,
    )
    .values(
        generation=SESSIONS.c.generation + 1,
        rotated_at=_NOW,
        idle_expires_at=case(
            (SESSIONS.c.expires_at < _IDLE_END, SESSIONS.c.expires_at), else_=_IDLE_END
        ),
    )
    .returning(*_COLUMNS)
)


async def _rows(session: AsyncSession, ids: Iterable[uuid.UUID]) -> _Rows:
    wanted = tuple(ids)
    if not wanted:
        return {}
    # Locked like the rows that were updated: rights are read after that, and who
    # changes them waits, so that a token never has one and the other's index.
    statement = select(*_COLUMNS).where(SESSIONS.c.id.in_(wanted)).with_for_update()
    return {row.id: row for row in await session.execute(statement)}


_GIVE_INDEX = (
    update(SESSIONS)
    .where(SESSIONS.c.id == bindparam("which"))
    .values(status_list_id=bindparam("list_id"), status_index=bindparam("idx"))
)


async def _give_indexes(
    session: AsyncSession, rows: Iterable[Row[Any]], spare: list[StatusIndex]
) -> dict[uuid.UUID, StatusIndex]:
    """Give an index out of *spare* to each session that has none, once for twins."""
    bare = {row.id for row in rows if row.status_index is None}
    given = {session_id: spare.pop() for session_id in bare}
    if given:
        await session.execute(
            _GIVE_INDEX,
            [
                {"which": session_id, "list_id": index.list_id, "idx": index.idx}
                for session_id, index in given.items()
            ],
        )
    return given


def _standing(row: Row[Any] | None) -> Standing | None:
    if row is None:
        return None
    return Standing(
        client_id=row.client_id,
        generation=row.generation,
        rotated_at=row.rotated_at,
        expires_at=row.expires_at,
        idle_expires_at=row.idle_expires_at,
        revoked_at=row.revoked_at,
    )


def _bearer(row: Row[Any], given: StatusIndex | None) -> Bearer:
    return Bearer(
        session_id=row.id,
        user_id=row.user_id,
        client_id=row.client_id,
        auth_time=row.auth_time,
        amr=tuple(row.amr),
        expires_at=row.expires_at,
        status=given or StatusIndex(row.status_list_id, row.status_index),
        organization_id=row.organization_id,
    )
