"""Keys and secrets in the database: read, added and moved on under one lock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, cast

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.claims import Algorithm
from apostille_issuer.keys.encryption import KeyEncryptionKeys
from apostille_issuer.keys.models import Secret, SigningKey
from apostille_issuer.keys.pairs import KeyPair
from apostille_issuer.keys.schedule import KeyStanding, KeyState, Step, Wanted

__all__ = [
    "REFRESH_MAC",
    "add_key",
    "add_secret",
    "key_purpose",
    "lock_keys",
    "secret_purpose",
    "secrets_in",
    "standing_of",
    "standings_in",
    "take_step",
]

REFRESH_MAC: Final = "refresh-mac"
"""Name of the secret that authenticates refresh tokens."""

_LOCK: Final = 0x61706F206B657973
"""PostgreSQL advisory lock of whoever changes keys: "apo keys" as a number."""


async def lock_keys(session: AsyncSession) -> None:
    """Let one transaction at a time change keys, until that of *session* ends.

    What is read after this is what every other process committed. On SQLite
    the write transaction is that lock already.
    """
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(select(func.pg_advisory_xact_lock(_LOCK)))


async def standings_in(session: AsyncSession) -> list[KeyStanding]:
    """Return how all keys stand that are not retired, oldest first."""
    rows = await session.scalars(
        select(SigningKey)
        .where(SigningKey.state != KeyState.RETIRED.value)
        .order_by(SigningKey.created_at, SigningKey.kid)
    )
    return [standing_of(row) for row in rows]


def standing_of(row: SigningKey) -> KeyStanding:
    """Return how the key of *row* stands."""
    return KeyStanding(
        kid=row.kid,
        algorithm=cast("Algorithm", row.algorithm),
        state=KeyState(row.state),
        created_at=row.created_at,
        activates_at=row.activates_at,
        expires_at=row.expires_at,
    )


async def take_step(session: AsyncSession, step: Step) -> None:
    """Do *step*; a key that retires loses its private half.

    Raises:
        LookupError: The key is not in the state that the step starts from,
            which the lock rules out.
    """
    moments = {
        "activates_at": step.activates_at,
        "retires_at": step.retires_at,
        "expires_at": step.expires_at,
    }
    values: dict[str, object] = {k: v for k, v in moments.items() if v is not None}
    if step.after is KeyState.RETIRED:
        values["encrypted_private"] = b""
    moved = await session.execute(
        update(SigningKey)
        .where(SigningKey.kid == step.kid, SigningKey.state == step.before.value)
        .values(state=step.after.value, **values)
        .returning(SigningKey.kid)
        .execution_options(synchronize_session=False)
    )
    if moved.first() is None:
        raise LookupError("a key moved on although the keys are locked")


def add_key(
    session: AsyncSession,
    pair: KeyPair,
    wanted: Wanted,
    encryption: KeyEncryptionKeys,
    now: datetime,
) -> SigningKey:
    """Add the key *pair*, made for what was *wanted*."""
    row = SigningKey(
        kid=pair.kid,
        algorithm=pair.algorithm,
        state=(KeyState.ACTIVE if wanted.at_once else KeyState.NEXT).value,
        public_jwk=pair.public_jwk,
        encrypted_private=encryption.seal(pair.private, key_purpose(pair.kid)),
        kek_id=encryption.current.id,
        created_at=now,
        activates_at=wanted.activates_at,
    )
    session.add(row)
    return row


async def secrets_in(session: AsyncSession, name: str) -> Sequence[Secret]:
    """Return all versions of a secret, oldest first."""
    rows = await session.scalars(select(Secret).where(Secret.name == name).order_by(Secret.version))
    return rows.all()


def add_secret(
    session: AsyncSession,
    version: int,
    value: bytes,
    encryption: KeyEncryptionKeys,
    now: datetime,
) -> None:
    """Add *version* of the secret that authenticates refresh tokens."""
    session.add(
        Secret(
            name=REFRESH_MAC,
            version=version,
            encrypted_value=encryption.seal(value, secret_purpose(REFRESH_MAC, version)),
            kek_id=encryption.current.id,
            created_at=now,
        )
    )


def key_purpose(kid: str) -> str:
    """Return what the private half of a key is sealed for."""
    return f"signing key {kid}"


def secret_purpose(name: str, version: int) -> str:
    """Return what a secret is sealed for."""
    return f"secret {name} version {version}"
