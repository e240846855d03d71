"""Indexes: each given out once, by whatever number of replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from apostille.clock import ManualClock
from apostille_issuer.db.engine import Database
from apostille_issuer.status.allocation import BLOCK, KEEP_BLOCK, IndexAllocator
from apostille_issuer.status.schemas import LIST_SIZE, StatusIndex
from support.policy import scalar, statements

pytestmark = pytest.mark.anyio

Replica = Callable[[], IndexAllocator]


@pytest.fixture
def replica(database: Database, clock: ManualClock) -> Replica:
    return lambda: IndexAllocator(database, clock.now, lambda: None)


async def fill_up_to(database: Database, next_index: int) -> None:
    async with database.begin() as session:
        await session.execute(text("UPDATE status_lists SET next_index = :n"), {"n": next_index})


async def test_the_first_index_makes_the_first_list(replica: Replica, database: Database) -> None:
    (index,) = await replica().take(1)
    assert index.list_id == 1
    assert 0 <= index.idx < BLOCK
    assert await scalar(database, "SELECT next_index FROM status_lists WHERE id = 1") == BLOCK


async def test_a_block_is_given_out_from_memory_and_in_no_order(
    replica: Replica, database: Database
) -> None:
    allocator = replica()
    first = await allocator.take(1)
    with statements(database) as seen:
        rest = await allocator.take(BLOCK - 1)
    assert seen == []
    given = [index.idx for index in first + rest]
    assert sorted(given) == list(range(BLOCK))
    assert given not in (sorted(given), sorted(given, reverse=True))


async def test_replicas_that_take_at_once_never_take_the_same(replica: Replica) -> None:
    replicas = [replica() for _ in range(4)]
    taken = await asyncio.gather(
        *(allocator.take(count) for allocator in replicas for count in (1, 100, 7, 300, 0) * 4)
    )
    given = [index for indexes in taken for index in indexes]
    assert len(given) == len(set(given)) == 4 * 4 * 408


async def test_a_full_list_is_followed_by_the_next(replica: Replica, database: Database) -> None:
    await replica().take(1)
    await fill_up_to(database, LIST_SIZE - BLOCK)
    last, following = await replica().take(BLOCK), await replica().take(BLOCK)
    assert {index.list_id for index in last} == {1}
    assert max(index.idx for index in last) == LIST_SIZE - 1
    assert {index.list_id for index in following} == {2}
    assert min(index.idx for index in following) == 0


async def test_replicas_that_find_a_list_full_at_once_agree_on_the_next(
    replica: Replica, database: Database
) -> None:
    await replica().take(1)
    await fill_up_to(database, LIST_SIZE)
    taken = await asyncio.gather(*(replica().take(1) for _ in range(6)))
    assert {index.list_id for (index,) in taken} == {2}
    assert len({index for (index,) in taken}) == 6
    assert await scalar(database, "SELECT count(*) FROM status_lists") == 2


async def test_what_was_not_used_is_given_out_again(replica: Replica) -> None:
    allocator = replica()
    taken = await allocator.take(3)
    allocator.give_back(taken[1:])
    again = await allocator.take(2)
    assert set(again) == set(taken[1:])


async def test_more_than_a_block_at_once(replica: Replica) -> None:
    taken = await replica().take(2 * BLOCK + 1)
    assert len(set(taken)) == 2 * BLOCK + 1


async def test_callers_that_wait_for_a_block_share_it(replica: Replica, database: Database) -> None:
    allocator = replica()
    taken = await asyncio.gather(*(allocator.take(1) for _ in range(BLOCK)))
    assert len({index for (index,) in taken}) == BLOCK
    assert await scalar(database, "SELECT next_index FROM status_lists") == BLOCK


async def test_a_replica_that_dies_takes_the_rest_of_its_block_along(replica: Replica) -> None:
    first = await replica().take(1)
    second = await replica().take(1)
    assert second[0].idx >= BLOCK > first[0].idx


async def test_a_database_that_is_away_is_said_so_and_asked_again(
    clock: ManualClock, database_url: str
) -> None:
    database = Database(database_url, timeout=timedelta(seconds=5))
    allocator = IndexAllocator(database, clock.now, lambda: None)
    async with database.begin() as session:
        await session.execute(text("ALTER TABLE status_lists RENAME TO away"))
    with pytest.raises(Exception, match="status_lists"):
        await allocator.take(1)
    async with database.begin() as session:
        await session.execute(text("ALTER TABLE away RENAME TO status_lists"))
    (index,) = await allocator.take(1)
    assert isinstance(index, StatusIndex)
    await database.close()


async def test_what_was_taken_a_day_ago_is_not_given_out(
    replica: Replica, clock: ManualClock
) -> None:
    allocator = replica()
    before = await allocator.take(1)
    clock.advance(KEEP_BLOCK - timedelta(seconds=1))
    (same_block,) = await allocator.take(1)
    assert same_block.idx < BLOCK
    clock.advance(timedelta(seconds=1))
    (next_block,) = await allocator.take(1)
    assert next_block.idx >= BLOCK
    assert next_block not in before


async def test_a_clock_that_is_set_back_keeps_no_block_for_longer_than_that_and_a_day(
    replica: Replica, clock: ManualClock
) -> None:
    allocator = replica()
    await allocator.take(1)
    clock.shift_wall(timedelta(hours=-5))
    await allocator.take(1)
    clock.advance(KEEP_BLOCK - timedelta(seconds=1))
    assert (await allocator.take(1))[0].idx < BLOCK
    clock.advance(timedelta(seconds=1))
    assert (await allocator.take(1))[0].idx >= BLOCK
