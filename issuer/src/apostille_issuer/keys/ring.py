"""What a process knows of the keys at one moment, read from the database as one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import msgspec
from msgspec import Struct
from sqlalchemy import select

from apostille_contracts.claims import Algorithm
from apostille_contracts.key_sets import key_set_thumbprint
from apostille_issuer.db.engine import Database
from apostille_issuer.keys.encryption import KeyEncryptionKeys
from apostille_issuer.keys.models import Secret, SigningKey
from apostille_issuer.keys.pairs import KeySource
from apostille_issuer.keys.schedule import KeySchedule, KeyStanding, KeyState, making_version
from apostille_issuer.keys.signers import TokenSigner
from apostille_issuer.keys.store import (
    REFRESH_MAC,
    key_purpose,
    secret_purpose,
    secrets_in,
    standing_of,
)
from apostille_issuer.problems import StartupError

__all__ = ["Ring", "RingReader"]


class Ring(Struct, frozen=True, kw_only=True):
    """What is used together; replaced as one, never changed."""

    signers: dict[Algorithm, TokenSigner]
    """One for each algorithm that has an active key."""
    macs: tuple[bytes, ...]
    """Refresh secrets that are accepted; the first makes new tokens."""
    jwks: bytes
    key_set: str
    """What names the keys in it (:mod:`apostille_contracts.key_sets`)."""
    keys: tuple[KeyStanding, ...]
    """All that are not retired."""
    secrets: tuple[tuple[int, datetime], ...]
    """Versions of the refresh secret and when they were made, oldest first."""
    making: int | None
    """The version that makes new tokens; ``None`` where there is none yet."""
    faults: tuple[str, ...]
    """What could not be decrypted, in words for the operator."""


class RingReader:
    """Reads rings, and opens nothing twice."""

    def __init__(
        self,
        database: Database,
        *,
        source: KeySource,
        encryption: KeyEncryptionKeys,
        schedule: KeySchedule,
    ) -> None:
        """Take where keys are, who makes signers, and what decrypts."""
        self._database = database
        self._source = source
        self._encryption = encryption
        self._schedule = schedule
        self._signers: dict[str, TokenSigner] = {}
        self._secrets: dict[tuple[int, datetime], bytes] = {}

    async def read(self, before: Ring | None, now: datetime) -> Ring:
        """Return how things stand; *before* itself if nothing changed since it was read.

        What cannot be decrypted is left out and named among the faults, so
        that the public keys are published whatever else is wrong.
        """
        async with self._database.read() as session:
            rows = (
                await session.scalars(
                    select(SigningKey)
                    .where(SigningKey.state != KeyState.RETIRED.value)
                    .order_by(SigningKey.created_at, SigningKey.kid)
                )
            ).all()
            secrets = await secrets_in(session, REFRESH_MAC)
        keys = tuple(standing_of(row) for row in rows)
        versions = tuple((secret.version, secret.created_at) for secret in secrets)
        making = making_version(versions, now, self._schedule)
        if (
            before is not None
            and not before.faults
            and (before.keys, before.secrets, before.making) == (keys, versions, making)
        ):
            return before
        faults: list[str] = []
        ring = Ring(
            signers=await self._open_signers(rows, faults),
            macs=self._open_secrets(secrets, making, faults),
            jwks=_key_set(rows),
            key_set=key_set_thumbprint(row.public_jwk for row in rows),
            keys=keys,
            secrets=versions,
            making=making,
            faults=tuple(faults),
        )
        if before is not None and before.jwks == ring.jwks:
            # The same bytes tell whoever serves them that nothing changed.
            return msgspec.structs.replace(ring, jwks=before.jwks)
        return ring

    async def _open_signers(
        self, rows: Sequence[SigningKey], faults: list[str]
    ) -> dict[Algorithm, TokenSigner]:
        """Return the active signers, keeping those that were opened before."""
        opened: dict[str, TokenSigner] = {}
        for row in rows:
            if row.state != KeyState.ACTIVE.value:
                continue
            try:
                opened[row.kid] = self._signers.get(row.kid) or await self._open_signer(row)
            except StartupError as error:
                faults.append(str(error))
        self._signers = opened
        algorithms = {row.kid: cast("Algorithm", row.algorithm) for row in rows}
        return {algorithms[kid]: signer for kid, signer in opened.items()}

    async def _open_signer(self, row: SigningKey) -> TokenSigner:
        purpose = key_purpose(row.kid)
        private = self._encryption.open(row.encrypted_private, purpose, key_id=row.kek_id)
        algorithm = cast("Algorithm", row.algorithm)
        return TokenSigner(await self._source.signer(row.kid, algorithm, private))

    def _open_secrets(
        self, rows: Sequence[Secret], making: int | None, faults: list[str]
    ) -> tuple[bytes, ...]:
        """Return the secrets, the one that makes tokens first, then from new to old."""
        opened: dict[tuple[int, datetime], bytes] = {}
        for row in sorted(rows, key=lambda row: (row.version == making, row.version), reverse=True):
            at = row.version, row.created_at
            purpose = secret_purpose(row.name, row.version)
            try:
                opened[at] = self._secrets.get(at) or self._encryption.open(
                    row.encrypted_value, purpose, key_id=row.kek_id
                )
            except StartupError as error:
                faults.append(str(error))
        self._secrets = opened
        return tuple(opened.values())


def _key_set(rows: Sequence[SigningKey]) -> bytes:
    keys: list[dict[str, Any]] = [row.public_jwk for row in rows]
    return msgspec.json.encode({"keys": keys})
