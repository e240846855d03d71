"""When keys are asked for, who waits, and what serves meanwhile; on threads and on tasks."""

from __future__ import annotations

from datetime import timedelta

import pytest

from apostille.clock import ManualClock
from apostille.errors import (
    ExpiredToken,
    InvalidClaim,
    KeysUnavailable,
    UnknownKey,
)
from apostille.events import Event, EventTag, KeyState
from support.http_server import METADATA, IssuerServer, document
from support.minting import key_of
from support.subjects import Make, Token, eventually

FIRST = key_of("ES256", "first")
SECOND = key_of("ES256", "second")


def tags(events: list[Event]) -> list[EventTag]:
    return [event.tag for event in events]


# Fresh keys.


def test_nothing_is_asked_before_it_is_needed(make: Make, server: IssuerServer) -> None:
    subject = make()
    assert server.requests == []
    assert subject.health().state is KeyState.NONE
    assert not subject.health().ready


def test_the_first_token_asks_and_the_next_do_not(
    make: Make, server: IssuerServer, token: Token
) -> None:
    subject = make()
    assert subject.verify(token()).has("inventory.read")
    assert subject.verify(token(jti="another")).subject
    assert server.requests == [METADATA, "/jwks"]
    assert subject.health().state is KeyState.FRESH
    assert subject.health().ready


def test_warm_asks_once(make: Make, server: IssuerServer, token: Token) -> None:
    subject = make()
    subject.warm()
    subject.warm()
    subject.verify(token())
    assert server.count() == 1


def test_a_thousand_cold_callers_share_one_fetch(
    make: Make, server: IssuerServer, token: Token
) -> None:
    subject = make()
    tokens = [token(jti=str(number)) for number in range(1000)]
    results = subject.verify_all(tokens)
    assert [result for result in results if isinstance(result, BaseException)] == []
    assert server.requests == [METADATA, "/jwks"]


def test_the_request_says_what_it_wants_and_nothing_of_us(
    make: Make, server: IssuerServer, token: Token
) -> None:
    make().verify(token())
    usual = {"accept", "accept-encoding", "user-agent", "host"}
    metadata, keys = server.request_headers
    assert metadata.keys() == usual
    assert keys.keys() == {*usual, "cache-control"}
    assert keys["cache-control"] == "no-cache"
    for headers in server.request_headers:
        assert headers["accept-encoding"] == "identity"


# Ageing.


def test_keys_are_renewed_in_the_background_before_they_are_stale(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token()
    subject.verify(good)
    clock.advance(timedelta(minutes=4))
    server.gate.clear()
    assert subject.verify(good).subject  # served, though the issuer does not answer yet
    assert subject.verify(token(jti="another")).subject
    eventually(lambda: server.count() == 2)
    server.gate.set()
    subject.settle()
    clock.advance(timedelta(minutes=3))
    subject.verify(good)  # the renewed keys are three minutes old
    assert server.count() == 2


def test_the_address_of_the_keys_is_remembered_for_an_hour(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make(fresh_for=timedelta(minutes=30))
    for _ in range(4):
        subject.verify(token())
        subject.settle()
        clock.advance(timedelta(minutes=30, seconds=1))
    assert server.count() == 4
    assert server.count(METADATA) == 2


def test_a_withdrawn_key_is_refused_once_the_keys_are_stale(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token()
    subject.verify(good)
    server.keys = [SECOND]
    clock.advance(timedelta(minutes=5))
    # The process was idle; the token is in its cache, and its key withdrawn.
    with pytest.raises(UnknownKey):
        subject.verify(good)
    assert server.count() == 2


def test_renewing_the_same_keys_keeps_what_they_verified(
    make: Make, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token()
    first = subject.verify(good)
    clock.advance(timedelta(minutes=5))
    assert subject.verify(good) is first


def test_other_keys_forget_what_the_old_ones_verified(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token()
    first = subject.verify(good)
    server.keys = [FIRST, SECOND]
    clock.advance(timedelta(minutes=5))
    assert subject.verify(good) == first
    assert subject.verify(good) is not first


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("public, max-age=60", 60),
        ('max-age="60"', 60),
        ("MAX-AGE=60", 60),
        ("max-age=60, max-age=90", 60),
        ("max-age=86400", 300),
        ("max-age=soon", 300),
        ("private", 300),
        ("max-age=1", 30),
        ("no-store", 30),
        ("no-cache, max-age=60", 30),
    ],
)
def test_cache_control_shortens_freshness_down_to_one_cooldown(
    header: str, seconds: int, make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    server.cache_control = header
    subject = make()
    subject.verify(token())
    clock.advance(timedelta(seconds=seconds) - timedelta(milliseconds=1))
    assert subject.health().state is KeyState.FRESH
    clock.advance(timedelta(milliseconds=1))
    assert subject.health().state is KeyState.STALE


def test_time_spent_in_caches_counts(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    server.behaviours["/jwks"] = document(
        server.jwks(), headers=[("Cache-Control", "max-age=100"), ("Age", "40")]
    )
    subject = make()
    subject.verify(token())
    clock.advance(timedelta(seconds=60))
    assert subject.health().state is KeyState.STALE


# What the cache never outlives.


def test_a_remembered_token_expires_at_its_second(
    make: Make, clock: ManualClock, token: Token, events: list[Event]
) -> None:
    subject = make(leeway=timedelta(0))
    good = token()
    subject.verify(good)
    clock.advance(timedelta(seconds=600) - (clock.now() - clock.now().replace(microsecond=0)))
    with pytest.raises(ExpiredToken):
        subject.verify(good)
    assert events[-1].tag is EventTag.TOKEN_REJECTED
    assert events[-1].code is ExpiredToken.code


def test_a_wall_clock_set_back_does_not_make_keys_younger(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    subject.verify(token())
    clock.advance(timedelta(minutes=5))
    clock.shift_wall(timedelta(minutes=-5))
    subject.verify(token())
    assert server.count() == 2


# Hooks and the end.


def test_events_tell_what_happened(make: Make, token: Token, events: list[Event]) -> None:
    subject = make()
    subject.verify(token())
    with pytest.raises(InvalidClaim):
        subject.verify(token(sub=7))
    assert tags(events) == [
        EventTag.KEYS_REFRESHED,
        EventTag.TOKEN_VERIFIED,
        EventTag.TOKEN_REJECTED,
    ]
    assert (events[0].keys, events[0].skipped) == (1, 0)
    assert (events[2].code, events[2].claim) == (InvalidClaim.code, "sub")


def test_a_closed_verifier_serves_its_keys_and_fetches_no_more(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    subject.verify(token())
    subject.shut()
    clock.advance(timedelta(minutes=64))
    assert subject.verify(token()).subject
    with pytest.raises(UnknownKey):
        subject.verify(token(SECOND))
    clock.advance(timedelta(minutes=2))
    with pytest.raises(KeysUnavailable):
        subject.verify(token())
    assert server.count() == 1
