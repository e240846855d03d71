"""The issuer cannot be asked: who is served, who is refused, and when it is tried again."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from apostille.clock import ManualClock
from apostille.errors import KeysUnavailable, UnknownKey
from apostille.events import Event, EventTag, FetchFailure, KeyState
from support.http_server import METADATA, IssuerServer, document, status
from support.minting import key_of
from support.subjects import Make, Token, eventually

FIRST = key_of("ES256", "first")
SECOND = key_of("ES256", "second")
COOLDOWN = timedelta(seconds=30)


def test_a_cold_start_without_issuer_is_503_and_recovers_by_itself(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token()
    server.stop()
    with pytest.raises(KeysUnavailable) as refused:
        subject.verify(good)
    assert refused.value.retry_after == COOLDOWN
    assert subject.health().last_error is FetchFailure.UNREACHABLE
    assert subject.health().state is KeyState.NONE
    server.start()
    clock.advance(COOLDOWN)
    assert subject.verify(good).subject
    assert subject.health().last_error is None


def test_retry_after_is_what_is_left_of_the_cooldown(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    server.behaviours["/jwks"] = status(503)
    for waited, left in [(0, 30), (20, 10), (9.5, 1)]:
        clock.advance(timedelta(seconds=waited))
        with pytest.raises(KeysUnavailable) as refused:
            subject.verify(token())
        assert refused.value.retry_after == timedelta(seconds=left)
    assert server.count() == 1


def test_an_outage_is_not_hammered(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    server.behaviours["/jwks"] = status(500)
    for _ in range(10):
        results = subject.verify_all([token(jti=str(number)) for number in range(10)])
        assert {type(result) for result in results} == {KeysUnavailable}
        clock.advance(timedelta(seconds=10))
    assert server.count() == 4  # at 0, 30, 60 and 90 seconds


def test_stale_keys_serve_through_an_outage_for_an_hour(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token, events: list[Event]
) -> None:
    subject = make()
    good = token(exp=int(clock.time()) + 100_000)
    subject.verify(good)
    server.stop()
    clock.advance(timedelta(minutes=5))
    assert subject.verify(good).subject
    assert subject.health().state is KeyState.STALE
    assert EventTag.KEYS_STALE in [event.tag for event in events]
    clock.advance(timedelta(hours=1) - timedelta(milliseconds=1))
    assert subject.verify(good).subject
    assert subject.verify(token(jti="fresh from the issuer")).subject
    subject.settle()
    clock.advance(timedelta(milliseconds=1))
    for _ in range(10):
        # Neither a failing attempt nor the cooldown after it brings old keys back.
        for refused in (good, token()):
            with pytest.raises(KeysUnavailable):
                subject.verify(refused)
        assert subject.health().state is KeyState.NONE
        clock.advance(timedelta(seconds=10))


def test_zero_stale_if_error_fails_closed(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make(stale_if_error=timedelta(0))
    subject.verify(token())
    server.stop()
    clock.advance(timedelta(minutes=5) - timedelta(milliseconds=1))
    assert subject.verify(token()).subject
    subject.settle()
    clock.advance(timedelta(milliseconds=1))
    with pytest.raises(KeysUnavailable):
        subject.verify(token())


def test_while_the_issuer_is_known_to_be_away_nobody_waits_for_it(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token()
    subject.verify(good)
    server.behaviours["/jwks"] = status(503)
    clock.advance(timedelta(minutes=5))
    subject.verify(good)
    server.gate.clear()  # from now on it does not even answer
    clock.advance(COOLDOWN)
    for number in range(5):
        assert subject.verify(good).subject
        assert subject.verify(token(jti=str(number))).subject
    eventually(lambda: server.count(METADATA) == 2)
    server.gate.set()
    subject.settle()


def test_recovery_is_noticed_within_a_cooldown(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    subject.verify(token())
    server.stop()
    clock.advance(timedelta(minutes=10))
    subject.verify(token())
    server.start()
    clock.advance(COOLDOWN)
    subject.verify(token())
    subject.settle()
    assert subject.health().state is KeyState.FRESH


def test_an_unknown_kid_in_an_outage_neither_wipes_fresh_keys_nor_is_called_unknown(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    subject.verify(token())
    server.stop()
    clock.advance(COOLDOWN)
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            subject.verify(token(SECOND))
    assert subject.verify(token(jti="another")).subject
    assert subject.health().state is KeyState.FRESH


def test_the_address_is_looked_up_again_after_a_failure(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    subject.verify(token())
    server.behaviours["/jwks"] = status(404)
    server.behaviours["/moved"] = document(server.jwks())
    server.behaviours[METADATA] = document(server.metadata(jwks_uri=f"{server.origin}/moved"))
    clock.advance(timedelta(minutes=5))
    subject.verify(token())  # asks at the old address, in vain
    clock.advance(COOLDOWN)
    subject.verify(token())
    subject.settle()
    assert server.count("/moved") == 1
    assert subject.health().state is KeyState.FRESH


def test_an_issuer_that_withdraws_all_keys_is_obeyed_but_says_nothing_about_tokens(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token, events: list[Event]
) -> None:
    subject = make()
    good = token()
    subject.verify(good)
    server.keys = []
    clock.advance(timedelta(minutes=5))
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            subject.verify(good)
    assert server.count() == 2
    assert subject.health().last_error is FetchFailure.NO_KEYS
    assert subject.health().state is KeyState.NONE
    failed = next(event for event in events if event.tag is EventTag.KEYS_FAILED)
    assert (failed.failure, failed.keys, failed.skipped) == (FetchFailure.NO_KEYS, 0, 0)


def test_a_hook_that_raises_breaks_nothing(
    make: Make, server: IssuerServer, token: Token, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError(f"cannot count {event.tag}")

    subject = make(on_event=broken)
    good = token()
    with caplog.at_level(logging.ERROR, "apostille"):
        assert subject.verify(good).subject
        with pytest.raises(UnknownKey):
            subject.verify(token(SECOND))
    assert "on_event" in caplog.text
    assert good not in caplog.text
    assert server.count() == 1
