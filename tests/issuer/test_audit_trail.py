"""The audit trail: written with what it records, and read page by page."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone

import pytest
from msgspec import Struct

from apostille.clock import ManualClock
from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.audit.schemas import AuditFilter
from apostille_issuer.audit.service import WITHHELD, AuditTrail
from apostille_issuer.db.engine import Database
from apostille_issuer.http.context import RequestContext
from support.policy import refused

pytestmark = pytest.mark.anyio

ADA = uuid.UUID("01890000-0000-7000-8000-00000000ada0")


@pytest.fixture
def audit(database: Database, clock: ManualClock) -> AuditTrail:
    return AuditTrail(database, clock.now)


async def record(
    audit: AuditTrail, database: Database, *tags: EventTag, target: str = "user:x"
) -> None:
    async with database.begin() as session:
        for tag in tags:
            audit.record(session, tag, context=ASKER, target=target)


async def test_an_event_says_who_what_on_what_from_where_and_when(
    audit: AuditTrail, database: Database, clock: ManualClock
) -> None:
    async with database.begin() as session:
        audit.record(
            session,
            EventTag.USER_UPDATED,
            context=ASKER,
            target="user:bob",
            before={"state": "active"},
            after=Account("disabled", clock.now()),
        )
    (event,) = (await audit.events(AuditFilter(), cursor=None, limit=10)).items
    assert event.id.version == 7
    assert (event.at, event.tag, event.outcome) == (clock.now(), "account:user:updated", "success")
    assert (event.actor_id, event.target, event.address) == (ADA, "user:bob", "2001:db8::1")
    assert (event.user_agent, event.request_id) == ("curl/8", "r-1")
    assert event.before == {"state": "active"}
    assert event.after == {"state": "disabled", "since": "2026-03-01T12:00:00Z"}


async def test_an_event_stays_only_if_its_change_stays(
    audit: AuditTrail, database: Database
) -> None:
    class Changed(Exception):
        pass

    async def change() -> None:
        async with database.begin() as session:
            audit.record(session, EventTag.USER_DELETED, context=ASKER)
            await session.flush()
            raise Changed

    with pytest.raises(Changed):
        await change()
    assert (await audit.events(AuditFilter(), cursor=None, limit=10)).items == ()


async def test_what_speaks_of_a_secret_is_withheld_at_any_depth(
    audit: AuditTrail, database: Database
) -> None:
    details = {
        "password": "hunter2",
        "refresh_token": "apo_rt_1",
        "nested": {"client_secret": "s", "list": [{"private_key": "k", "kid": "1"}]},
        "passwords_changed": 3,
        "tokens": ["kept"],
    }
    async with database.begin() as session:
        audit.record(session, EventTag.USER_UPDATED, context=ASKER, after=details)
    (event,) = (await audit.events(AuditFilter(), cursor=None, limit=1)).items
    assert event.after == {
        "password": WITHHELD,
        "refresh_token": WITHHELD,
        "nested": {"client_secret": WITHHELD, "list": [{"private_key": WITHHELD, "kid": "1"}]},
        "passwords_changed": 3,
        "tokens": ["kept"],
    }


async def test_events_come_newest_first_page_by_page(audit: AuditTrail, database: Database) -> None:
    tags = [EventTag.USER_CREATED, EventTag.USER_UPDATED, EventTag.USER_DELETED] * 2
    for tag in tags:
        await record(audit, database, tag)
    seen, cursor = [], None
    while True:
        page = await audit.events(AuditFilter(), cursor=cursor, limit=4)
        seen += [event.tag for event in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == [tag.value for tag in reversed(tags)]


async def test_filters_narrow(audit: AuditTrail, database: Database, clock: ManualClock) -> None:
    await record(audit, database, EventTag.USER_CREATED, EventTag.USER_UPDATED)
    noon = clock.now()
    clock.advance(timedelta(hours=1))
    await record(audit, database, EventTag.USER_UPDATED, target="user:y")

    async def count(**wanted: object) -> int:
        found = AuditFilter(**wanted)  # type: ignore[arg-type]
        return len((await audit.events(found, cursor=None, limit=10)).items)

    assert await count() == 3
    assert await count(tag=EventTag.USER_UPDATED) == 2
    assert await count(tag=EventTag.USER_UPDATED, target="user:y") == 1
    assert await count(actor_id=ADA) == 3
    assert await count(actor_id=uuid.uuid4()) == 0
    assert await count(outcome="refused") == 0
    assert await count(since=noon) == 3
    assert await count(until=noon) == 0
    assert await count(since=noon + timedelta(seconds=1)) == 1
    assert await count(until=clock.now()) == 2


async def test_what_cannot_be_asked_for_is_refused(audit: AuditTrail) -> None:
    naive = datetime(2026, 3, 1)  # noqa: DTZ001 - what is to be refused
    for field, wanted in (
        ("since", AuditFilter(since=naive)),
        ("until", AuditFilter(until=naive)),
        ("since", AuditFilter(since=datetime.min.replace(tzinfo=timezone(timedelta(hours=14))))),
        ("until", AuditFilter(until=datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))))),
        ("target", AuditFilter(target="a\x00b")),
    ):
        with refused(ProblemCode.VALIDATION_FAILED, fields=(field,)):
            await audit.events(wanted, cursor=None, limit=10)
    for cursor in ("bm8", "%%"):
        with refused(ProblemCode.VALIDATION_FAILED, fields=("cursor",)):
            await audit.events(AuditFilter(), cursor=cursor, limit=10)


def test_no_method_changes_or_removes_an_event() -> None:
    public = {name for name in vars(AuditTrail) if not name.startswith("_")}
    assert public == {"record", "write", "events"}


class Account(Struct, frozen=True):
    state: str
    since: datetime


ASKER = RequestContext(request_id="r-1", address="2001:db8::1", user_agent="curl/8", actor_id=ADA)
