"""What administrators see of keys, and do to them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Protocol

import msgspec
from sqlalchemy import select, tuple_

from apostille_contracts.claims import Algorithm
from apostille_contracts.problems import ProblemCode
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.db.engine import Database
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, key_of, page_of
from apostille_issuer.keys.models import SigningKey
from apostille_issuer.keys.rewrapping import rewrap
from apostille_issuer.keys.schemas import KeyView, Rewrapping, SecretView, Withdrawal
from apostille_issuer.keys.service import KeyService
from apostille_issuer.problems import IssuerProblem

__all__ = ["KeyAdministration", "WithdrawalWatch"]

_KID = re.compile(r"[A-Za-z0-9_-]{43}")
"""A SHA-256 thumbprint (RFC 7638)."""


class WithdrawalWatch(Protocol):
    """Does what a withdrawn key makes necessary elsewhere."""

    async def key_withdrawn(
        self, kid: str, signed_until: datetime | None, context: RequestContext
    ) -> int:
        """Void what *kid* may have signed; return how many sessions that concerned.

        Args:
            kid: Of the key.
            signed_until: When it was last used, by whichever process; ``None``
                for a key that never signed.
            context: Who withdrew it.
        """


class KeyAdministration:
    """Lists, rotates and withdraws; other processes follow within seconds."""

    def __init__(
        self,
        keys: KeyService,
        database: Database,
        audit: AuditTrail,
        *,
        watch: WithdrawalWatch,
    ) -> None:
        """Act on *keys*, which have been started, and tell *watch* which are withdrawn."""
        self._keys = keys
        self._database = database
        self._audit = audit
        self._watch = watch

    async def page(self, *, cursor: str | None, limit: int) -> Page[KeyView]:
        """Return a page of keys, the newest first, retired ones included.

        Raises:
            IssuerProblem: ``validation_failed`` for a cursor that is not ours.
        """
        statement = select(SigningKey).order_by(SigningKey.created_at.desc(), SigningKey.kid.desc())
        async with self._database.read() as session:
            if kid := key_of(cursor):
                last = await session.get(SigningKey, kid)
                if last is None:
                    raise IssuerProblem.invalid_field("cursor", "send one from the page before")
                earlier = tuple_(SigningKey.created_at, SigningKey.kid) < (last.created_at, kid)
                statement = statement.where(earlier)
            rows = (await session.scalars(statement.limit(limit + 1))).all()
        return page_of(rows, limit, view=_view, key=lambda row: row.kid)

    async def get(self, kid: str) -> KeyView:
        """Return one key.

        Raises:
            IssuerProblem: ``not_found``.
        """
        _check(kid)
        async with self._database.read() as session:
            row = await session.get(SigningKey, kid)
            if row is None:
                raise IssuerProblem(ProblemCode.NOT_FOUND)
            return _view(row)

    async def rotate(self, context: RequestContext, algorithm: Algorithm | None = None) -> KeyView:
        """Let the next key take over as soon as every service can know it.

        That is at once, unless it was made less than a publication period ago.

        Args:
            context: Who wants it.
            algorithm: Whose key; default: the one that signs.

        Returns:
            The successor: active already, or with the time when it will be.

        Raises:
            IssuerProblem: ``validation_failed``: keys of that algorithm are
                not kept.
        """
        tools = self._keys.tools
        successor = await tools.rotation.rotate(algorithm or self._keys.algorithm, context)
        await self._keys.refresh()
        return await self.get(successor)

    async def withdraw(self, kid: str, context: RequestContext) -> Withdrawal:
        """Take a key that somebody else may know out of the key set at once.

        The status lists say within half a second that the key set is another
        one, so that services drop the key when they next ask for a list; and
        they say that every access token there is is void. Sessions live on:
        their next refresh yields a token by the successor. Where this was
        interrupted, withdrawing the key again finishes it.

        Raises:
            IssuerProblem: ``not_found``.
        """
        _check(kid)
        tools = self._keys.tools
        await tools.rotation.withdraw(kid, context)
        await self._keys.refresh()
        key = await self.get(kid)
        voided = await self._watch.key_withdrawn(kid, self._signed_until(key), context)
        return Withdrawal(key=key, voided=voided)

    def _signed_until(self, key: KeyView) -> datetime | None:
        """Return when the last process stopped signing with *key*, if any ever signed."""
        if key.expires_at is None or key.activates_at > key.expires_at:
            return None
        return key.expires_at + self._keys.spread

    def secrets(self) -> tuple[SecretView, ...]:
        """Return the versions of the refresh secret, oldest first."""
        ring = self._keys.ring
        return tuple(
            SecretView(version=version, created_at=made, makes_tokens=version == ring.making)
            for version, made in ring.secrets
        )

    async def rotate_secret(self, context: RequestContext) -> int:
        """Make a new version of the refresh secret; no session ends by it.

        It makes tokens once every process knows it.

        Returns:
            The version.
        """
        version = await self._keys.tools.secrets.rotate(context)
        await self._keys.refresh()
        return version

    async def withdraw_secret(self, version: int, context: RequestContext) -> None:
        """Refuse every refresh token made with *version*: their users log in again.

        Raises:
            IssuerProblem: ``not_found``.
        """
        await self._keys.tools.secrets.withdraw(version, context)
        await self._keys.refresh()

    async def rewrap(self, context: RequestContext) -> Rewrapping:
        """Encrypt everything with the current key-encryption key; all of it or nothing.

        Raises:
            StartupError: Something cannot be decrypted.
        """
        tools = self._keys.tools
        return await rewrap(self._database, self._audit, tools.encryption, context)


def _check(kid: str) -> None:
    """Refuse what is no ``kid`` before the database is asked: it may be anything."""
    if _KID.fullmatch(kid) is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)


def _view(row: SigningKey) -> KeyView:
    return msgspec.convert(row, KeyView, from_attributes=True)
