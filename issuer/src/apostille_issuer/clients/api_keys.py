"""API keys: what service accounts prove themselves with.

Who has a key can do what its account may; so who makes one must hold all of
that himself (:func:`.require_may_stand_in`).
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.authority import reach_of
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.policy import Change
from apostille_issuer.access.service import AccessService
from apostille_issuer.access.standing_in import (
    AccountPlace,
    authorize_at,
    require_may_manage_at,
    require_may_stand_in,
)
from apostille_issuer.clients.accounts import find_account, target_of
from apostille_issuer.clients.models import ApiKey, ServiceAccount
from apostille_issuer.clients.public_keys import checked_jwk
from apostille_issuer.clients.schemas import (
    ApiKeyCreated,
    ApiKeyDraft,
    ApiKeyRotation,
    ApiKeyView,
    KeyState,
)
from apostille_issuer.clients.secrets import ApiSecret, make_secret
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, page_of, uuid_of
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.client_sessions import ClientSessions, KeyHolder
from apostille_issuer.tenancy.naming import check_name

__all__ = ["ApiKeys", "key_target"]

READ = IssuerPermission.CLIENTS_READ.value
WRITE = IssuerPermission.CLIENTS_WRITE.value

DEFAULT_LIFETIME: Final = timedelta(days=365)


class _Draft(Struct, frozen=True):
    """A key that may be made."""

    name: str
    public_jwk: dict[str, Any] | None
    lifetime: timedelta


class ApiKeys:
    """Makes, shows, replaces and revokes the keys of service accounts."""

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        *,
        access: AccessService,
        sessions: ClientSessions,
        max_lifetime: timedelta,
        per_account: int,
    ) -> None:
        """Take what these acts need.

        Args:
            database: Holds the keys.
            clock: Dates them.
            access: Opens the transactions in which they change.
            sessions: Keeps what their access tokens stand in.
            max_lifetime: The longest that a key may live.
            per_account: Most keys that work, of one account.
        """
        self._database = database
        self._clock = clock
        self._access = access
        self._sessions = sessions
        self._max_lifetime = max_lifetime
        self._per_account = per_account

    async def page(
        self, account_id: uuid.UUID, context: RequestContext, *, cursor: str | None, limit: int
    ) -> Page[ApiKeyView]:
        """Return a page of the keys of an account, the newest first, also those that have ended.

        Raises:
            IssuerProblem: ``not_found``; ``permission_denied``; ``validation_failed``.
        """
        now = self._clock()
        statement = select(ApiKey).where(ApiKey.account_id == account_id)
        if (last := uuid_of(cursor)) is not None:
            statement = statement.where(ApiKey.id < last)
        async with self._database.read(reach_of(context)) as session:
            account, _ = await find_account(session, account_id, context)
            await authorize_at(session, context, account.organization_id, READ)
            newest_first = statement.order_by(ApiKey.id.desc()).limit(limit + 1)
            rows = (await session.scalars(newest_first)).all()
        return page_of(rows, limit, view=lambda row: _view(row, now), key=lambda row: row.id)

    async def create(
        self, account_id: uuid.UUID, draft: ApiKeyDraft, context: RequestContext
    ) -> ApiKeyCreated:
        """Make a key for an account.

        Raises:
            IssuerProblem: ``not_found``; ``permission_denied``;
                ``validation_failed``; ``grant_exceeds_own`` for an account that
                holds what the actor does not; ``conflict`` if it has as many
                keys as it may.
        """
        checked = self._checked(draft.name, draft.public_jwk, draft.expires_in_seconds)
        tag, target = EventTag.API_KEY_CREATED, target_of(account_id)
        async with self._access.change(context, tag, target) as change:
            account, _ = await find_account(change.session, account_id, context)
            await require_may_stand_in(change.session, context, _place(account), WRITE)
            return await self._add(change, account, checked)

    async def rotate(
        self,
        account_id: uuid.UUID,
        key_id: uuid.UUID,
        rotation: ApiKeyRotation,
        context: RequestContext,
    ) -> ApiKeyCreated:
        """Make a key in the place of another one, which goes on working for a while.

        Raises:
            IssuerProblem: What :meth:`create` raises; ``conflict`` if the old
                one works no longer.
        """
        tag, target = EventTag.API_KEY_CREATED, target_of(account_id)
        async with self._access.change(context, tag, target) as change:
            session = change.session
            account, _ = await find_account(session, account_id, context)
            await require_may_stand_in(session, context, _place(account), WRITE)
            old = await _find_key(session, account_id, key_id)
            if (old.public_jwk is None) is not (rotation.public_jwk is None):
                detail = "for a key that is a public key, its successor; else none"
                raise IssuerProblem.invalid_field("public_jwk", detail)
            checked = self._checked(
                rotation.name or old.name, rotation.public_jwk, rotation.expires_in_seconds
            )
            now = self._clock()
            if _state(old, now) != "active":
                raise _conflict("key", "works no longer; make a new one")
            if rotation.overlap_seconds == 0:
                await self._revoke(change, account, old, context)
            else:
                end = now + timedelta(seconds=rotation.overlap_seconds)
                sooner = min(old.expires_at, end)
                # Its session first, as whoever uses the key locks it first.
                await self._sessions.shorten(session, key_id, sooner)
                old.expires_at = sooner
                await session.flush()
            return await self._add(change, account, checked, replaces=old)

    async def revoke(
        self, account_id: uuid.UUID, key_id: uuid.UUID, context: RequestContext
    ) -> None:
        """Revoke a key and void its access tokens; one that has been revoked is no error.

        Raises:
            IssuerProblem: ``not_found``; ``permission_denied``;
                ``grant_exceeds_own`` for an account with more rights over the
                issuer than the actor.
        """
        tag, target = EventTag.API_KEY_REVOKED, target_of(account_id)
        async with self._access.change(context, tag, target) as change:
            account, _ = await find_account(change.session, account_id, context)
            await require_may_manage_at(change.session, context, _place(account), WRITE)
            key = await _find_key(change.session, account_id, key_id)
            if key.revoked_at is None:
                await self._revoke(change, account, key, context)

    def _checked(
        self, name: str, public_jwk: dict[str, Any] | None, expires_in_seconds: int | None
    ) -> _Draft:
        """Return what is asked for, if such a key may be made."""
        lifetime = min(DEFAULT_LIFETIME, self._max_lifetime)
        if expires_in_seconds is not None:
            lifetime = timedelta(seconds=expires_in_seconds)
        if lifetime > self._max_lifetime:
            most = int(self._max_lifetime.total_seconds())
            raise IssuerProblem.invalid_field("expires_in_seconds", f"at most {most}")
        jwk = None if public_jwk is None else checked_jwk(public_jwk)
        return _Draft(check_name("name", name).text, jwk, lifetime)

    async def _add(
        self,
        change: Change,
        account: ServiceAccount,
        draft: _Draft,
        *,
        replaces: ApiKey | None = None,
    ) -> ApiKeyCreated:
        session, now, key_id = change.session, self._clock(), new_id()
        if await _count_living(session, account.id, now) >= self._per_account:
            raise _conflict("keys", f"an account has at most {self._per_account} that work")
        secret = make_secret(key_id) if draft.public_jwk is None else None
        key = ApiKey(
            id=key_id,
            tenant_id=account.tenant_id,
            account_id=account.id,
            name=draft.name,
            hint=None if secret is None else secret.hint,
            secret_hash=None if secret is None else secret.hash,
            public_jwk=draft.public_jwk,
            created_at=now,
            expires_at=now + draft.lifetime,
        )
        session.add(key)
        await session.flush()
        await self._sessions.begin(session, _holder(key, account))
        after = {
            "account_id": account.id,
            "name": key.name,
            "kind": "public_key" if secret is None else "secret",
            "expires_at": key.expires_at,
        }
        if replaces is not None:
            after |= {"replaces": replaces.id, "which_ends_at": replaces.expires_at}
        change.record(
            EventTag.API_KEY_CREATED,
            key_target(key_id),
            after=after,
            tenant_id=account.tenant_id,
            affects_policy=False,
        )
        return _created(key, secret, now)

    async def _revoke(
        self, change: Change, account: ServiceAccount, key: ApiKey, context: RequestContext
    ) -> None:
        # Its session first, as whoever uses the key locks it first.
        await self._sessions.end(change.session, _holder(key, account), context)
        key.revoked_at = self._clock()
        await change.session.flush()
        change.record(
            EventTag.API_KEY_REVOKED,
            key_target(key.id),
            after={"account_id": account.id, "name": key.name},
            tenant_id=account.tenant_id,
            affects_policy=False,
        )


async def _find_key(session: AsyncSession, account_id: uuid.UUID, key_id: uuid.UUID) -> ApiKey:
    statement = select(ApiKey).where(ApiKey.id == key_id, ApiKey.account_id == account_id)
    key = await session.scalar(statement)
    if key is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return key


async def _count_living(session: AsyncSession, account_id: uuid.UUID, now: datetime) -> int:
    living = (
        ApiKey.account_id == account_id,
        ApiKey.revoked_at.is_(None),
        ApiKey.expires_at > now,
    )
    return await session.scalar(select(func.count()).select_from(ApiKey).where(*living)) or 0


def _conflict(field: str, detail: str) -> IssuerProblem:
    return IssuerProblem(ProblemCode.CONFLICT, errors=(FieldError(field, detail),))


def _place(account: ServiceAccount) -> AccountPlace:
    return AccountPlace(account.id, account.organization_id)


def key_target(key_id: uuid.UUID) -> str:
    """Return what the audit trail calls a key."""
    return f"api_key:{key_id}"


def _holder(key: ApiKey, account: ServiceAccount) -> KeyHolder:
    return KeyHolder(
        key_id=key.id,
        account_id=account.id,
        tenant_id=account.tenant_id,
        organization_id=account.organization_id,
        expires_at=key.expires_at,
    )


def _state(key: ApiKey, now: datetime) -> KeyState:
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.expires_at > now else "expired"


def _fields(key: ApiKey, now: datetime) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "kind": "secret" if key.public_jwk is None else "public_key",
        "state": _state(key, now),
        "hint": key.hint,
        "public_jwk": key.public_jwk,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }


def _view(key: ApiKey, now: datetime) -> ApiKeyView:
    return ApiKeyView(**_fields(key, now))


def _created(key: ApiKey, secret: ApiSecret | None, now: datetime) -> ApiKeyCreated:
    return ApiKeyCreated(**_fields(key, now), secret=None if secret is None else secret.text)
