"""Who waits and who is served, step by step: the judgement without its thread or task."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from apostille._discovery import Discovery
from apostille._keyring import Keyring, read_key_set
from apostille._options import Options
from apostille._supply import MAX_UNKNOWN_KIDS, Attempt, FetchedKeys, FetchedKeySet, Outcome
from apostille.clock import ManualClock
from apostille.errors import KeysUnavailable, UnknownKey
from apostille.events import Event, EventTag, FetchFailure
from apostille_contracts.claims import ALGORITHMS
from support.minting import key_of

KEYRING = read_key_set(json.dumps({"keys": [key_of("ES256").public_jwk()]}).encode())
OTHERS = read_key_set(json.dumps({"keys": [key_of("EdDSA").public_jwk()]}).encode())


class Bench:
    """A supply whose fetches are run by the test."""

    def __init__(self, **changes: Any) -> None:
        self.clock = ManualClock()
        self.events: list[Event] = []
        self.spawned: list[Attempt] = []
        usual: dict[str, Any] = {
            "issuer": "https://issuer.test",
            "audience": ("inventory",),
            "algorithms": ALGORITHMS,
            "leeway": timedelta(seconds=30),
            "fresh_for": timedelta(minutes=5),
            "stale_if_error": timedelta(hours=1),
            "max_staleness": timedelta(minutes=5),
            "cooldown": timedelta(seconds=30),
            "timeout": timedelta(seconds=5),
            "cache_size": 100,
            "allow_insecure_http": False,
            "on_event": None,
            "clock": self.clock,
        }
        options = Options(**{**usual, **changes})
        self.keys = FetchedKeys(
            Discovery(options), options, self.spawned.append, self.events.append
        )

    def tend(self, waited: Attempt | None = None) -> Attempt | None:
        return self.keys.tend(self.clock.monotonic(), waited)

    def seek(self, kid: str, waited: Attempt | None = None) -> Attempt:
        return self.keys.seek(kid, self.clock.monotonic(), waited)

    def bring(self, keyring: Keyring = KEYRING, max_age: float | None = None) -> Attempt:
        attempt = self.spawned[-1]
        self.keys.complete(attempt, FetchedKeySet(keyring, max_age))
        return attempt

    def warm(self) -> None:
        self.tend()
        self.bring()

    def advance(self, **step: float) -> None:
        self.clock.advance(timedelta(**step))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_everybody_waits_for_the_one_attempt(bench: Bench) -> None:
    first = bench.tend()
    assert first is not None
    assert bench.tend() is first
    assert bench.seek("unknown") is first
    assert bench.spawned == [first]
    assert not first.done.cancel()  # nobody can cancel it for the others
    assert bench.bring() is first
    assert first.done.done()
    assert first.outcome is Outcome.SUCCEEDED
    assert bench.tend(first) is None


def test_a_caller_never_waits_twice(bench: Bench) -> None:
    first = bench.tend()
    assert first is not None
    bench.keys.fail(first, FetchFailure.TIMEOUT)
    with pytest.raises(KeysUnavailable):
        bench.tend(first)
    bench.advance(minutes=1)
    second = bench.tend()  # somebody else, after the cooldown
    assert second is not None
    with pytest.raises(KeysUnavailable):
        bench.tend(first)
    with pytest.raises(KeysUnavailable):
        bench.seek("unknown", first)


def test_a_caller_whose_attempt_was_abandoned_starts_another(bench: Bench) -> None:
    first = bench.tend()
    assert first is not None
    bench.keys.abandon(first)
    assert first.outcome is Outcome.ABANDONED
    second = bench.tend(first)
    assert second is not None
    assert second is not first
    bench.bring()
    bench.advance(seconds=30)
    third = bench.seek("unknown")
    bench.keys.abandon(third)
    assert bench.seek("unknown", third) is not third


def test_an_abandoned_attempt_leaves_the_cooldown_as_it_was(bench: Bench) -> None:
    bench.warm()
    bench.advance(seconds=30)
    bench.keys.abandon(bench.seek("unknown"))
    assert bench.seek("unknown") is bench.spawned[-1]


def test_keys_that_a_caller_waited_for_serve_him_however_long_it_took(bench: Bench) -> None:
    first = bench.tend()
    assert first is not None
    bench.advance(minutes=6)
    bench.bring()
    assert bench.tend(first) is None
    assert bench.tend() is not None  # the next caller waits for fresher ones


def test_a_stale_set_is_waited_for_unless_the_issuer_is_known_to_be_away(bench: Bench) -> None:
    bench.warm()
    bench.advance(minutes=5)
    waiting = bench.tend()
    assert waiting is not None
    bench.keys.fail(waiting, FetchFailure.UNREACHABLE)
    assert bench.tend(waiting) is None
    assert bench.tend() is None
    bench.advance(seconds=30)
    assert bench.tend() is None
    assert len(bench.spawned) == 3  # tried again, in the background


def test_repeated_verifies_look_again_at_the_next_moment_that_matters(bench: Bench) -> None:
    bench.warm()
    born = bench.clock.monotonic()
    assert bench.keys.snapshot.recheck_at == born + 240
    bench.advance(minutes=4)
    bench.tend()
    assert bench.keys.snapshot.recheck_at == born + 300  # in flight: until it gets stale
    bench.keys.fail(bench.spawned[-1], FetchFailure.TIMEOUT)
    assert bench.keys.snapshot.recheck_at == born + 270  # until the cooldown is over
    bench.advance(minutes=60, seconds=50)
    bench.tend()
    bench.keys.fail(bench.spawned[-1], FetchFailure.TIMEOUT)
    assert bench.keys.snapshot.recheck_at == born + 3900  # until they serve no more


def test_keys_that_serve_no_more_are_looked_at_each_time(bench: Bench) -> None:
    bench.warm()
    bench.advance(minutes=65)
    for _ in range(5):
        attempt = bench.tend()
        assert attempt is not None
        bench.keys.fail(attempt, FetchFailure.TIMEOUT)
        assert bench.keys.snapshot.recheck_at < bench.clock.monotonic()
        with pytest.raises(KeysUnavailable):
            bench.tend()
        bench.advance(seconds=30)


def test_nothing_is_postponed_while_there_are_no_keys(bench: Bench) -> None:
    attempt = bench.tend()
    assert attempt is not None
    bench.keys.fail(attempt, FetchFailure.TIMEOUT)
    with pytest.raises(KeysUnavailable):
        bench.tend()
    bench.advance(seconds=30)
    assert bench.tend() is not None


def test_the_cooldown_is_told_once(bench: Bench) -> None:
    bench.warm()
    for number in range(5):
        with pytest.raises(UnknownKey):
            bench.seek(str(number))
    assert [event.tag for event in bench.events] == [
        EventTag.KEYS_REFRESHED,
        EventTag.KEYS_COOLDOWN,
    ]
    bench.advance(seconds=30)
    bench.seek("x")
    bench.bring()
    with pytest.raises(UnknownKey):
        bench.seek("y")
    assert [event.tag for event in bench.events].count(EventTag.KEYS_COOLDOWN) == 2


def test_unknown_kids_are_remembered_within_a_bound(bench: Bench) -> None:
    bench.warm()
    bench.advance(seconds=30)
    attempt = bench.seek("first")
    bench.bring()
    for number in range(MAX_UNKNOWN_KIDS + 1):
        with pytest.raises(UnknownKey):
            bench.seek(str(number), attempt)
    assert len(bench.keys._unknown) == MAX_UNKNOWN_KIDS
    assert "0" not in bench.keys._unknown
    assert str(MAX_UNKNOWN_KIDS) in bench.keys._unknown


def test_a_failed_attempt_remembers_no_kid(bench: Bench) -> None:
    bench.warm()
    bench.advance(seconds=30)
    attempt = bench.seek("unknown")
    bench.keys.fail(attempt, FetchFailure.TIMEOUT)
    with pytest.raises(KeysUnavailable):
        bench.seek("unknown", attempt)
    assert bench.keys._unknown == {}


def test_freshness_is_shorter_than_a_cooldown_if_that_is_what_was_asked_for() -> None:
    bench = Bench(fresh_for=timedelta(seconds=10))
    bench.tend()
    bench.bring(max_age=1)
    snapshot = bench.keys.snapshot
    assert snapshot.fresh_until - snapshot.asked_at == 10
    bench.advance(seconds=10)
    assert bench.tend() is not None  # the cooldown does not hold up an ordinary renewal


def test_the_age_of_keys_counts_from_when_they_were_asked_for(bench: Bench) -> None:
    bench.tend()
    bench.advance(seconds=4)
    bench.bring()
    assert bench.keys.health(bench.clock.monotonic()).age == timedelta(seconds=4)
    assert bench.events[0].duration == timedelta(seconds=4)


def test_the_same_keys_keep_caches_and_other_keys_do_not(bench: Bench) -> None:
    bench.warm()
    first = bench.keys.snapshot
    for keyring, kept in ((KEYRING, True), (OTHERS, False)):
        bench.advance(minutes=5)
        bench.tend()
        bench.bring(keyring)
        assert (bench.keys.snapshot.tokens is first.tokens) is kept
        assert (bench.keys.snapshot.headers is first.headers) is kept


def test_a_fork_forgets_what_is_in_flight_and_its_cooldown(bench: Bench) -> None:
    bench.warm()
    bench.advance(seconds=30)
    attempt = bench.seek("unknown")
    bench.keys.after_fork()
    assert bench.seek("unknown") is not attempt
    bench.bring()
    bench.keys.after_fork()
    assert bench.tend() is None
