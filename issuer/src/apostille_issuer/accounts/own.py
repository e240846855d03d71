"""What people do with their own accounts."""

from __future__ import annotations

import uuid

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.service import AccessService
from apostille_issuer.accounts.authentication import Authenticator
from apostille_issuer.accounts.drafts import checked_password
from apostille_issuer.accounts.hashing import Hashing
from apostille_issuer.accounts.models import User
from apostille_issuer.accounts.schemas import PasswordChange, Profile
from apostille_issuer.accounts.service import view_of
from apostille_issuer.audit.service import AuditTrail, Trail
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import RequestContext
from apostille_issuer.notifications.schemas import NotificationKind
from apostille_issuer.notifications.service import Notifications
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.ending import Ending, EndReason, SessionEnder

__all__ = ["OwnAccount"]


class OwnAccount:
    """Acts of users on themselves."""

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        access: AccessService,
        authenticator: Authenticator,
        hashing: Hashing,
        ender: SessionEnder,
        notifications: Notifications,
        password_min_length: int = 15,
    ) -> None:
        """Take what these acts need."""
        self._database = database
        self._clock = clock
        self._audit = audit
        self._access = access
        self._authenticator = authenticator
        self._hashing = hashing
        self._ender = ender
        self._notifications = notifications
        self._password_min_length = password_min_length

    async def profile(self, user_id: uuid.UUID, session_id: uuid.UUID | None) -> Profile:
        """Return what the user of an access token sees of himself.

        Raises:
            IssuerProblem: ``session_ended``; he has been deleted.
        """
        async with self._database.read() as session:
            user = await _bearer(session, user_id)
            rights = await self._access.entitlements(session, user_id, None)
        return Profile(
            **msgspec.structs.asdict(view_of(user)),
            session_id=session_id,
            roles=rights.roles,
            permissions=rights.permissions,
        )

    async def change_password(
        self,
        user_id: uuid.UUID,
        change: PasswordChange,
        *,
        session_id: uuid.UUID | None,
        context: RequestContext,
    ) -> None:
        """Set a new password for who knows the present one; ends his other sessions.

        Guesses at the present password count like guesses at the login.

        Raises:
            IssuerProblem: ``session_ended``, ``invalid_credentials``,
                ``validation_failed``, ``rate_limited``, ``overloaded``.
        """
        async with self._database.read() as session:
            login = (await _bearer(session, user_id)).login
        checked_password(
            "new_password",
            change.new_password,
            login=login,
            min_length=self._password_min_length,
        )
        found = await self._authenticator.authenticate(login, change.current_password, context)
        new_hash = await self._hashing.hash(change.new_password)
        async with self._database.begin(EVERY_TENANT) as session:
            await session.run_sync(self._authenticator.confirm, found, context)
            user = await _bearer(session, user_id)
            user.password_hash = new_hash
            user.password_changed_at = user.updated_at = self._clock()
            ending = Ending(EndReason.PASSWORD_CHANGED, user.updated_at, context)
            await self._ender.end_all(session, user_id, ending, but=session_id)
            self._audit.record(
                session,
                EventTag.PASSWORD_CHANGED,
                context=context,
                target=f"user:{user_id}",
                tenant_id=Trail.PLATFORM,
            )
            self._notifications.tell(
                session,
                user_id,
                NotificationKind.PASSWORD_CHANGED,
                context=context,
                session_id=session_id,
            )


async def _bearer(session: AsyncSession, user_id: uuid.UUID) -> User:
    """Return the user an access token speaks for, who may be gone meanwhile."""
    user = await session.get(User, user_id)
    if user is None:
        raise IssuerProblem(ProblemCode.SESSION_ENDED)
    return user
