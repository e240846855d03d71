"""Accounts of people who answer an invitation: found, made, or proven to be theirs.

The letter proves that they own the address, which is why an account may be made
for it. An account that is there already proves itself.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.accounts.authentication import Authenticated, Authenticator
from apostille_issuer.accounts.drafts import checked_password
from apostille_issuer.accounts.hashing import Hashing
from apostille_issuer.accounts.models import User
from apostille_issuer.accounts.names import LoginName
from apostille_issuer.accounts.throttle import LoginThrottle, Throttled
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clock import Clock
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem

__all__ = ["InvitedAccounts", "NewAccount"]


class NewAccount(Struct, frozen=True):
    """An account that can be made: its name is allowed, its password hashed."""

    id: uuid.UUID
    name: LoginName
    password_hash: str

    def __repr__(self) -> str:
        """Show no hash in any log."""
        return f"NewAccount(id={self.id!r})"


class InvitedAccounts:
    """What an acceptance does to accounts, in the transaction of the acceptance."""

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        clock: Clock,
        audit: AuditTrail,
        *,
        authenticator: Authenticator,
        hashing: Hashing,
        throttle: LoginThrottle,
        password_min_length: int = 15,
    ) -> None:
        """Take what is needed.

        Args:
            clock: Dates accounts.
            audit: Records them.
            authenticator: Compares passwords of accounts that are there.
            hashing: Hashes those of new ones.
            throttle: Bounds how often an invitation may be answered in vain,
                by address invited and by IP address.
            password_min_length: As for all accounts.
        """
        self._clock = clock
        self._audit = audit
        self._authenticator = authenticator
        self._hashing = hashing
        self._throttle = throttle
        self._password_min_length = password_min_length

    @asynccontextmanager
    async def attempt(self, key: str, context: RequestContext) -> AsyncIterator[None]:
        """Count an answer that comes to nothing, as a login that fails is counted.

        Args:
            key: What makes two addresses the same.
            context: From where it comes.

        Raises:
            IssuerProblem: ``rate_limited``, with ``retry_after``.
        """
        try:
            attempt = self._throttle.begin(key, context.address, self._clock())
        except Throttled as throttled:
            raise IssuerProblem(
                ProblemCode.RATE_LIMITED, retry_after=throttled.retry_after
            ) from None
        try:
            yield
        except IssuerProblem as problem:
            # Not his fault, or a password that may not be set, which cost no work.
            if problem.status >= 500 or problem.code is ProblemCode.VALIDATION_FAILED:
                self._throttle.abandoned(attempt)
            raise
        except BaseException:
            self._throttle.abandoned(attempt)
            raise
        self._throttle.abandoned(attempt)

    async def draft(self, name: LoginName, password: str) -> NewAccount:
        """Return a new account for *name*, not yet stored.

        Raises:
            IssuerProblem: ``validation_failed`` for ``password``; ``overloaded``.
        """
        checked_password(
            "password", password, login=name.text, min_length=self._password_min_length
        )
        return NewAccount(new_id(), name, await self._hashing.hash(password))

    async def add(
        self, session: AsyncSession, account: NewAccount, context: RequestContext
    ) -> uuid.UUID:
        """Store *account* and return its identifier.

        Raises:
            IssuerProblem: ``login_taken``.
        """
        now = self._clock()
        session.add(
            User(
                id=account.id,
                login=account.name.text,
                login_key=account.name.key,
                password_hash=account.password_hash,
                state="active",
                kind="person",
                created_at=now,
                updated_at=now,
                password_changed_at=now,
            )
        )
        try:
            await session.flush()
        except IntegrityError as error:
            raise _taken() from error
        self._audit.record(
            session,
            EventTag.USER_CREATED,
            context=context,
            target=f"user:{account.id}",
            after={"login": account.name.text, "state": "active"},
        )
        return account.id

    async def prove(self, login: str, password: str, context: RequestContext) -> Authenticated:
        """Return whose login name and password these are; see :meth:`.Authenticator.authenticate`.

        Raises:
            IssuerProblem: ``invalid_credentials``, ``rate_limited``, ``overloaded``.
        """
        return await self._authenticator.authenticate(login, password, context)

    async def confirm(
        self, session: AsyncSession, proven: Authenticated, context: RequestContext
    ) -> uuid.UUID:
        """Return who that was, if it still holds; see :meth:`.Authenticator.confirm`.

        Raises:
            IssuerProblem: ``invalid_credentials``.
        """
        # Hashed anew at his next login: that is the platform's to record, and
        # this transaction reaches over the tenant that invites him alone.
        await session.run_sync(self._authenticator.confirm, replace(proven, new_hash=None), context)
        return proven.user_id

    async def require_owner(self, session: AsyncSession, user_id: uuid.UUID, key: str) -> None:
        """Let only that person answer whose login name the address is; locks his account.

        Args:
            session: The transaction; under the policy lock, which comes first.
            user_id: Who proved himself.
            key: What makes two login names, or addresses, the same.

        Raises:
            IssuerProblem: ``address_mismatch``: it is somebody else's address,
                or he is no person; ``session_ended``: he is gone, or disabled.
        """
        statement = select(User).where(User.id == user_id)
        user = await session.scalar(statement.with_for_update(read=True))
        if user is None or user.state != "active":
            raise IssuerProblem(ProblemCode.SESSION_ENDED)
        if user.kind != "person" or user.login_key != key:
            raise IssuerProblem(ProblemCode.ADDRESS_MISMATCH)

    async def require_none(self, session: AsyncSession, key: str) -> None:
        """Refuse a new account where there is one of that name.

        Raises:
            IssuerProblem: ``login_taken``.
        """
        if await session.scalar(select(User.id).where(User.login_key == key)) is not None:
            raise _taken()


def _taken() -> IssuerProblem:
    return IssuerProblem(
        ProblemCode.LOGIN_TAKEN,
        errors=(FieldError("login", "has an account: prove that it is yours"),),
    )
