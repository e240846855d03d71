"""Versions of the secret that authenticates refresh tokens.

A new version makes tokens once every process knows it; those before are
accepted for as long as any token that they made can live.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.http.context import RequestContext
from apostille_issuer.keys.encryption import KeyEncryptionKeys
from apostille_issuer.keys.models import Secret
from apostille_issuer.keys.schedule import KeySchedule, making_version
from apostille_issuer.keys.store import REFRESH_MAC, add_secret, lock_keys, secrets_in
from apostille_issuer.problems import IssuerProblem

__all__ = ["RefreshSecrets"]

SECRET_BYTES = 32


class RefreshSecrets:
    """Adds versions, drops those that are done with, withdraws."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        encryption: KeyEncryptionKeys,
        schedule: KeySchedule,
    ) -> None:
        """Take what secrets are sealed with, and how long they are accepted."""
        self._database = database
        self._clock = clock
        self._audit = audit
        self._encryption = encryption
        self._schedule = schedule

    def anything_due(self, versions: Sequence[tuple[int, datetime]]) -> bool:
        """Say whether :meth:`settle` would change anything if these are all the versions."""
        return not versions or bool(self._outlived(versions))

    async def settle(self, context: RequestContext) -> None:
        """Make the first version, and drop those whose tokens have all expired."""
        async with self._database.begin() as session:
            await lock_keys(session)
            rows = await secrets_in(session, REFRESH_MAC)
            if not rows:
                self._record(session, EventTag.KEY_CREATED, self._add(session, rows), context)
            outlived = self._outlived([(row.version, row.created_at) for row in rows])
            for row in rows:
                if row.version in outlived:
                    await session.delete(row)
                    self._record(session, EventTag.KEY_RETIRED, row.version, context)

    async def rotate(self, context: RequestContext) -> int:
        """Add a version; tokens of the ones before stay good.

        Returns:
            The version.
        """
        async with self._database.begin() as session:
            await lock_keys(session)
            version = self._add(session, await secrets_in(session, REFRESH_MAC))
            self._record(session, EventTag.KEY_ROTATED, version, context)
        return version

    async def withdraw(self, version: int, context: RequestContext) -> None:
        """Refuse all refresh tokens that *version* made, at once.

        Their sessions can only be begun anew, by logging in. Where no other
        version is left, one is made.

        Raises:
            IssuerProblem: ``not_found``.
        """
        async with self._database.begin() as session:
            await lock_keys(session)
            rows = await secrets_in(session, REFRESH_MAC)
            row = next((row for row in rows if row.version == version), None)
            if row is None:
                raise IssuerProblem(ProblemCode.NOT_FOUND)
            if len(rows) == 1:
                self._record(session, EventTag.KEY_CREATED, self._add(session, rows), context)
            await session.delete(row)
            self._record(session, EventTag.KEY_WITHDRAWN, version, context)

    def _outlived(self, versions: Sequence[tuple[int, datetime]]) -> list[int]:
        """Return the versions whose successor makes tokens for longer than any token lives."""
        then = self._clock() - self._schedule.secret_retirement
        making = making_version(versions, then, self._schedule)
        return [version for version, _ in versions if making is not None and version < making]

    def _add(self, session: AsyncSession, rows: Sequence[Secret]) -> int:
        version = rows[-1].version + 1 if rows else 1
        value = secrets.token_bytes(SECRET_BYTES)
        add_secret(session, version, value, self._encryption, self._clock())
        return version

    def _record(
        self, session: AsyncSession, tag: EventTag, version: int, context: RequestContext
    ) -> None:
        target = f"secret:{REFRESH_MAC}/{version}"
        self._audit.record(session, tag, context=context, target=target)
