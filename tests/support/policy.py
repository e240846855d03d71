"""An access service on a fresh database, with people who hold roles."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, insert, text, update

from apostille.clock import ManualClock
from apostille_contracts.manifest import Manifest, parse_manifest
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.schemas import RoleDraft
from apostille_issuer.access.service import AccessService
from apostille_issuer.audit.schemas import AuditEventView, AuditFilter
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.db.engine import Database
from apostille_issuer.db.metadata import METADATA
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import COMMAND_LINE, RequestContext
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.renewing import TokenRenewer
from apostille_issuer.status.marking import StatusMarks

USERS = METADATA.tables["users"]

INVENTORY: dict[str, Any] = {
    "service": "inventory",
    "version": "1.0.0",
    "permissions": {"inventory.read": "See stock levels", "inventory.write": "Change them"},
}


def manifest(**fields: Any) -> Manifest:
    """Return the inventory's manifest, with *fields* replaced."""
    return parse_manifest({**INVENTORY, **fields})


class Office:
    """One replica: its services on a database, and shortcuts for tests."""

    def __init__(
        self, database: Database, clock: ManualClock, *, audience: str = "apostille"
    ) -> None:
        self.database = database
        self.clock = clock
        self.audit = AuditTrail(database, clock.now)
        self.marks = StatusMarks(clock.now, lambda: None)
        watch = TokenRenewer(clock.now, self.marks)
        self.access = AccessService(database, clock.now, self.audit, watch=watch, audience=audience)
        self.superuser = COMMAND_LINE
        """Context of a superuser, once :meth:`open` ran."""

    async def open(self) -> Office:
        """Seed, and hire the superuser ``root``."""
        await self.access.seed()
        root = await self.user("root")
        async with self.database.begin() as session:
            await self.access.make_superuser(session, root, COMMAND_LINE)
        self.superuser = context(root)
        return self

    async def user(
        self, login: str, *roles: str, state: str = "active", password: bool = True
    ) -> uuid.UUID:
        """Return the identifier of a new user who holds *roles*, with or without a password."""
        user_id, now = new_id(), self.clock.now()
        row = {"id": user_id, "login": login, "login_key": login, "state": state}
        row["password_hash"] = "$argon2id$" if password else None
        async with self.database.begin() as session:
            await session.execute(insert(USERS).values(**row, created_at=now, updated_at=now))
        for role in roles:
            await self.access.assignments.assign(user_id, role, self.superuser)
        return user_id

    async def role(self, name: str, *allow: str, deny: tuple[str, ...] = ()) -> str:
        """Create a role as the superuser; returns its name."""
        draft = RoleDraft(name=name, allow=allow, deny=deny)
        return (await self.access.roles.create(draft, self.superuser)).name

    async def register(self, **fields: Any) -> None:
        """Push the inventory's manifest, with *fields* replaced."""
        await self.access.push_manifest(manifest(**fields), self.superuser)

    async def set_state(self, user_id: uuid.UUID, state: str) -> None:
        """Disable or enable a user behind everybody's back."""
        async with self.database.begin() as session:
            await session.execute(update(USERS).where(USERS.c.id == user_id).values(state=state))

    async def permissions(self, user_id: uuid.UUID, *audience: str) -> tuple[str, ...]:
        """Return what the user's next token for *audience*, or for all, would carry."""
        held = await self.access.effective_permissions(user_id, audience or None)
        return held.permissions

    async def roles_of(self, user_id: uuid.UUID) -> list[str]:
        """Return the names of the roles a user holds."""
        page = await self.access.assignments.page(user_id, cursor=None, limit=200)
        return [assignment.role for assignment in page.items]

    async def events(self, **wanted: Any) -> tuple[AuditEventView, ...]:
        """Return the newest events, newest first."""
        page = await self.audit.events(AuditFilter(**wanted), cursor=None, limit=200)
        return page.items


def context(user_id: uuid.UUID | None) -> RequestContext:
    """Return the context of a request of that user."""
    return RequestContext(request_id="test", address="192.0.2.1", actor_id=user_id)


class Refusal:
    """What :func:`refused` caught, to be looked at after the block."""

    errors: tuple[FieldError, ...] = ()


@contextmanager
def refused(
    code: ProblemCode, *, missing: tuple[str, ...] = (), fields: tuple[str, ...] = ()
) -> Iterator[Refusal]:
    """The block must raise *code*, naming *missing* and, if given, exactly *fields*."""
    refusal = Refusal()
    with pytest.raises(IssuerProblem) as caught:
        yield refusal
    refusal.errors = caught.value.errors
    assert caught.value.code == code, caught.value.errors
    assert caught.value.missing == missing
    if fields:
        assert tuple(error.field for error in caught.value.errors) == fields


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Collects the statements that *database* executes in the block."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            seen.append(statement)

    engines = [database._writer.sync_engine]
    if database.dialect == "sqlite":  # on PostgreSQL the reader hands events on to the writer
        engines.append(database._reader.sync_engine)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


async def scalar(database: Database, query: str, values: Mapping[str, Any] | None = None) -> Any:
    """Return the first value that *query* finds."""
    async with database.read() as session:
        return await session.scalar(text(query), dict(values or {}))
