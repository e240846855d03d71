"""Deleting what is remembered of client assertions that have expired."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select, tuple_

from apostille_issuer.clients.models import UsedAssertion
from apostille_issuer.db.engine import Database
from apostille_issuer.db.purging import PURGE_ROWS

__all__ = ["AssertionPurge"]

SLACK: Final = timedelta(days=1)
"""Beyond what clocks of replicas are apart: none of them may accept an assertion again."""


class AssertionPurge:
    """Used assertions of accounts that use no others: those that do forget their own."""

    name = "used assertions"

    def __init__(self, database: Database) -> None:
        """Take where they are."""
        self._database = database

    async def purge(self, stop: asyncio.Event, now: datetime) -> int:
        """Delete those that expired a day ago, and return how many this call has deleted.

        Args:
            stop: Once this happens no further transaction begins.
            now: The present.

        Raises:
            IssuerProblem: ``database_unavailable``.
        """
        key = tuple_(UsedAssertion.account_id, UsedAssertion.jti_hash)
        # Few are there that have not expired: no index, and no walk.
        due = (
            select(UsedAssertion.account_id, UsedAssertion.jti_hash)
            .where(UsedAssertion.expires_at <= now - SLACK)
            .limit(PURGE_ROWS)
            .with_for_update(skip_locked=True)
        )
        deleted = 0
        while not stop.is_set():
            async with self._database.begin() as session:
                rows = [tuple(row) for row in await session.execute(due)]
                if rows:
                    few = delete(UsedAssertion).where(key.in_(rows))
                    await session.execute(few.execution_options(synchronize_session=False))
            deleted += len(rows)
            if len(rows) < PURGE_ROWS:
                break
        return deleted
