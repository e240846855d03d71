"""Voiding everybody's access tokens: the key that signed them was withdrawn.

Which session's token it signed is written down nowhere, so all of them are
void. The sessions live on: their next refresh gives a token by another key.
"""

from __future__ import annotations

import uuid
from asyncio import sleep
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from apostille_contracts.events import EventTag
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import RequestContext
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.sessions.renewing import TokenRenewer
from apostille_issuer.status.marking import StatusMarks

__all__ = ["TokenVoider"]

BATCH: Final = 1_000
"""Sessions whose tokens are voided in one transaction: nobody waits for more."""


class TokenVoider:
    """Has all services know that a key was withdrawn, and voids what it signed."""

    def __init__(
        self,
        database: Database,
        audit: AuditTrail,
        *,
        renewer: TokenRenewer,
        marks: StatusMarks,
        settling: timedelta,
    ) -> None:
        """Take what is needed.

        Args:
            database: Where sessions are.
            audit: Records how many lost their tokens.
            renewer: Takes their places in status lists away.
            marks: Has the lists made anew.
            settling: How long another process may go on signing with a key
                that was withdrawn, before it looks.
        """
        self._database = database
        self._audit = audit
        self._renewer = renewer
        self._marks = marks
        self._settling = settling

    async def key_withdrawn(
        self, kid: str, signed_until: datetime | None, context: RequestContext
    ) -> int:
        """Void the access tokens that the key *kid* may have signed.

        A thousand sessions at a time, each batch for itself: interrupted, and
        begun again, it goes on with those that are left. What another process
        signed before it knew is found by going round once more after
        *settling*, which is why this takes that long.

        Args:
            kid: Of a key that nobody finds in the key set any more.
            signed_until: When the last process stopped signing with it; ``None``
                for a key that never signed, which voids nothing.
            context: Who withdrew it.

        Returns:
            How many sessions had a token.
        """
        async with self._database.begin() as session:
            await self._marks.renew_lists(session)
        if signed_until is None:
            return 0
        voided = await self._void_all(kid, signed_until, context)
        await sleep(self._settling.total_seconds())
        return voided + await self._void_all(kid, signed_until, context)

    async def _void_all(self, kid: str, signed_until: datetime, context: RequestContext) -> int:
        voided, last = 0, uuid.UUID(int=0)
        while True:
            async with self._database.begin(EVERY_TENANT) as session:
                found = (
                    select(LoginSession.id)
                    .where(
                        *self._renewer.with_tokens(),
                        LoginSession.rotated_at <= signed_until,
                        LoginSession.id > last,
                    )
                    .order_by(LoginSession.id)
                    .limit(BATCH)
                )
                batch = (await session.scalars(found)).all()
                if not batch:
                    return voided
                count = await self._renewer.void(session, batch)
                if count:
                    self._audit.record(
                        session,
                        EventTag.TOKENS_VOIDED,
                        context=context,
                        target=f"key:{kid}",
                        after={"sessions": count},
                    )
            voided += count
            last = batch[-1]
