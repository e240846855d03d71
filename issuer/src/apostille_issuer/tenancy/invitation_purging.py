"""Deleting invitations that were answered, or expired, long ago."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Table, func

from apostille_issuer.access.policy import lock_policy
from apostille_issuer.db.engine import Database
from apostille_issuer.db.purging import purge_rows
from apostille_issuer.tenancy.models import Invitation

__all__ = ["InvitationPurge"]

INVITATIONS = cast("Table", Invitation.__table__)


class InvitationPurge:
    """Invitations; who invited whom, and what came of it, stays in the audit trail."""

    name = "invitations"

    def __init__(self, database: Database, *, retention: timedelta) -> None:
        """Take what is needed.

        Args:
            database: Holds the invitations.
            retention: How long they are kept after that; no shorter than the
                day for which letters are counted (:func:`.require_pace`).
        """
        self._database = database
        self._retention = retention

    async def purge(self, stop: asyncio.Event, now: datetime) -> int:
        """Delete those that were answered, or else expired, long ago; see :func:`.purge_rows`.

        One that has expired can be sent again until then. Whoever does so holds
        the lock on policy; so do we, and nothing goes that he has looked at.
        """
        kept_since = now - self._retention
        ended_at = func.coalesce(INVITATIONS.c.answered_at, INVITATIONS.c.expires_at)
        over = ended_at <= kept_since
        return await purge_rows(self._database, INVITATIONS, over, stop, turn=lock_policy)
