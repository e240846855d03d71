"""Key services on a schedule that tests can count with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from joserfc import jws
from joserfc.jwk import KeySet
from sqlalchemy import select

from apostille.clock import ManualClock
from apostille_contracts.claims import Algorithm
from apostille_issuer.audit.models import AuditEvent
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.db.engine import Database
from apostille_issuer.http.context import RequestContext
from apostille_issuer.keys.administration import KeyAdministration
from apostille_issuer.keys.encryption import KeyEncryptionKey, KeyEncryptionKeys
from apostille_issuer.keys.models import SigningKey
from apostille_issuer.keys.schedule import KeySchedule
from apostille_issuer.keys.service import KeyService

__all__ = ["ENCRYPTION", "KEY", "SCHEDULE", "Replica", "key_service", "signer_of", "until"]

KEY = KeyEncryptionKey(bytes(range(32)))
ENCRYPTION = KeyEncryptionKeys(KEY)

SCHEDULE = KeySchedule(
    lifetime=timedelta(days=30),
    publication=timedelta(minutes=10),
    retirement=timedelta(minutes=12),
    spread=timedelta(seconds=10),
    secret_retirement=timedelta(days=90),
)


def key_service(
    database: Database, clock: ManualClock, *, algorithm: Algorithm = "ES256", **options: Any
) -> KeyService:
    """Return a service that has not been started."""
    audit = AuditTrail(database, clock.now)
    schedule = options.pop("schedule", SCHEDULE)
    return KeyService(database, clock.now, audit, algorithm=algorithm, schedule=schedule, **options)


class Replica:
    """One process: its own connections, its own memory."""

    def __init__(self, url: str, clock: ManualClock, **options: Any) -> None:
        self.database = Database(url)
        self.keys = key_service(self.database, clock, **options)
        audit = AuditTrail(self.database, clock.now)
        self.told: list[tuple[str, datetime | None]] = []
        """Keys that were withdrawn, and until when they signed."""
        self.admin = KeyAdministration(self.keys, self.database, audit, watch=self)

    async def key_withdrawn(
        self, kid: str, signed_until: datetime | None, context: RequestContext
    ) -> int:
        """Note that *kid* was withdrawn; there are no sessions here."""
        del context
        self.told.append((kid, signed_until))
        return 0

    @property
    def kids(self) -> list[str]:
        """What it publishes."""
        return [key["kid"] for key in json.loads(self.keys.jwks())["keys"]]

    async def states(self) -> dict[str, str]:
        """Return the keys in the database and their states."""
        async with self.database.read() as session:
            return {row.kid: row.state for row in await session.scalars(select(SigningKey))}

    async def events(self, tag: str) -> list[AuditEvent]:
        """Return what was recorded with *tag*, oldest first."""
        async with self.database.read() as session:
            found = select(AuditEvent).where(AuditEvent.tag == tag).order_by(AuditEvent.id)
            return list(await session.scalars(found))


def signer_of(token: str, published: bytes, algorithm: Algorithm = "ES256") -> str:
    """Return the kid of *token*, which one of the *published* keys has signed."""
    keys = KeySet.import_key_set(json.loads(published))
    headers = jws.deserialize_compact(token, keys, algorithms=[algorithm]).headers()
    return str(headers["kid"])


async def until(condition: Callable[[], bool]) -> None:
    """Return once *condition* holds; put a timeout around it."""
    while not condition():  # noqa: ASYNC110 - what others do in their own time has no event
        await asyncio.sleep(0.01)
