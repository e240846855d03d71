"""Encrypting anew what an earlier key-encryption key encrypted."""

from __future__ import annotations

from sqlalchemy import select

from apostille_contracts.events import EventTag
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.db.engine import Database
from apostille_issuer.http.context import RequestContext
from apostille_issuer.keys.encryption import KeyEncryptionKeys
from apostille_issuer.keys.models import Secret, SigningKey
from apostille_issuer.keys.schedule import KeyState
from apostille_issuer.keys.schemas import Rewrapping
from apostille_issuer.keys.store import key_purpose, lock_keys, secret_purpose

__all__ = ["rewrap"]


async def rewrap(
    database: Database, audit: AuditTrail, encryption: KeyEncryptionKeys, context: RequestContext
) -> Rewrapping:
    """Encrypt everything with the current key-encryption key; all of it or nothing.

    Raises:
        StartupError: Something cannot be decrypted; nothing was changed.
    """
    current = encryption.current.id
    keys = secrets = 0
    async with database.begin() as session:
        await lock_keys(session)
        kept = SigningKey.state != KeyState.RETIRED.value  # the others hold nothing any more
        for key in await session.scalars(select(SigningKey).where(kept)):
            if key.kek_id != current:
                purpose = key_purpose(key.kid)
                plain = encryption.open(key.encrypted_private, purpose, key_id=key.kek_id)
                key.encrypted_private, key.kek_id = encryption.seal(plain, purpose), current
                keys += 1
        for secret in await session.scalars(select(Secret).where(Secret.kek_id != current)):
            purpose = secret_purpose(secret.name, secret.version)
            plain = encryption.open(secret.encrypted_value, purpose, key_id=secret.kek_id)
            secret.encrypted_value, secret.kek_id = encryption.seal(plain, purpose), current
            secrets += 1
        done = Rewrapping(keys=keys, secrets=secrets)
        if keys or secrets:
            target = f"key-encryption-key:{current}"
            audit.record(
                session, EventTag.KEY_REWRAPPED, context=context, target=target, after=done
            )
    return done
