"""A wall clock that is set back: nothing that has expired becomes good again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from apostille import AsyncVerifier, StaticKeys, Verifier
from apostille._steady import SteadyTime
from apostille.clock import ManualClock
from apostille.errors import ExpiredToken, RevokedToken, StatusUnavailable
from apostille.status import StaticStatus
from support.http_server import IssuerServer
from support.minting import AUDIENCE, ISSUER, claims_at, key_of, mint
from support.status import PublishedList, settle_lists
from support.subjects import Make, Token

KEY = key_of("ES256")
LEEWAY = timedelta(seconds=30)
STEP = timedelta(minutes=5)
LIFE = timedelta(minutes=10)
INSTANT = timedelta(milliseconds=1)


class Service:
    """A verifier of either kind without a hook, so that repeated tokens take the short way."""

    def __init__(self, kind: Any, clock: ManualClock) -> None:
        self.clock = clock
        self._verifier = kind(
            ISSUER,
            audience=AUDIENCE,
            keys=StaticKeys({"keys": [KEY.public_jwk()]}),
            status=StaticStatus({"urn:list": b"\x02"}),
            leeway=LEEWAY,
            clock=clock,
        )

    def token(self, **changes: Any) -> str:
        return mint(KEY, claims_at(self.clock, **changes))

    def accepts(self, token: str) -> bool:
        try:
            result = self._verifier.verify(token)
            if asyncio.iscoroutine(result):
                asyncio.run(result)
        except ExpiredToken:
            return False
        return True

    def verify(self, token: str) -> None:
        result = self._verifier.verify(token)
        if asyncio.iscoroutine(result):
            asyncio.run(result)


@pytest.fixture(params=[Verifier, AsyncVerifier])
def service(request: pytest.FixtureRequest, clock: ManualClock) -> Service:
    clock.shift_wall(clock.now().replace(microsecond=0) - clock.now())
    return Service(request.param, clock)


def test_a_token_that_has_expired_stays_expired(service: Service, clock: ManualClock) -> None:
    seen, unseen = service.token(), service.token(jti="2")
    assert service.accepts(seen)
    clock.advance(LIFE + LEEWAY)
    assert not service.accepts(seen)
    clock.shift_wall(-STEP)
    assert not service.accepts(seen)
    assert not service.accepts(unseen)


def test_a_token_lives_no_longer_for_it(service: Service, clock: ManualClock) -> None:
    seen, unseen = service.token(), service.token(jti="2")
    assert service.accepts(seen)
    clock.advance(timedelta(minutes=1))
    clock.shift_wall(-STEP)
    assert service.accepts(seen)
    clock.advance(LIFE - timedelta(minutes=1) + LEEWAY - INSTANT)
    assert service.accepts(seen)
    clock.advance(2 * INSTANT)
    assert not service.accepts(seen)
    assert not service.accepts(unseen)


def test_tokens_of_an_issuer_whose_clock_is_right_are_good(
    service: Service, clock: ManualClock
) -> None:
    service.accepts(service.token())
    clock.shift_wall(-STEP)
    now = int((clock.now() + STEP).timestamp())
    later = service.token(iat=now, exp=now + int(LIFE.total_seconds()))
    assert service.accepts(later)
    assert service.accepts(later)


def test_many_small_steps_are_one_large_one(service: Service, clock: ManualClock) -> None:
    token = service.token()
    assert service.accepts(token)
    for _ in range(300):
        clock.shift_wall(-timedelta(seconds=1))
        clock.advance(timedelta(seconds=2))
        service.accepts(token)
    clock.advance(LEEWAY + INSTANT)
    assert not service.accepts(token)


def test_a_session_that_has_ended_stays_ended(service: Service, clock: ManualClock) -> None:
    ended = service.token(status={"status_list": {"uri": "urn:list", "idx": 1}})
    for _ in range(2):
        with pytest.raises(RevokedToken):
            service.verify(ended)
        clock.shift_wall(-STEP)


def test_a_clock_that_was_fast_is_believed_after_two_hours(
    service: Service, clock: ManualClock
) -> None:
    assert service.accepts(service.token())
    clock.shift_wall(-STEP)
    for _ in range(24):
        clock.advance(timedelta(minutes=5))
        fresh = service.token()
        assert service.accepts(fresh)
    clock.advance(LIFE)
    assert service.accepts(fresh)


def test_a_clock_that_was_very_fast_is_believed_at_once(
    service: Service, clock: ManualClock
) -> None:
    service.accepts(service.token())
    clock.shift_wall(timedelta(hours=-2))
    assert service.accepts(service.token(jti="now"))


def test_an_idle_service_remembers_no_clock_for_ever(clock: ManualClock) -> None:
    steady = SteadyTime(clock)
    assert steady.now() == clock.time()
    clock.advance(timedelta(hours=2))
    clock.shift_wall(-STEP)
    assert steady.now() == clock.time()


def test_the_hour_before_counts_too(clock: ManualClock) -> None:
    steady = SteadyTime(clock)
    clock.advance(timedelta(minutes=59))
    steady.now()
    clock.advance(timedelta(hours=1))
    clock.shift_wall(-STEP)
    assert steady.now() == pytest.approx(clock.time() + STEP.total_seconds())


@pytest.mark.parametrize(
    ("seconds", "believed"), [(0.999, True), (1, False), (899.999, False), (900, True)]
)
def test_what_is_within_any_leeway_or_a_correction_is_believed(
    clock: ManualClock, seconds: float, *, believed: bool
) -> None:
    clock = ManualClock(clock.now().replace(microsecond=0))
    steady = SteadyTime(clock)
    before = steady.now()
    clock.shift_wall(-timedelta(seconds=seconds))
    assert steady.now() == pytest.approx(before - seconds if believed else before, abs=1e-4)


def test_a_clock_that_is_set_forward_is_believed(clock: ManualClock) -> None:
    steady = SteadyTime(clock)
    steady.now()
    clock.shift_wall(STEP)
    assert steady.now() == clock.time()
    clock.shift_wall(-STEP / 2)
    assert steady.now() == pytest.approx(clock.time() + STEP.total_seconds() / 2)


# Lists.


def test_a_list_that_has_expired_does_not_serve_again(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    published = PublishedList(server, clock)
    published.sign(exp=int(clock.time()) + 60)
    subject = make()
    good = token(status=published.at(5))
    subject.verify(good)
    clock.advance(timedelta(seconds=60) + LEEWAY)
    with pytest.raises(StatusUnavailable):
        subject.verify(good)
    settle_lists(subject)
    clock.shift_wall(-STEP)
    clock.advance(timedelta(seconds=10))
    with pytest.raises(StatusUnavailable):
        subject.verify(good)
