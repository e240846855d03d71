"""The audit trail: who did what, on what, from where, and how it ended."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, Final, cast

import msgspec
from msgspec import Struct
from sqlalchemy import Table, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_issuer.audit.models import AuditEvent
from apostille_issuer.audit.schemas import AuditEventView, AuditFilter, Outcome
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database, Statements
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, page_of, uuid_of
from apostille_issuer.problems import IssuerProblem

__all__ = ["NO_MOMENT", "WITHHELD", "AuditTrail", "Details", "Trail"]

WITHHELD = "[withheld]"
"""Stands where a secret stood."""

NO_MOMENT = "a time with its time zone, as in RFC 3339"
"""What is said of a filter that is none."""

_SECRET_NAME = re.compile(r"(?:^|_)(?:password|password_hash|secret|token|private_key)$")

_INSERT: Final = insert(cast("Table", AuditEvent.__table__))

Details = Mapping[str, Any] | Struct
"""State before or after a change, as it is shown to clients."""


class Trail(Enum):
    """A trail that is no tenant's."""

    PLATFORM = auto()
    """Whatever the actor's token speaks for, no tenant sees the event."""


class AuditTrail:
    """Writes events into the transaction that they record, and reads them again.

    There is no method that changes or removes an event.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        """Take the *database* to read from and the *clock* that dates events."""
        self._database = database
        self._clock = clock

    def record(  # noqa: PLR0913 - the columns of a row, by name
        self,
        session: AsyncSession,
        tag: EventTag,
        *,
        context: RequestContext,
        target: str | None = None,
        outcome: Outcome = "success",
        before: Details | None = None,
        after: Details | None = None,
        tenant_id: uuid.UUID | Trail | None = None,
    ) -> None:
        """Add an event to *session*: it stays if, and only if, the change stays.

        Args:
            session: The transaction of the change.
            tag: What happened.
            context: Who did it, from where.
            target: On what, as ``kind:name`` or ``kind:id``; at most 255 characters.
            outcome: Whether it was done.
            before: State before a change.
            after: State after it. In both, the value of a field whose name
                speaks of a secret is replaced by :data:`WITHHELD`.
            tenant_id: In whose trail it is, :attr:`Trail.PLATFORM` for no tenant's;
                by default that of whom the actor speaks for.
        """
        row = self._row(tag, context, target, tenant_id)
        row |= {"outcome": outcome, "before": _document(before), "after": _document(after)}
        session.add(AuditEvent(**row))

    def write(
        self,
        statements: Statements,
        tag: EventTag,
        *,
        context: RequestContext,
        target: str | None = None,
        tenant_id: uuid.UUID | Trail | None = None,
    ) -> None:
        """Add an event at once and without an object, at a fifth of the time: for logins.

        Args:
            statements: Of the transaction of the change.
            tag: What happened, and succeeded.
            context: Who did it, from where.
            target: On what.
            tenant_id: In whose trail it is, as for :meth:`record`.
        """
        row = self._row(tag, context, target, tenant_id)
        statements.execute(_INSERT, row | {"outcome": "success"})

    def _row(
        self,
        tag: EventTag,
        context: RequestContext,
        target: str | None,
        tenant_id: uuid.UUID | Trail | None,
    ) -> dict[str, Any]:
        trail = context.tenant_id if tenant_id is None else tenant_id
        return {
            "at": self._clock(),
            "tag": tag.value,
            "actor_id": context.actor_id,
            "tenant_id": None if trail is Trail.PLATFORM else trail,
            "target": target,
            "address": context.address,
            "user_agent": context.user_agent,
            "request_id": context.request_id,
        }

    async def events(
        self,
        wanted: AuditFilter,
        *,
        cursor: str | None,
        limit: int,
        tenant_id: uuid.UUID | None = None,
    ) -> Page[AuditEventView]:
        """Return a page of events, newest first; with *tenant_id* of that tenant's trail alone.

        Raises:
            IssuerProblem: ``validation_failed`` for a cursor that is not ours,
                a time without time zone, or a target that no event can have.
        """
        _check(wanted)
        statement = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit + 1)
        if (last := uuid_of(cursor)) is not None:
            statement = statement.where(AuditEvent.id < last)
        for column, value in (
            (AuditEvent.tag, wanted.tag),
            (AuditEvent.outcome, wanted.outcome),
            (AuditEvent.actor_id, wanted.actor_id),
            (AuditEvent.target, wanted.target),
        ):
            if value is not None:
                statement = statement.where(column == value)
        if tenant_id is not None:
            statement = statement.where(AuditEvent.tenant_id == tenant_id)
        if wanted.since is not None:
            statement = statement.where(AuditEvent.at >= wanted.since)
        if wanted.until is not None:
            statement = statement.where(AuditEvent.at < wanted.until)
        async with self._database.read(tenant_id or EVERY_TENANT) as session:
            rows = (await session.scalars(statement)).all()
        return page_of(rows, limit, view=_view, key=lambda row: row.id)


def _check(wanted: AuditFilter) -> None:
    """Refuse what the database could not compare with."""
    for name, moment in (("since", wanted.since), ("until", wanted.until)):
        if moment is not None and not _is_known_in_utc(moment):
            raise IssuerProblem.invalid_field(name, NO_MOMENT)
    if wanted.target is not None and not wanted.target.isprintable():
        raise IssuerProblem.invalid_field("target", "printable characters")


def _is_known_in_utc(moment: datetime) -> bool:
    """Say whether *moment* has a time zone, and is in the years 1 to 9999 without it too."""
    try:
        return moment.tzinfo is not None and moment.astimezone(UTC).tzinfo is UTC
    except OverflowError:
        return False


def _view(row: AuditEvent) -> AuditEventView:
    return msgspec.convert(row, AuditEventView, from_attributes=True)


def _document(details: Details | None) -> dict[str, Any] | None:
    if details is None:
        return None
    plain: dict[str, Any] = msgspec.to_builtins(details, str_keys=True)
    return {name: _without_secrets(name, value) for name, value in plain.items()}


def _without_secrets(name: str, value: Any) -> Any:
    """Withhold *value* if *name* speaks of a secret.

    Callers pass no secrets; this is the net below them (OWASP ASVS V16.2.5).
    """
    if _SECRET_NAME.search(name):
        return WITHHELD
    if isinstance(value, dict):
        return {inner: _without_secrets(inner, held) for inner, held in value.items()}
    if isinstance(value, list):
        return [_without_secrets(name, held) for held in value]
    return value
