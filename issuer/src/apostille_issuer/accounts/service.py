"""Acts on user accounts: who people are. What they may do is the access domain's."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.service import AccessService
from apostille_issuer.accounts.drafts import checked_draft, checked_login
from apostille_issuer.accounts.hashing import Hashing
from apostille_issuer.accounts.models import PERSON, User
from apostille_issuer.accounts.names import InvalidLogin, parse_login_prefix
from apostille_issuer.accounts.schemas import UserDraft, UserFilter, UserPatch, UserView
from apostille_issuer.audit.service import AuditTrail, Trail
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, page_of, uuid_of
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.ending import Ending, EndReason, SessionEnder

__all__ = ["AccountService"]

_LAST = "\U0010ffff"
"""Sorts after every character, so that a prefix is a range."""


class AccountService:
    """Creates, shows, changes and deletes user accounts."""

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        access: AccessService,
        hashing: Hashing,
        ender: SessionEnder,
        password_min_length: int = 15,
    ) -> None:
        """Take what acts on accounts need."""
        self._database = database
        self._clock = clock
        self._audit = audit
        self._access = access
        self._hashing = hashing
        self._ender = ender
        self._password_min_length = password_min_length

    async def page(self, wanted: UserFilter, *, cursor: str | None, limit: int) -> Page[UserView]:
        """Return a page of users, in the order they were created in.

        Raises:
            IssuerProblem: ``validation_failed`` for a cursor that is not ours.
        """
        statement = select(User).where(User.kind == PERSON).order_by(User.id).limit(limit + 1)
        if (last := uuid_of(cursor)) is not None:
            statement = statement.where(User.id > last)
        if wanted.state is not None:
            statement = statement.where(User.state == wanted.state)
        if wanted.login:
            prefix = _prefix(wanted.login)
            statement = statement.where(User.login_key.between(prefix, prefix + _LAST))
        async with self._database.read() as session:
            rows = (await session.scalars(statement)).all()
        return page_of(rows, limit, view=view_of, key=lambda row: row.id)

    async def get(self, user_id: uuid.UUID) -> UserView:
        """Return a user.

        Raises:
            IssuerProblem: ``not_found``.
        """
        async with self._database.read() as session:
            return view_of(await _found(session, user_id))

    async def called(self, login: str) -> UserView:
        """Return the user of that login name, in whatever case.

        Raises:
            IssuerProblem: ``validation_failed``, ``not_found``.
        """
        key = checked_login(login).key
        async with self._database.read() as session:
            user = await session.scalar(select(User).where(User.login_key == key))
        if user is None:
            raise IssuerProblem(ProblemCode.NOT_FOUND)
        return view_of(user)

    async def create(
        self, draft: UserDraft, context: RequestContext, *, superuser: bool = False
    ) -> UserView:
        """Create a user, who holds no role yet.

        Args:
            draft: What he is to be.
            context: Who creates him, from where.
            superuser: Give him the role ``superuser`` at once, whoever asks:
                for the command line, no route passes it.

        Raises:
            IssuerProblem: ``validation_failed``, naming the fields;
                ``login_taken``, in whatever case; ``overloaded``.
        """
        user = await self._new(draft)
        async with self._changing(EventTag.USER_CREATED, user.id, context) as session:
            view = await self._add(session, user, context)
            if superuser:
                await self._access.make_superuser(session, user.id, context)
        return view

    async def create_first_superuser(
        self, draft: UserDraft, context: RequestContext
    ) -> UserView | None:
        """Create a superuser if there is none who can log in, or return ``None``.

        Of several replicas that start at once on an empty database, one does.

        Raises:
            IssuerProblem: As :meth:`create`.
        """
        user = await self._new(draft)
        async with self._changing(EventTag.USER_CREATED, user.id, context) as session:
            if await self._access.superuser_exists(session):
                return None
            view = await self._add(session, user, context)
            await self._access.make_superuser(session, user.id, context)
        return view

    async def update(
        self, user_id: uuid.UUID, patch: UserPatch, context: RequestContext
    ) -> UserView:
        """Replace the fields of a user that *patch* names.

        Disabling ends the user's sessions; enabling does not bring them back.

        Raises:
            IssuerProblem: ``not_found``; ``validation_failed``; ``login_taken``;
                ``last_superuser``; ``grant_exceeds_own`` for a user with more
                rights over the issuer than the actor.
        """
        name = None if patch.login is UNSET else checked_login(patch.login)
        async with self._changing(EventTag.USER_UPDATED, user_id, context) as session:
            user = await self._manage(session, user_id, context, removes=patch.state == "disabled")
            before = view_of(user)
            if name is not None:
                user.login, user.login_key = name.text, name.key
            if patch.state is not UNSET:
                user.state = patch.state
            after = view_of(user)
            if after == before:
                return before
            user.updated_at = self._clock()
            await session.flush()
            if after.state == "disabled" != before.state:
                ending = Ending(EndReason.USER_DISABLED, user.updated_at, context)
                await self._ender.end_all(session, user_id, ending)
            self._audit.record(
                session,
                EventTag.USER_UPDATED,
                context=context,
                target=_target(user_id),
                before=_audited(before),
                after=_audited(after),
                tenant_id=Trail.PLATFORM,
            )
            return view_of(user)

    async def delete(self, user_id: uuid.UUID, context: RequestContext) -> None:
        """Delete a user, and with him his sessions, memberships and assignments.

        His access tokens die. Each tenant reads in its trail whom it lost.

        Raises:
            IssuerProblem: ``not_found``, ``last_superuser``, ``grant_exceeds_own``.
        """
        async with self._changing(EventTag.USER_DELETED, user_id, context) as session:
            user = await self._manage(session, user_id, context, removes=True)
            before = _audited(view_of(user))
            await self._access.record_departures(session, [user_id], context)
            ending = Ending(EndReason.USER_DELETED, self._clock(), context)
            await self._ender.end_all(session, user_id, ending)
            await session.delete(user)
            self._audit.record(
                session,
                EventTag.USER_DELETED,
                context=context,
                target=_target(user_id),
                before=before,
                tenant_id=Trail.PLATFORM,
            )

    @asynccontextmanager
    async def _changing(
        self, tag: EventTag, user_id: uuid.UUID, context: RequestContext
    ) -> AsyncIterator[AsyncSession]:
        """Open a transaction in which a login name may be taken, or an act refused.

        Attempts to go around a control are events of their own (ASVS 5.0 V16.3.3).
        """
        try:
            async with self._database.begin(EVERY_TENANT) as session:
                yield session
        except IntegrityError as error:
            raise IssuerProblem(
                ProblemCode.LOGIN_TAKEN,
                errors=(FieldError("login", "belongs to somebody, in this or another case"),),
            ) from error
        except IssuerProblem as problem:
            if problem.code in (ProblemCode.GRANT_EXCEEDS_OWN, ProblemCode.LAST_SUPERUSER):
                async with self._database.begin(EVERY_TENANT) as session:
                    self._audit.record(
                        session,
                        tag,
                        context=context,
                        target=_target(user_id),
                        outcome="refused",
                        after={"code": problem.code.value, "missing": list(problem.missing)},
                        tenant_id=Trail.PLATFORM,
                    )
            raise

    async def _manage(
        self, session: AsyncSession, user_id: uuid.UUID, context: RequestContext, *, removes: bool
    ) -> User:
        """Return the user, locked, if the actor may change him, or take him out of office."""
        if removes:
            # Takes the policy lock, which comes before any lock on a user.
            await self._access.ensure_may_remove(session, context.actor_id, user_id)
        else:
            await self._access.ensure_may_manage(session, context.actor_id, user_id)
        return await _found(session, user_id, lock=True)

    async def _new(self, draft: UserDraft) -> User:
        """Return the user that *draft* describes, his password hashed, not yet stored."""
        name = checked_draft(draft, self._password_min_length)
        password_hash = None
        if draft.password is not None:
            password_hash = await self._hashing.hash(draft.password)
        now = self._clock()
        return User(
            id=new_id(),
            login=name.text,
            login_key=name.key,
            password_hash=password_hash,
            state=draft.state,
            created_at=now,
            updated_at=now,
            password_changed_at=now if password_hash else None,
        )

    async def _add(self, session: AsyncSession, user: User, context: RequestContext) -> UserView:
        session.add(user)
        await session.flush()
        view = view_of(user)
        self._audit.record(
            session,
            EventTag.USER_CREATED,
            context=context,
            target=_target(user.id),
            after=_audited(view),
            tenant_id=Trail.PLATFORM,
        )
        return view


async def _found(session: AsyncSession, user_id: uuid.UUID, *, lock: bool = False) -> User:
    user = await session.get(User, user_id, with_for_update=lock or None)
    # Service accounts have routes of their own; here they are nobody.
    if user is None or user.kind != PERSON:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return user


def _prefix(login: str) -> str:
    try:
        return parse_login_prefix(login)
    except InvalidLogin as error:
        raise IssuerProblem.invalid_field("login", str(error)) from error


def view_of(user: User) -> UserView:
    """Return what clients see of *user*."""
    return msgspec.convert(user, UserView, from_attributes=True)


def _audited(view: UserView) -> dict[str, Any]:
    return {"login": view.login, "state": view.state}


def _target(user_id: uuid.UUID) -> str:
    return f"user:{user_id}"
