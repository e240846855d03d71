"""A status list says which keys there are: one that was withdrawn is dropped as soon."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from apostille import StaticKeys
from apostille._keyring import read_key_set
from apostille._supply import MAX_NAMED_SETS, Attempt, FetchedKeys, FetchedKeySet
from apostille.clock import ManualClock
from apostille.errors import StatusUnavailable, UnknownKey
from apostille.events import Event, EventTag
from apostille_contracts.key_sets import key_set_thumbprint
from support.http_server import IssuerServer, document, status
from support.minting import key_of
from support.status import PublishedList, settle_lists
from support.subjects import Make, Subject, Token

FIRST = key_of("ES256", "first")
SECOND = key_of("ES256", "second")
TTL = timedelta(seconds=10)
COOLDOWN = timedelta(seconds=30)
KEYS_LEFT = msgspec.json.encode({"keys": [SECOND.public_jwk()]})


def named(*keys: Any) -> str:
    return key_set_thumbprint(key.public_jwk() for key in keys)


@pytest.fixture
def published(server: IssuerServer, clock: ManualClock) -> PublishedList:
    """A list signed with a key that stays, of an issuer that has two."""
    server.keys = [FIRST, SECOND]
    made = PublishedList(server, clock)
    made.key = SECOND
    made.sign(key_set=named(FIRST, SECOND))
    return made


@pytest.fixture
def stolen(token: Token, published: PublishedList, clock: ManualClock) -> str:
    """What the thief of the first key makes: good for long, at a place nobody revokes."""
    return token(status=published.at(5), exp=int(clock.time()) + 100_000)


def withdraw(server: IssuerServer, published: PublishedList) -> None:
    server.keys = [SECOND]
    published.sign(key_set=named(SECOND))


def test_the_set_at_hand_is_not_asked_for(
    make: Make, server: IssuerServer, published: PublishedList, stolen: str, clock: ManualClock
) -> None:
    subject = make()
    for _ in range(5):
        assert subject.verify(stolen).subject
        clock.advance(TTL)
        settle_lists(subject)
    assert published.count >= 4
    assert server.count() == 1


def test_a_withdrawn_key_is_refused_with_the_next_list(
    make: Make, server: IssuerServer, published: PublishedList, stolen: str, clock: ManualClock
) -> None:
    """Verified before, just asked for, and in the middle of every cooldown."""
    subject = make()
    assert subject.verify(stolen).subject
    withdraw(server, published)
    clock.advance(TTL - timedelta(milliseconds=1))
    assert subject.verify(stolen).subject
    clock.advance(timedelta(milliseconds=401))
    with pytest.raises(UnknownKey):
        subject.verify(stolen)
    settle_lists(subject)
    assert server.count() == 2
    assert subject.health().keys == 1


def test_in_the_background_it_is_dropped_as_well(
    make: Make, server: IssuerServer, published: PublishedList, stolen: str, clock: ManualClock
) -> None:
    subject = make()
    subject.verify(stolen)
    withdraw(server, published)
    clock.advance(TTL)
    with suppress(UnknownKey):
        subject.verify(stolen)  # has the list fetched, which may be there before the verdict
    settle_lists(subject)
    with pytest.raises(UnknownKey):
        subject.verify(stolen)
    assert server.count() == 2


def test_after_an_idle_time_nobody_is_let_in_first(
    make: Make, server: IssuerServer, published: PublishedList, stolen: str, clock: ManualClock
) -> None:
    subject = make()
    subject.verify(stolen)
    withdraw(server, published)
    clock.advance(timedelta(minutes=2))
    with pytest.raises(UnknownKey):
        subject.verify(stolen)


def test_a_flood_of_unknown_keys_does_not_hold_it_up(
    make: Make,
    server: IssuerServer,
    published: PublishedList,
    stolen: str,
    clock: ManualClock,
    token: Token,
) -> None:
    subject = make()
    subject.verify(stolen)
    clock.advance(COOLDOWN)
    with pytest.raises(UnknownKey):
        subject.verify(token(key_of("ES256", "third")))
    withdraw(server, published)
    clock.advance(TTL)
    with pytest.raises(UnknownKey):
        subject.verify(stolen)


@pytest.mark.parametrize("idle", [TTL, timedelta(minutes=2)], ids=["busy", "idle"])
def test_a_forged_token_that_stands_nowhere_is_refused_as_soon(
    make: Make,
    server: IssuerServer,
    published: PublishedList,
    stolen: str,
    clock: ManualClock,
    token: Token,
    idle: timedelta,
) -> None:
    """As long as an honest token came once; then nobody else needs to."""
    subject = make()
    subject.verify(stolen)
    nowhere = token(exp=int(clock.time()) + 100_000)
    for _ in range(2):  # the second time from the cache
        assert subject.verify(nowhere).subject
    withdraw(server, published)
    clock.advance(idle + timedelta(milliseconds=400))
    with pytest.raises(UnknownKey):
        subject.verify(nowhere)
    assert published.count == 2


def test_who_stands_nowhere_is_let_in_whatever_becomes_of_the_lists(
    make: Make, server: IssuerServer, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    subject = make(fresh_for=timedelta(hours=1))
    nowhere = token(exp=int(clock.time()) + 100_000)
    subject.verify(token(status=published.at(5)))
    server.behaviours[published.path] = status(503)
    for _ in range(3):
        assert subject.verify(nowhere).subject
        clock.advance(timedelta(minutes=10))
        settle_lists(subject)
    assert published.count >= 3


def test_a_list_that_was_never_had_is_looked_after_by_nobody(
    make: Make, server: IssuerServer, published: PublishedList, token: Token
) -> None:
    subject = make()
    server.behaviours[published.path] = status(404)
    with pytest.raises(StatusUnavailable):
        subject.verify(token(status=published.at(5)))
    assert subject.verify(token()).subject
    assert published.count == 1


def test_what_other_keys_signed_stays_good(
    make: Make,
    server: IssuerServer,
    published: PublishedList,
    stolen: str,
    clock: ManualClock,
    token: Token,
) -> None:
    subject = make()
    good = token(SECOND, status=published.at(6))
    subject.verify(stolen)
    subject.verify(good)
    withdraw(server, published)
    clock.advance(TTL + timedelta(seconds=1))
    assert subject.verify(good).subject
    assert subject.verify(token(SECOND, status=published.at(7))).subject


@pytest.mark.parametrize(
    "claim",
    [None, 5, True, "", "short", "=" * 43, "A" * 44, [named(SECOND)], {"keys": []}],
    ids=["absent", "number", "true", "empty", "short", "padding", "long", "list", "object"],
)
def test_a_claim_that_is_absent_or_somebody_elses_changes_nothing(
    make: Make,
    server: IssuerServer,
    published: PublishedList,
    stolen: str,
    clock: ManualClock,
    claim: object,
) -> None:
    subject = make()
    subject.verify(stolen)
    server.keys = [SECOND]
    published.sign(key_set=claim)
    clock.advance(TTL + timedelta(seconds=1))
    assert subject.verify(stolen).subject
    settle_lists(subject)
    assert published.count == 2
    assert server.count() == 1
    assert subject.health().status.failing == 0


def test_a_claim_nobody_vouches_for_is_none(
    make: Make, server: IssuerServer, published: PublishedList, stolen: str, clock: ManualClock
) -> None:
    subject = make()
    subject.verify(stolen)
    published.sign(key_set=named(FIRST))
    published.token = published.token[:-8] + b"AAAAAAAA"
    clock.advance(TTL)
    subject.verify(stolen)
    settle_lists(subject)
    assert published.count == 2
    assert server.count() == 1


def ticks(subject: Subject, token: str, clock: ManualClock, number: int) -> None:
    for _ in range(number):
        clock.advance(TTL)
        subject.verify(token)
        settle_lists(subject)


def test_a_claim_that_is_wrong_for_good_asks_once_per_cooldown(
    make: Make, server: IssuerServer, published: PublishedList, stolen: str, clock: ManualClock
) -> None:
    subject = make(fresh_for=timedelta(hours=1))
    subject.verify(stolen)
    published.sign(key_set=named(FIRST))
    ticks(subject, stolen, clock, 12)
    assert published.count == 13
    assert server.count() == 1 + 4


def test_claims_that_are_wrong_each_time_ask_a_few_times_per_cooldown(
    make: Make, server: IssuerServer, published: PublishedList, stolen: str, clock: ManualClock
) -> None:
    subject = make(fresh_for=timedelta(hours=1), cooldown=timedelta(minutes=5))
    subject.verify(stolen)
    for number in range(30):
        published.sign(key_set=f"{number:043}")
        ticks(subject, stolen, clock, 1)
    assert published.count == 31
    assert server.count() == 1 + MAX_NAMED_SETS


def test_a_set_that_is_named_while_keys_are_fetched_is_asked_for_then(
    make: Make, stolen: str, clock: ManualClock
) -> None:
    subject = make()
    subject.verify(stolen)
    clock.advance(timedelta(minutes=4))
    supply = subject.verifier._supply
    assert isinstance(supply, FetchedKeys)
    started: list[Attempt] = []
    supply._spawn = started.append
    # The fetch for age has begun, and brings what was so before; the list is quicker.
    supply.tend(clock.monotonic(), None)
    supply.heed(named(SECOND), clock.monotonic())
    (for_age,) = started
    supply.complete(for_age, FetchedKeySet(supply.snapshot.keyring, None))
    _, for_the_list = started
    supply.complete(for_the_list, FetchedKeySet(read_key_set(KEYS_LEFT), None))
    assert len(started) == 2
    with pytest.raises(UnknownKey):
        subject.verify(stolen)


def test_an_issuer_that_cannot_be_asked_for_keys_serves_with_those_at_hand(
    make: Make,
    server: IssuerServer,
    published: PublishedList,
    stolen: str,
    clock: ManualClock,
    events: list[Event],
) -> None:
    subject = make()
    subject.verify(stolen)
    withdraw(server, published)
    server.behaviours["/jwks"] = status(503)
    clock.advance(TTL + timedelta(seconds=1))
    assert subject.verify(stolen).subject
    settle_lists(subject)
    assert EventTag.KEYS_FAILED in [event.tag for event in events]
    del server.behaviours["/jwks"]
    clock.advance(COOLDOWN)
    with suppress(UnknownKey):
        subject.verify(stolen)  # in the background
    settle_lists(subject)
    with pytest.raises(UnknownKey):
        subject.verify(stolen)


def test_keys_that_are_given_are_whose_who_gives_them(
    make: Make, server: IssuerServer, published: PublishedList, stolen: str, clock: ManualClock
) -> None:
    keys = StaticKeys({"keys": [FIRST.public_jwk(), SECOND.public_jwk()]})
    subject = make(keys=keys)
    subject.verify(stolen)
    withdraw(server, published)
    ticks(subject, stolen, clock, 2)
    assert server.count() == 0
    keys.replace({"keys": [SECOND.public_jwk()]})
    with pytest.raises(UnknownKey):
        subject.verify(stolen)


def test_a_verifier_that_is_closed_asks_no_more(
    make: Make, server: IssuerServer, stolen: str, clock: ManualClock
) -> None:
    subject = make()
    subject.verify(stolen)
    subject.verifier._engine.stop()
    subject.verifier._supply.heed(named(SECOND), clock.monotonic())
    assert subject.verify(stolen).subject
    assert server.count() == 1


def test_a_set_with_keys_nobody_can_use_has_its_own_name(
    make: Make, server: IssuerServer, published: PublishedList, stolen: str, clock: ManualClock
) -> None:
    odd = {**SECOND.public_jwk(), "kid": "odd", "crv": "P-384"}
    listed = [FIRST.public_jwk(), SECOND.public_jwk(), odd]
    server.behaviours["/jwks"] = document({"keys": listed}, "application/jwk-set+json")
    published.sign(key_set=key_set_thumbprint(listed))
    subject = make(fresh_for=timedelta(hours=1))
    subject.verify(stolen)
    ticks(subject, stolen, clock, 8)
    assert server.count() == 1
    assert subject.health().keys == 2
