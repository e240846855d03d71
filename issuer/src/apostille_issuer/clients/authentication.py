"""Which client is asking? By a secret, or by an assertion that it signed.

Nobody learns from the answer whether a client exists, whether its key has
expired or was revoked, or whether it is disabled: all are refused alike, after
the same one statement; the reason is in the audit trail.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from msgspec import Struct
from sqlalchemy import Row, Select, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.clients import public_keys
from apostille_issuer.clients.assertions import (
    InvalidAssertion,
    UnverifiedAssertion,
    check_claims,
    read_assertion,
)
from apostille_issuer.clients.models import USERS, ApiKey, ServiceAccount, UsedAssertion
from apostille_issuer.clients.secrets import ApiSecret, InvalidSecret, matches, read_secret
from apostille_issuer.sessions.client_sessions import KeyHolder

__all__ = ["Authenticated", "ClientAuthenticator", "ClientRefused", "Credentials", "Proof"]

MAX_KEYS: Final = 200
"""Public keys of an account that are looked at, newest first; no account has so many that work."""


class Credentials(Struct, frozen=True, kw_only=True):
    """What a request says about its client; a secret or an assertion."""

    client_id: str | None
    """As it names itself; an assertion names it, too."""
    secret: str | None = None
    assertion: str | None = None

    def __repr__(self) -> str:
        """Show no credentials in any log."""
        return f"Credentials(client_id={self.client_id!r})"


class ClientRefused(Exception):
    """It is not who it says, or no client at all.

    Attributes:
        reason: For the audit, never for the client.
        key_id: The key that it came with, if there is one.
        tenant_id: That key's.
    """

    def __init__(
        self, reason: str, key_id: uuid.UUID | None = None, tenant_id: uuid.UUID | None = None
    ) -> None:
        """Say why."""
        super().__init__(reason)
        self.reason = reason
        self.key_id = key_id
        self.tenant_id = tenant_id


class SecretProof(Struct, frozen=True):
    """A secret in due form, and whose it is said to be."""

    client_id: uuid.UUID
    secret: ApiSecret

    @property
    def credential(self) -> str:
        """What it is told by."""
        return self.secret.key_id.hex

    @property
    def secret_hash(self) -> str | None:
        """What it is known again by."""
        return self.secret.hash


class AssertionProof(Struct, frozen=True):
    """An assertion whose claims are right, and whose signature is to be checked."""

    client_id: uuid.UUID
    assertion: UnverifiedAssertion
    usable_until: datetime

    @property
    def credential(self) -> str:
        """What it is told by."""
        return f"{self.client_id} {self.assertion.kid}"

    @property
    def secret_hash(self) -> str | None:
        """There is none: it is good once."""
        return None


Proof: TypeAlias = SecretProof | AssertionProof


class Authenticated(Struct, frozen=True):
    """A client that has proved who it is."""

    holder: KeyHolder
    last_used_at: datetime | None
    assertion: AssertionProof | None
    """To be used up (:meth:`ClientAuthenticator.use_up`)."""


class ClientAuthenticator:
    """Compares credentials with keys; opens no transaction."""

    def __init__(self, audiences: frozenset[str]) -> None:
        """Take what assertions may name as their audience."""
        self._audiences = audiences

    def read(self, credentials: Credentials, now: datetime) -> Proof:
        """Return what *credentials* prove, as far as they tell by themselves.

        Raises:
            ClientRefused: They cannot be anybody's.
        """
        if credentials.secret is not None:
            try:
                return SecretProof(
                    _client_id(credentials.client_id), read_secret(credentials.secret)
                )
            except InvalidSecret:
                raise ClientRefused("malformed_secret") from None
        try:
            assertion = read_assertion(credentials.assertion or "")
            usable_until = check_claims(assertion, self._audiences, now)
        except InvalidAssertion as invalid:
            raise ClientRefused(str(invalid)) from None
        if credentials.client_id not in (None, assertion.client_id):
            raise ClientRefused("another_client")
        return AssertionProof(_client_id(assertion.client_id), assertion, usable_until)

    async def find(self, session: AsyncSession, proof: Proof, now: datetime) -> Authenticated:
        """Return which client it is.

        Args:
            session: A transaction over all tenants.
            proof: What it came with.
            now: The present.

        Raises:
            ClientRefused: It is none, or not at present.
        """
        if isinstance(proof, SecretProof):
            given = {"key_id": proof.secret.key_id}
            row = (await session.execute(_BY_KEY, given)).one_or_none()
            stored = None if row is None else row.secret_hash
            right = matches(proof.secret, stored)
            if row is None:
                raise ClientRefused("unknown_key")
            if not right:
                raise _refused("wrong_secret", row)
            if row.account_id != proof.client_id:
                raise _refused("another_client", row)
            return _living(row, now, None)
        given = {"account_id": proof.client_id}
        rows = (await session.execute(_BY_ACCOUNT, given)).all()
        return _living(_signer(rows, proof.assertion), now, proof)

    async def confirm(
        self, session: AsyncSession, key_id: uuid.UUID, now: datetime
    ) -> Authenticated:
        """Return the same of a key that was found a moment ago, as it is now.

        Raises:
            ClientRefused: It is no good any more.
        """
        row = (await session.execute(_BY_KEY, {"key_id": key_id})).one_or_none()
        if row is None:
            raise ClientRefused("unknown_key")
        return _living(row, now, None)

    async def use_up(self, session: AsyncSession, found: Authenticated, now: datetime) -> None:
        """Let nobody use the assertion of a client again, on any replica.

        Raises:
            ClientRefused: Somebody has.
        """
        proof, holder = found.assertion, found.holder
        if proof is None:
            return
        # It may have expired while we waited for the session, and been forgotten since.
        if proof.usable_until <= now:
            raise ClientRefused("expired_assertion", holder.key_id, holder.tenant_id)
        # What has expired is refused for that, and need not be remembered.
        await session.execute(
            delete(UsedAssertion)
            .where(UsedAssertion.account_id == proof.client_id, UsedAssertion.expires_at <= now)
            .execution_options(synchronize_session=False)
        )
        dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
        first = await session.scalar(
            dialect.insert(UsedAssertion)
            .values(
                account_id=proof.client_id,
                jti_hash=proof.assertion.jti_hash,
                expires_at=proof.usable_until,
            )
            .on_conflict_do_nothing()
            .returning(UsedAssertion.jti_hash)
        )
        if first is None:
            raise ClientRefused("used_before", holder.key_id, holder.tenant_id)


def _client_id(text: str | None) -> uuid.UUID:
    try:
        found = uuid.UUID(text or "")
    except ValueError:
        raise ClientRefused("unknown_client") from None
    if str(found) != text:  # there is one way to write it
        raise ClientRefused("unknown_client")
    return found


def _signer(rows: Sequence[Row[Any]], assertion: UnverifiedAssertion) -> Row[Any]:
    """Return the key that signed *assertion*."""
    fitting = [
        row for row in rows if public_keys.fits(row.public_jwk, assertion.algorithm, assertion.kid)
    ]
    for row in fitting:
        if public_keys.verifies(row.public_jwk, assertion.message, assertion.signature):
            return row
    if fitting:
        raise _refused("bad_signature", fitting[0])
    raise ClientRefused("unknown_key")


def _living(row: Row[Any], now: datetime, proof: AssertionProof | None) -> Authenticated:
    """Return the client of a key, if both are good now."""
    if row.revoked_at is not None:
        raise _refused("revoked", row)
    # In whole seconds, as tokens have it: none is good for none.
    if int(row.expires_at.timestamp()) <= int(now.timestamp()):
        raise _refused("expired", row)
    if row.state != "active":
        raise _refused("disabled", row)
    holder = KeyHolder(
        key_id=row.id,
        account_id=row.account_id,
        tenant_id=row.tenant_id,
        organization_id=row.organization_id,
        expires_at=row.expires_at,
    )
    return Authenticated(holder, row.last_used_at, proof)


def _refused(reason: str, key: Row[Any]) -> ClientRefused:
    return ClientRefused(reason, key.id, key.tenant_id)


def _keys(*which: Any) -> Select[Any]:
    return (
        select(
            ApiKey.id,
            ApiKey.account_id,
            ApiKey.secret_hash,
            ApiKey.public_jwk,
            ApiKey.expires_at,
            ApiKey.revoked_at,
            ApiKey.last_used_at,
            ServiceAccount.tenant_id,
            ServiceAccount.organization_id,
            USERS.c.state,
        )
        .join(ServiceAccount, ServiceAccount.id == ApiKey.account_id)
        .join(USERS, USERS.c.id == ServiceAccount.id)
        .where(*which)
    )


# Built once: composing a statement takes as long as SQLite takes to answer it.
_BY_KEY = _keys(ApiKey.id == bindparam("key_id"))
_BY_ACCOUNT = (
    _keys(
        ApiKey.account_id == bindparam("account_id"),
        ApiKey.secret_hash.is_(None),
        ApiKey.revoked_at.is_(None),
    )
    .order_by(ApiKey.id.desc())
    .limit(MAX_KEYS)
)
