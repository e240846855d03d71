"""Status lists that are full, and in which nobody stands, are deleted; no others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Select, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from apostille.clock import ManualClock
from apostille_issuer.db.engine import Database
from apostille_issuer.status import retiring
from apostille_issuer.status.allocation import KEEP_BLOCK
from apostille_issuer.status.board import StatusBoard
from apostille_issuer.status.marking import TOKENS_DIE_WITHIN, StatusMarks
from apostille_issuer.status.models import StatusEntry, StatusList
from apostille_issuer.status.retiring import FULL_FOR, lists_over, retire
from apostille_issuer.status.schemas import LIST_SIZE
from support.desk import Desk, bearer, open_desk, problem_of
from support.lists import place_of
from support.purging import DAY, NOTHING, RETENTION, SECOND, log_out, purged


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    """An issuer of its own: its clock goes on by months."""
    with open_desk(database_url) as opened:
        yield opened


def fill(desk: Desk, list_id: int) -> None:
    """Let a list be full."""

    async def done() -> None:
        async with desk.issuer.database.begin() as session:
            full = text("UPDATE status_lists SET next_index = :size WHERE id = :id")
            await session.execute(full, {"size": LIST_SIZE, "id": list_id})

    desk.run(done())


def lists_of(desk: Desk) -> list[int]:
    addresses = desk.http.get("/status-lists").json()["status_lists"]
    return [int(address.rpartition("/")[2]) for address in addresses]


def test_a_full_list_goes_with_the_last_session_that_stood_in_it(desk: Desk) -> None:
    ada, bob = desk.hire(), desk.hire()
    first = desk.tokens(ada.login)
    assert place_of(first["access_token"])[0] == 1
    fill(desk, 1)
    desk.wait(KEEP_BLOCK)
    # What was left of it in memory is not given out any more.
    second = desk.tokens(bob.login)
    assert place_of(second["access_token"])[0] == 2
    assert lists_of(desk) == [1, 2]
    assert desk.http.get("/status-lists/1").status_code == 200
    # Every session but one ends: by not being used, and Ada's by her own wish.
    for _ in range(5):
        desk.wait(10 * DAY)
        first = desk.renewed(first["refresh_token"])
        assert purged(desk)["status lists"] == 0
    log_out(desk, first)
    desk.wait(RETENTION - SECOND)
    assert purged(desk)["status lists"] == 0
    desk.wait(SECOND)
    # The bit that is set for her last token keeps it until that is swept away.
    assert purged(desk) == NOTHING | {"sessions": 1}
    assert desk.run(desk.issuer.status.sweep()) >= 1
    assert purged(desk) == NOTHING | {"status lists": 1}
    assert desk.run(asyncio.sleep(0.6)) is None  # what every replica needs to see it
    assert lists_of(desk) == [2]
    problem_of(desk.http.get("/status-lists/1"), 404)
    assert desk.http.get("/status-lists/2").status_code == 200
    # No number comes back, and life goes on in the newest.
    third = desk.tokens(bob.login)
    assert place_of(third["access_token"])[0] == 2
    assert desk.http.get("/v1/me", headers=bearer(third)).status_code == 200


def test_a_session_that_lives_keeps_its_list(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    fill(desk, 1)
    desk.wait(KEEP_BLOCK)
    desk.tokens(desk.hire().login)
    for _ in range(8):
        desk.wait(10 * DAY)
        tokens = desk.renewed(tokens["refresh_token"])
        desk.run(desk.issuer.status.sweep())
        assert purged(desk)["status lists"] == 0
    assert place_of(tokens["access_token"])[0] == 1
    assert desk.http.get("/v1/me", headers=bearer(tokens)).status_code == 200


async def _add(database: Database, *rows: tuple[int, datetime]) -> None:
    async with database.begin() as session:
        for list_id, created_at in rows:
            values = {"id": list_id, "next_index": LIST_SIZE, "revision": 0}
            await session.execute(insert(StatusList).values(**values, created_at=created_at))


async def _over(database: Database, clock: ManualClock, *used: int) -> list[int]:
    standing: Select[Any] = select(StatusList.id).where(StatusList.id.in_(used))
    async with database.read() as session:
        return list(await lists_over(session, standing, clock.now()))


@pytest.mark.anyio
async def test_a_list_is_over_a_week_after_the_next_was_begun_and_the_newest_never(
    database: Database, clock: ManualClock
) -> None:
    assert await _over(database, clock) == []
    now = clock.now()
    await _add(database, (1, now - 900 * DAY))
    assert await _over(database, clock) == []
    await _add(database, (2, now), (3, now + DAY))
    clock.advance(FULL_FOR - SECOND)
    assert await _over(database, clock) == []
    clock.advance(SECOND)
    assert await _over(database, clock) == [1]
    clock.advance(900 * DAY)
    assert await _over(database, clock) == [1, 2]


@pytest.mark.anyio
async def test_a_bit_that_is_set_keeps_its_list_also_at_the_last_moment(
    database: Database, clock: ManualClock
) -> None:
    now = clock.now()
    await _add(database, (1, now), (2, now), (3, now))
    clock.advance(FULL_FOR)
    assert await _over(database, clock) == [1, 2]
    async with database.begin() as session:
        drop_at = clock.now() + TOKENS_DIE_WITHIN
        entry = {"list_id": 1, "idx": 5, "revision": 1, "drop_at": drop_at}
        await session.execute(insert(StatusEntry).values(**entry))
    assert await _over(database, clock) == [2]
    async with database.begin() as session:
        assert await retire(session, [1, 2, 3], clock.now()) == 1
    async with database.begin() as session:
        assert await retire(session, [1, 2, 3], clock.now()) == 0
    assert await _over(database, clock) == []


@pytest.mark.anyio
async def test_a_list_that_outlived_the_next_one_goes_later(
    database: Database, clock: ManualClock
) -> None:
    now = clock.now()
    await _add(database, (1, now), (3, now), (4, now))
    clock.advance(FULL_FOR)
    assert await _over(database, clock) == [1, 3]
    assert await _over(database, clock, 1, 2) == [3]
    assert await _over(database, clock, 3, 1) == []


@pytest.mark.anyio
async def test_lists_that_are_kept_hide_no_others(
    database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retiring, "MAX_LISTS", 2)
    now = clock.now()
    await _add(database, *((list_id, now) for list_id in range(1, 9)))
    clock.advance(FULL_FOR)
    assert await _over(database, clock, 1, 2, 3) == [4, 5]


@pytest.mark.anyio
async def test_two_that_retire_the_same_at_once_count_it_once(
    database: Database, clock: ManualClock
) -> None:
    now = clock.now()
    await _add(database, *((list_id, now) for list_id in range(1, 12)))
    clock.advance(FULL_FOR)

    async def once() -> int:
        async with database.begin() as session:
            return await retire(session, list(range(1, 12)), clock.now())

    assert sum(await asyncio.gather(*(once() for _ in range(4)))) == 10


@pytest.mark.anyio
async def test_who_retires_lists_and_who_has_all_made_anew_wait_for_each_other(
    database: Database, clock: ManualClock
) -> None:
    now = clock.now()
    await _add(database, *((list_id, now) for list_id in range(1, 30)))
    clock.advance(FULL_FOR)
    marks = StatusMarks(clock.now, lambda: None)

    async def renew() -> None:
        async with database.begin() as session:
            await marks.renew_lists(session)

    async def once(lists: list[int]) -> int:
        async with database.begin() as session:
            return await retire(session, lists, clock.now())

    parts = [list(range(start, 0, -3)) for start in (28, 27, 26)]
    results = await asyncio.gather(*(once(part) for part in parts), *(renew() for _ in range(3)))
    assert sum(filter(None, results)) == 28


@pytest.mark.anyio
async def test_another_replica_forgets_a_list_and_keeps_what_it_knows_of_the_others(
    database: Database, clock: ManualClock
) -> None:
    now, moment = clock.now(), [0.0]
    board = StatusBoard(database, clock.now, monotonic=lambda: moment[0])
    await _add(database, (1, now), (2, now), (3, now))
    before = await board.lists()
    assert sorted(before) == [1, 2, 3]
    clock.advance(FULL_FOR)
    moment[0] += 1.0
    reread = await board.lists()  # a period later all are read anew
    async with database.begin() as session:
        await _gone(session, clock, [1])
    moment[0] += 1.0
    after = await board.lists()
    assert sorted(after) == [2, 3]
    assert all(after[list_id] is reread[list_id] for list_id in after)
    moment[0] += 1.0
    assert await board.lists() is after


async def _gone(session: AsyncSession, clock: ManualClock, lists: list[int]) -> Any:
    assert await retire(session, lists, clock.now()) == len(lists)


def test_documents_of_retired_lists_are_not_kept(desk: Desk) -> None:
    ada = desk.hire()
    desk.tokens(ada.login)
    fill(desk, 1)
    desk.wait(KEEP_BLOCK)
    desk.tokens(ada.login)
    for list_id in (1, 2):
        assert desk.http.get(f"/status-lists/{list_id}").status_code == 200
    publisher = desk.issuer.status._publisher
    assert sorted(publisher._published) == [1, 2]

    async def delete_it() -> None:
        async with desk.issuer.database.begin() as session:
            await session.execute(text("DELETE FROM status_lists WHERE id = 1"))
        await asyncio.sleep(0.6)

    desk.run(delete_it())
    desk.wait(timedelta(minutes=31))  # a period later the other is signed anew
    assert desk.http.get("/status-lists/2").status_code == 200
    assert sorted(publisher._published) == [2]
    assert sorted(publisher._numbers.values()) == [2]
