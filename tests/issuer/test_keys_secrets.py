"""The secret of refresh tokens has versions, and so has the key that encrypts all others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from apostille.clock import ManualClock
from apostille_contracts.problems import ProblemCode
from apostille_issuer.db.engine import Database
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.keys.encryption import KeyEncryptionKey, KeyEncryptionKeys
from apostille_issuer.keys.models import Secret, SigningKey
from apostille_issuer.problems import IssuerProblem, StartupError
from support.keys import ENCRYPTION, KEY, SCHEDULE, Replica, signer_of

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)
NEW_KEY = KeyEncryptionKey(bytes(32))
BOTH = KeyEncryptionKeys(NEW_KEY, [KEY])


@pytest.fixture
async def pair(database_url: str, clock: ManualClock) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two processes on one database."""
    first, second = Replica(database_url, clock), Replica(database_url, clock)
    for replica in (first, second):
        await replica.keys.start(ENCRYPTION)
    yield first, second
    for replica in (first, second):
        await replica.database.close()


def accepted(replica: Replica, mac: bytes) -> bool:
    return mac in replica.keys.refresh_macs(b"message")


def made(replica: Replica) -> bytes:
    return replica.keys.refresh_macs(b"message")[0]


# Refresh secrets.


async def test_a_new_secret_ends_no_session_on_any_replica(
    pair: tuple[Replica, Replica], clock: ManualClock
) -> None:
    here, there = pair
    old = made(here)
    assert await here.admin.rotate_secret(COMMAND_LINE) == 2
    # Who does not know it yet accepts whatever the others make.
    assert accepted(there, made(here))
    await there.keys.tend()
    clock.advance(SCHEDULE.spread - SECOND)
    for replica in pair:
        await replica.keys.tend()
        assert made(replica) == old
    clock.advance(SECOND)
    await here.keys.tend()
    assert made(here) != old
    assert accepted(there, made(here))
    assert accepted(here, made(there))


async def test_a_secret_is_accepted_for_as_long_as_its_tokens_live(
    pair: tuple[Replica, Replica], clock: ManualClock
) -> None:
    here, there = pair
    old = made(here)
    await here.admin.rotate_secret(COMMAND_LINE)
    clock.advance(SCHEDULE.spread + SCHEDULE.secret_retirement - SECOND)
    await here.keys.tend()
    assert accepted(here, old)
    clock.advance(SECOND)
    await here.keys.tend()
    await there.keys.tend()
    for replica in pair:
        assert not accepted(replica, old)
        (left,) = replica.admin.secrets()
        assert (left.version, left.makes_tokens) == (2, True)
    assert [event.target for event in await here.events("keys:key:retired")] == [
        "secret:refresh-mac/1"
    ]


async def test_a_withdrawn_secret_is_refused_at_once(pair: tuple[Replica, Replica]) -> None:
    here, there = pair
    stolen = made(here)
    await here.admin.withdraw_secret(1, COMMAND_LINE)
    await there.keys.tend()
    for replica in pair:
        assert not accepted(replica, stolen)
        assert [secret.version for secret in replica.admin.secrets()] == [2]
    assert made(here) == made(there)


async def test_withdrawing_one_of_two_secrets_leaves_the_other(
    pair: tuple[Replica, Replica],
) -> None:
    here, _ = pair
    await here.admin.rotate_secret(COMMAND_LINE)
    await here.admin.withdraw_secret(1, COMMAND_LINE)
    assert [secret.version for secret in here.admin.secrets()] == [2]
    assert made(here)


async def test_a_secret_that_never_was_cannot_be_withdrawn(pair: tuple[Replica, Replica]) -> None:
    with pytest.raises(IssuerProblem) as refused:
        await pair[0].admin.withdraw_secret(7, COMMAND_LINE)
    assert refused.value.code is ProblemCode.NOT_FOUND


# Key-encryption keys.


async def kek_ids(database: Database) -> set[str]:
    async with database.read() as session:
        keys = await session.scalars(select(SigningKey.kek_id))
        return {*keys, *await session.scalars(select(Secret.kek_id))}


async def test_a_key_encryption_key_is_replaced_step_by_step(
    pair: tuple[Replica, Replica], database_url: str, clock: ManualClock
) -> None:
    before = made(pair[0]), pair[0].keys.signing_kid
    # Every process is given the new key beside the old one, and makes it the current one.
    both = Replica(database_url, clock)
    await both.keys.start(BOTH)
    assert (made(both), both.keys.signing_kid) == before
    assert await kek_ids(both.database) == {KEY.id}
    # Then everything is encrypted anew, and the old one is needed no more.
    done = await both.admin.rewrap(COMMAND_LINE)
    assert (done.keys, done.secrets) == (2, 1)
    assert await kek_ids(both.database) == {NEW_KEY.id}
    new = Replica(database_url, clock)
    await new.keys.start(KeyEncryptionKeys(NEW_KEY))
    assert (made(new), new.keys.signing_kid) == before
    (event,) = await new.events("keys:key:rewrapped")
    assert event.after == {"keys": 2, "secrets": 1}
    # A second time there is nothing to do, and nothing to record.
    assert (await both.admin.rewrap(COMMAND_LINE)).keys == 0
    assert len(await new.events("keys:key:rewrapped")) == 1
    for replica in (both, new):
        await replica.database.close()


async def test_retired_keys_are_left_alone(
    pair: tuple[Replica, Replica], database_url: str, clock: ManualClock
) -> None:
    await pair[0].admin.withdraw(pair[0].keys.signing_kid, COMMAND_LINE)
    both = Replica(database_url, clock)
    await both.keys.start(BOTH)
    assert (await both.admin.rewrap(COMMAND_LINE)).keys == 2
    await both.database.close()


async def test_what_cannot_be_decrypted_is_not_encrypted_anew(
    pair: tuple[Replica, Replica], database_url: str, clock: ManualClock
) -> None:
    both = Replica(database_url, clock)
    await both.keys.start(BOTH)
    async with both.database.begin() as session:
        for secret in await session.scalars(select(Secret)):
            secret.kek_id = "lost"
    with pytest.raises(StartupError):
        await both.admin.rewrap(COMMAND_LINE)
    assert await kek_ids(both.database) == {KEY.id, "lost"}
    assert pair[0].keys.started
    await both.database.close()


async def test_a_process_without_the_new_key_publishes_but_does_not_sign(
    pair: tuple[Replica, Replica],
    database_url: str,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    behind, _ = pair
    both = Replica(database_url, clock)
    await both.keys.start(BOTH)
    await both.admin.rewrap(COMMAND_LINE)
    # What it has opened before, it goes on with.
    await behind.keys.tend()
    assert behind.keys.started
    # But not with a key that it cannot open.
    await both.admin.withdraw(both.keys.signing_kid, COMMAND_LINE)
    for _ in range(3):
        await behind.keys.tend()
    assert not behind.keys.started
    with pytest.raises(IssuerProblem) as refused:
        await behind.keys.sign(b"{}")
    assert refused.value.code is ProblemCode.KEYS_UNAVAILABLE
    with pytest.raises(IssuerProblem):
        assert behind.keys.signing_kid
    assert signer_of(await both.keys.sign(b"{}"), behind.keys.jwks())
    # Once for each, not every few seconds.
    lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(lines) == len(set(lines)) == 1
    assert "the key-encryption key is not the one" in lines[0]
    await both.database.close()


async def test_a_process_with_no_secret_makes_no_token_until_there_is_one(
    pair: tuple[Replica, Replica], clock: ManualClock
) -> None:
    here, there = pair
    async with here.database.begin() as session:
        for secret in await session.scalars(select(Secret)):
            await session.delete(secret)
    clock.advance(SECOND)
    # Not yet looked at: it works with what it has.
    assert there.keys.refresh_macs(b"x")
    await there.keys.refresh()
    with pytest.raises(IssuerProblem):
        there.keys.refresh_macs(b"x")
    await there.keys.tend()
    await here.keys.tend()
    assert made(here) == made(there)


async def test_a_seal_is_not_moved_to_another_row(
    pair: tuple[Replica, Replica], database_url: str, clock: ManualClock
) -> None:
    async with pair[0].database.begin() as session:
        active, upcoming = (
            await session.scalars(select(SigningKey).order_by(SigningKey.state))
        ).all()
        active.encrypted_private = upcoming.encrypted_private
    fresh = Replica(database_url, clock)
    with pytest.raises(StartupError):
        await fresh.keys.start(ENCRYPTION)
    assert json.loads(pair[0].keys.jwks())
    await fresh.database.close()
