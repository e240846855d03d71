"""Key ids that nobody knows, and tokens for which nobody is asked; on threads and on tasks."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from apostille.clock import ManualClock
from apostille.errors import (
    BadSignature,
    InvalidToken,
    UnknownKey,
)
from apostille.events import Event, EventTag
from apostille.testing import BAD_TOKENS, BadTokenName, LocalIssuer
from support.http_server import IssuerServer
from support.minting import key_of
from support.subjects import Make, Token, eventually

FIRST = key_of("ES256", "first")
SECOND = key_of("ES256", "second")


def tags(events: list[Event]) -> list[EventTag]:
    return [event.tag for event in events]


# Key ids that nobody knows.


def test_a_new_key_is_good_after_one_fetch(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    subject.verify(token())
    server.keys = [SECOND, FIRST]
    clock.advance(timedelta(seconds=30))
    assert subject.verify(token(SECOND)).subject
    assert subject.verify(token()).subject
    assert server.count() == 2


def test_a_flood_of_unknown_kids_asks_once_per_cooldown(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token, events: list[Event]
) -> None:
    subject = make()
    subject.verify(token())
    clock.advance(timedelta(seconds=30))
    for batch in range(10):
        flood = [token(SECOND, {"kid": f"{batch}-{number}"}) for number in range(1000)]
        if batch:
            for forged in flood:
                with pytest.raises(UnknownKey):
                    subject.verify(forged)
        else:
            assert {type(result) for result in subject.verify_all(flood)} == {UnknownKey}
        assert subject.verify(token(jti=str(batch))).subject
    assert server.count() == 2
    assert tags(events).count(EventTag.KEYS_COOLDOWN) == 1
    clock.advance(timedelta(seconds=30))
    with pytest.raises(UnknownKey):
        subject.verify(token(SECOND, {"kid": "next cooldown"}))
    assert server.count() == 3


def test_the_cooldown_counts_from_the_last_fetch_whatever_it_was_for(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    subject.verify(token())
    with pytest.raises(UnknownKey):
        subject.verify(token(SECOND))
    clock.advance(timedelta(seconds=30) - timedelta(milliseconds=1))
    with pytest.raises(UnknownKey):
        subject.verify(token(SECOND))
    assert server.count() == 1
    clock.advance(timedelta(milliseconds=1))
    with pytest.raises(UnknownKey):
        subject.verify(token(SECOND))
    assert server.count() == 2


def test_a_kid_that_a_fetch_did_not_bring_is_not_asked_for_again(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    for _ in range(5):
        with pytest.raises(UnknownKey):
            subject.verify(token(SECOND))
        clock.advance(timedelta(seconds=40))
    assert server.count() == 1
    clock.advance(timedelta(minutes=2))  # it is forgotten after the time for which keys are fresh
    with pytest.raises(UnknownKey):
        subject.verify(token(SECOND))
    assert server.count() == 2


def test_a_remembered_unknown_kid_is_known_as_soon_as_any_fetch_brings_it(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    with pytest.raises(UnknownKey):
        subject.verify(token(SECOND))
    server.keys = [FIRST, SECOND]
    clock.advance(timedelta(minutes=4))
    subject.verify(token())
    subject.settle()
    assert subject.verify(token(SECOND)).subject


def test_callers_with_an_unknown_kid_join_the_fetch_in_flight(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token()
    subject.verify(good)
    server.keys = [FIRST, SECOND]
    clock.advance(timedelta(minutes=4))
    server.gate.clear()
    subject.verify(good)  # starts the fetch in the background
    eventually(lambda: server.count() == 2)
    threading.Timer(0.05, server.gate.set).start()
    assert subject.verify(token(SECOND)).subject
    assert server.count() == 2


# Tokens for which nobody is asked.


def test_a_bad_signature_never_fetches(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    subject.verify(token())
    clock.advance(timedelta(seconds=60))
    head, _, signature = token().rpartition(".")
    forged = f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    for _ in range(3):
        with pytest.raises(BadSignature):
            subject.verify(forged)
    assert server.count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://somebody.else"},
        {"aud": "another-service"},
        {"exp": 1},
        {"exp": True},
        {"sub": None},
    ],
    ids=["issuer", "audience", "expired", "type", "missing"],
)
def test_a_token_whose_claims_refuse_it_is_not_worth_a_request(
    changes: dict[str, object], make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    with pytest.raises(InvalidToken):
        subject.verify(token(SECOND, **changes))
    assert server.requests == []
    subject.verify(token())
    clock.advance(timedelta(seconds=60))
    with pytest.raises(UnknownKey):
        subject.verify(token(SECOND, **changes))
    assert server.count() == 1
    clock.advance(timedelta(minutes=5))
    with pytest.raises(InvalidToken) as refused:
        subject.verify(token(FIRST, **changes))
    assert not isinstance(refused.value, UnknownKey)
    assert server.count() == 1


@pytest.mark.parametrize("name", [name for name in BAD_TOKENS if name != "unknown_key"])
def test_no_bad_token_asks_a_second_time(
    name: BadTokenName, make: Make, server: IssuerServer, clock: ManualClock
) -> None:
    local = LocalIssuer(server.issuer, audience="inventory", now=clock.now())
    server.keys = list(local._keys)
    subject = make()
    subject.verify(local.token())
    clock.advance(timedelta(seconds=60))
    with pytest.raises(InvalidToken) as refused:
        subject.verify(local.bad_token(name))
    assert refused.value.code is BAD_TOKENS[name]
    assert server.count() == 1
