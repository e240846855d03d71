"""Who is it? Login name and password to user, in the same time for everybody.

Nobody learns from the answer, or from how long it takes, whether a login name
exists (ASVS 5.0 V6.3.8): an unknown user, one without a password, a disabled
one and one who mistyped all cost one hash computation, one event in the audit
trail, and get the same answer.
"""

from __future__ import annotations

import uuid
from typing import Final, cast

from msgspec import Struct
from sqlalchemy import Table, bindparam, select, update

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.hashing import Hashing, WrongPassword
from apostille_issuer.accounts.models import User
from apostille_issuer.accounts.names import InvalidLogin, parse_login
from apostille_issuer.accounts.passwords import MAX_PASSWORD_LENGTH
from apostille_issuer.accounts.throttle import LoginThrottle, Throttled
from apostille_issuer.audit.service import AuditTrail, Trail
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database, Statements
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem

__all__ = ["Authenticated", "Authenticator", "Superseded"]


class Superseded(Exception):
    """What a password was compared with is not its user's any more, or he may not log in."""


class _Candidate(Struct, frozen=True):
    """What is known of a user when a login starts."""

    id: uuid.UUID
    state: str
    password_hash: str | None


class Authenticated(Struct, frozen=True):
    """A user whose password was right a moment ago."""

    user_id: uuid.UUID
    seen_hash: str
    """What the password was compared with."""
    new_hash: str | None
    """The same password, hashed with the parameters of today, if those differ."""

    def __repr__(self) -> str:
        """Show no hash in any log."""
        return f"Authenticated(user_id={self.user_id!r})"


class Authenticator:
    """Compares passwords, within limits of how often."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        hashing: Hashing,
        throttle: LoginThrottle,
    ) -> None:
        """Take what is needed to look up, compare, limit and record."""
        self._database = database
        self._clock = clock
        self._audit = audit
        self._hashing = hashing
        self._throttle = throttle

    async def authenticate(
        self, login: str, password: str, context: RequestContext
    ) -> Authenticated:
        """Return whose login name and password these are.

        Raises:
            IssuerProblem: ``invalid_credentials``, for whatever reason;
                ``rate_limited`` or ``overloaded``, with ``retry_after``.
        """
        try:
            key = parse_login(login).key
        except InvalidLogin:
            # Nobody can be called that, so nothing is given away.
            raise IssuerProblem(ProblemCode.INVALID_CREDENTIALS) from None
        try:
            attempt = self._throttle.begin(key, context.address, self._clock())
        except Throttled as throttled:
            await self._turn_away(throttled, context)
            raise IssuerProblem(
                ProblemCode.RATE_LIMITED, retry_after=throttled.retry_after
            ) from None
        candidate: _Candidate | None = None
        try:
            candidate = await self._find(key)
            authenticated = await self._compare(candidate, password)
        except WrongPassword:
            await self._record_failure(candidate, context)
            raise IssuerProblem(ProblemCode.INVALID_CREDENTIALS) from None
        except BaseException:
            self._throttle.abandoned(attempt)
            raise
        self._throttle.succeeded(attempt)
        return authenticated

    def confirm(
        self, statements: Statements, found: Authenticated, context: RequestContext
    ) -> None:
        """Make sure, in the transaction that relies on it, that *found* still holds.

        Comparing takes long, and the user may have been disabled or given
        another password meanwhile. From here on the row is locked, so whoever
        does that now waits, and then finds the session that is being made.

        Raises:
            Superseded: It no longer holds. The password may be right all the
                same: another login may have hashed it anew.
        """
        seen = {"seen_id": found.user_id, "seen_hash": found.seen_hash}
        if found.new_hash is None:
            holds = statements.scalar(_STILL_THE_SAME, seen) is not None
        else:
            holds = self._rehash(statements, found, context)
        if not holds:
            raise Superseded

    async def refused(
        self, found: Authenticated, code: ProblemCode, context: RequestContext
    ) -> None:
        """Record that nothing came of a login although the password was right.

        The transaction of the login is gone: this is one of its own, and keeps
        what did not depend on it, the password hashed anew.

        Args:
            found: Who logged in.
            code: Why nothing came of it.
            context: From where it was.
        """
        async with self._database.begin(EVERY_TENANT) as session:
            if found.new_hash is not None:
                await session.run_sync(self._rehash, found, context)
            self._audit.record(
                session,
                EventTag.LOGIN_FAILED,
                context=context,
                target=f"user:{found.user_id}",
                outcome="refused",
                after={"code": code.value},
                tenant_id=Trail.PLATFORM,
            )

    def _rehash(
        self, statements: Statements, found: Authenticated, context: RequestContext
    ) -> bool:
        """Keep the new hash, unless the old one is not the user's any more."""
        seen = {"seen_id": found.user_id, "seen_hash": found.seen_hash, "new_hash": found.new_hash}
        if statements.scalar(_HASHED_ANEW, seen) is None:
            return False
        self._audit.write(
            statements,
            EventTag.PASSWORD_REHASHED,
            context=context,
            target=f"user:{found.user_id}",
            tenant_id=Trail.PLATFORM,
        )
        return True

    async def _find(self, key: str) -> _Candidate | None:
        row = await self._database.read_at_once(
            lambda connection: connection.execute(_BY_KEY, {"key": key}).one_or_none()
        )
        return None if row is None else _Candidate(row.id, row.state, row.password_hash)

    async def _compare(self, candidate: _Candidate | None, password: str) -> Authenticated:
        # Too long to have been accepted ever: refused without any work.
        if len(password) > MAX_PASSWORD_LENGTH:
            raise WrongPassword
        stored = None
        if candidate is not None and candidate.state == "active":
            stored = candidate.password_hash
        verified = await self._hashing.verify(password, stored)
        if candidate is None or stored is None:  # pragma: no cover - verify() has raised
            raise WrongPassword
        new_hash = None
        if verified.outdated:
            new_hash = await self._hash_anew(password)
        return Authenticated(candidate.id, stored, new_hash)

    async def _hash_anew(self, password: str) -> str | None:
        """Return *password* hashed as of today, or not now where that is too much to ask."""
        try:
            return await self._hashing.hash(password)
        except IssuerProblem:
            return None

    async def _record_failure(self, candidate: _Candidate | None, context: RequestContext) -> None:
        """Record a refusal; never what was typed, which may be a password."""
        target = None if candidate is None else f"user:{candidate.id}"
        async with self._database.begin(EVERY_TENANT) as session:
            self._audit.record(
                session,
                EventTag.LOGIN_FAILED,
                context=context,
                target=target,
                outcome="refused",
                tenant_id=Trail.PLATFORM,
            )

    async def _turn_away(self, throttled: Throttled, context: RequestContext) -> None:
        if not throttled.first:
            return
        async with self._database.begin(EVERY_TENANT) as session:
            self._audit.record(
                session,
                EventTag.LOGIN_THROTTLED,
                context=context,
                outcome="refused",
                tenant_id=Trail.PLATFORM,
            )


# Built once: building them anew would cost more than running them.
_USERS: Final = cast("Table", User.__table__)
_BY_KEY: Final = select(_USERS.c.id, _USERS.c.state, _USERS.c.password_hash).where(
    _USERS.c.login_key == bindparam("key")
)
_SAME: Final = (
    _USERS.c.id == bindparam("seen_id"),
    _USERS.c.state == "active",
    _USERS.c.password_hash == bindparam("seen_hash"),
)
_STILL_THE_SAME: Final = select(_USERS.c.id).where(*_SAME).with_for_update(read=True)
_HASHED_ANEW: Final = (
    update(_USERS).where(*_SAME).values(password_hash=bindparam("new_hash")).returning(_USERS.c.id)
)
