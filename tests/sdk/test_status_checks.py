"""Sessions that end: who is refused, who waits, and how often the issuer is asked."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from apostille import Principal
from apostille._status_supply import MAX_LISTS, PATIENCE_SECONDS
from apostille.clock import ManualClock
from apostille.errors import (
    ExpiredToken,
    InvalidClaim,
    KeysUnavailable,
    RevokedToken,
    StatusUnavailable,
)
from apostille.events import Event, EventTag, FetchFailure
from support.http_server import IssuerServer, document, redirect, silence, status
from support.minting import AUDIENCE, key_of
from support.status import (
    MEDIA_TYPE,
    SIZE,
    PublishedList,
    lists_of,
    meanwhile,
    packed,
    settle_lists,
)
from support.subjects import Make, Subject, Token, eventually

FIRST = key_of("ES256", "first")
SECOND = key_of("ES256", "second")
TTL = timedelta(seconds=10)
INSTANT = timedelta(milliseconds=1)
ISSUER_LOOKS_EVERY_SECONDS = 0.5
"""How old what the issuer says may be; its own tests hold it to that."""


@pytest.fixture
def published(server: IssuerServer, clock: ManualClock) -> PublishedList:
    return PublishedList(server, clock)


@pytest.fixture
def long(clock: ManualClock) -> dict[str, Any]:
    """Claims of a token that outlives the test."""
    return {"exp": int(clock.time()) + 100_000}


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def refused(subject: Subject, token: str) -> None:
    with pytest.raises(RevokedToken):
        subject.verify(token)


# The usual way.


def test_a_token_without_status_asks_for_no_list(
    make: Make, published: PublishedList, token: Token
) -> None:
    subject = make()
    assert subject.verify(token()).subject
    assert published.count == 0
    assert subject.health().status.lists == 0


def test_a_revoked_session_is_refused_and_its_neighbours_are_not(
    make: Make, published: PublishedList, token: Token
) -> None:
    published.revoke(8)
    subject = make()
    for _ in range(2):  # the second time from the cache
        for index in (7, 9, 0, SIZE - 1):
            assert subject.verify(token(status=published.at(index), jti=str(index))).subject
        refused(subject, token(status=published.at(8)))
    assert published.count == 1


def test_a_list_is_fetched_as_the_draft_wants_it(
    make: Make, server: IssuerServer, published: PublishedList, token: Token
) -> None:
    make().verify(token(status=published.at(0)))
    asked = server.request_headers[server.requests.index(published.path)]
    assert asked["accept"] == MEDIA_TYPE
    assert asked["accept-encoding"] == "identity"
    assert "if-none-match" not in asked
    assert "authorization" not in asked


def test_callers_of_a_cold_start_share_one_fetch(
    make: Make, server: IssuerServer, published: PublishedList, token: Token
) -> None:
    subject = make()
    subject.warm()
    server.gate.clear()
    opener = threading.Timer(0.2, server.gate.set)
    opener.start()
    results = subject.verify_all(
        [token(status=published.at(index), jti=str(index)) for index in range(30)]
    )
    opener.join()
    assert all(isinstance(result, Principal) for result in results)
    assert published.count == 1


def test_a_revocation_is_seen_one_ttl_and_one_second_later_at_the_latest(
    make: Make, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token(status=published.at(5))
    subject.verify(good)
    published.revoke(5)
    clock.advance(TTL - INSTANT)
    assert subject.verify(good).subject  # not known yet
    assert published.count == 1
    clock.advance(INSTANT)
    meanwhile(subject, good)  # and fetched in the background
    settle_lists(subject)
    refused(subject, good)
    refused(subject, token(status=published.at(5), jti="never seen before"))
    assert published.count == 2


def test_after_an_idle_time_a_caller_waits_for_the_list(
    make: Make, published: PublishedList, clock: ManualClock, token: Token, long: dict[str, Any]
) -> None:
    subject = make()
    good = token(status=published.at(5), **long)
    subject.verify(good)
    published.revoke(5)
    clock.advance(TTL + seconds(1))
    refused(subject, good)
    clock.advance(timedelta(hours=3))
    published.sign()
    refused(subject, good)
    assert published.count == 3


def test_a_moment_beyond_its_ttl_the_old_list_serves_while_the_new_one_is_on_its_way(
    make: Make, server: IssuerServer, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token(status=published.at(5))
    subject.verify(good)
    server.gate.clear()
    clock.advance(TTL)
    for number in range(5):
        assert subject.verify(good).subject
        assert subject.verify(token(status=published.at(5), jti=str(number))).subject
        clock.advance(seconds(0.07))
    eventually(lambda: published.count == 2)
    clock.advance(seconds(0.05))
    published.revoke(5)
    opener = threading.Timer(0.05, server.gate.set)
    opener.start()
    refused(subject, good)  # which had to wait
    opener.join()
    assert published.count == 2


@pytest.mark.parametrize("idle", [0.0, 0.399])
def test_a_token_that_comes_seldom_is_let_in_for_less_than_a_second_beyond_the_ttl(
    make: Make, published: PublishedList, clock: ManualClock, token: Token, idle: float
) -> None:
    subject = make()
    good = token(status=published.at(5))
    began = clock.monotonic()
    subject.verify(good)
    # The issuer may answer with what was so half a second ago: the bit was set then.
    revoked_at = began - ISSUER_LOOKS_EVERY_SECONDS
    published.revoke(5)
    clock.advance(TTL + seconds(idle))
    meanwhile(subject, good)
    settle_lists(subject)
    refused(subject, good)
    assert clock.monotonic() - revoked_at <= TTL.total_seconds() + 1


def test_a_token_that_comes_more_seldom_waits_for_the_list(
    make: Make, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    assert PATIENCE_SECONDS + ISSUER_LOOKS_EVERY_SECONDS < 1
    subject = make()
    good = token(status=published.at(5))
    subject.verify(good)
    published.revoke(5)
    clock.advance(TTL + seconds(PATIENCE_SECONDS))
    refused(subject, good)


def test_no_list_is_asked_for_more_often_than_once_per_ttl(
    make: Make, published: PublishedList, clock: ManualClock, token: Token, long: dict[str, Any]
) -> None:
    subject = make()
    good = token(status=published.at(5), **long)
    for _ in range(600):
        subject.verify(good)
        settle_lists(subject)
        clock.advance(seconds(0.5))
    assert published.count == 30


def test_an_unchanged_list_is_not_sent_again_and_is_as_young_as_a_new_one(
    make: Make,
    published: PublishedList,
    clock: ManualClock,
    token: Token,
    long: dict[str, Any],
) -> None:
    subject = make()
    good = token(status=published.at(5), **long)
    for _ in range(60):
        subject.verify(good)
        settle_lists(subject)
        clock.advance(TTL)
    assert published.count == 60
    assert published.not_modified == 59
    published.revoke(5)
    clock.advance(seconds(1))
    refused(subject, good)
    assert published.not_modified == 59


def test_a_list_is_asked_for_whole_if_it_came_without_a_usable_entity_tag(
    make: Make, server: IssuerServer, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token(status=published.at(5))
    for etags in (None, "x" * 300, "spa ce"):
        published.etags = etags
        subject.verify(good)
        clock.advance(TTL + seconds(1))
    assert not any("if-none-match" in headers for headers in server.request_headers)
    assert published.count == 3


def test_an_expired_token_is_expired_whatever_its_session(
    make: Make, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    published.revoke(5)
    subject = make()
    revoked = token(status=published.at(5))
    refused(subject, revoked)
    clock.advance(timedelta(minutes=11))
    with pytest.raises(ExpiredToken):
        subject.verify(revoked)


def test_lists_of_two_and_more_bits_and_of_changing_width(
    make: Make, published: PublishedList, clock: ManualClock, token: Token, long: dict[str, Any]
) -> None:
    subject = make()
    tokens = [token(status=published.at(index), jti=str(index), **long) for index in range(4)]
    for bits, octet in ((1, b"\x02"), (2, b"\x0c"), (8, b"\x00\x01\x00\x00")):
        published.octets = bytearray(octet + bytes(15))
        lst = packed(bytes(published.octets))
        published.sign(status_list={"bits": bits, "lst": lst})
        clock.advance(TTL + seconds(1))
        assert subject.verify(tokens[0]).subject
        refused(subject, tokens[1])
        assert subject.verify(tokens[2]).subject


# How often: what the list says about itself.


@pytest.mark.parametrize(
    ("ttl", "effective"), [(10, 10), (2.5, 2.5), (0.001, 1), (None, 10), (43_200, 150)]
)
def test_the_ttl_of_the_list_decides_within_reason(
    make: Make,
    server: IssuerServer,
    clock: ManualClock,
    token: Token,
    ttl: float | None,
    effective: float,
) -> None:
    published = PublishedList(server, clock, ttl=ttl)
    subject = make()
    good = token(status=published.at(5))
    subject.verify(good)
    clock.advance(seconds(effective) - INSTANT)
    subject.verify(good)
    settle_lists(subject)
    assert published.count == 1
    clock.advance(INSTANT)
    subject.verify(good)
    settle_lists(subject)
    assert published.count == 2


def test_a_list_does_not_serve_beyond_its_own_expiry(
    make: Make, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    published.sign(exp=int(clock.time()) + 60)
    subject = make()
    good = token(status=published.at(5))
    subject.verify(good)
    clock.advance(seconds(70))
    assert subject.verify(good).subject  # within the leeway; asked for anew, and no younger
    assert subject.health().status.last_error is None
    clock.advance(seconds(20))
    with pytest.raises(StatusUnavailable):
        subject.verify(good)
    assert subject.health().status.last_error is FetchFailure.EXPIRED
    published.sign(exp=int(clock.time()) + 3_600)
    clock.advance(TTL)
    assert subject.verify(good).subject


def test_an_expired_list_is_asked_for_whole(
    make: Make, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    published.sign(exp=int(clock.time()) + 15)
    subject = make()
    good = token(status=published.at(5))
    subject.verify(good)
    clock.advance(seconds(16))
    subject.verify(good)
    assert published.not_modified == 0
    assert published.count == 2


# What is not believed.


@pytest.mark.parametrize(
    "uri",
    [
        "https://elsewhere.test/status-lists/1",
        "http://127.0.0.1:1/status-lists/1",
        "https://127.0.0.1/status-lists/1",
        "/status-lists/1",
        "file:///etc/passwd",
        "http://127.0.0.1@elsewhere.test/",
        "urn:list",
    ],
)
def test_a_list_that_does_not_stand_at_the_issuer_is_not_asked_for(
    make: Make, token: Token, uri: str
) -> None:
    subject = make()
    for _ in range(2):
        with pytest.raises(InvalidClaim) as failed:
            subject.verify(token(status={"status_list": {"idx": 0, "uri": uri}}))
        assert failed.value.claim == "status"
    assert subject.health().status.lists == 0


def test_an_index_past_the_end_of_the_list_is_refused(
    make: Make, published: PublishedList, token: Token
) -> None:
    subject = make()
    assert subject.verify(token(status=published.at(SIZE - 1))).subject
    for index in (SIZE, 10**15):
        beyond = token(status=published.at(index), jti=str(index))
        for _ in range(2):
            with pytest.raises(InvalidClaim):
                subject.verify(beyond)


def test_a_list_that_shrinks_takes_nobody_in(
    make: Make, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token(status=published.at(100))
    subject.verify(good)
    published.octets = bytearray(8)
    published.sign()
    clock.advance(TTL + seconds(1))
    with pytest.raises(InvalidClaim):
        subject.verify(good)


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (status(500), FetchFailure.BAD_STATUS),
        (status(404), FetchFailure.BAD_STATUS),
        (status(304), FetchFailure.REDIRECTED),
        (redirect("/elsewhere"), FetchFailure.REDIRECTED),
        (document({"status_list": {}}), FetchFailure.WRONG_CONTENT),
        (document(b"no token", MEDIA_TYPE), FetchFailure.WRONG_CONTENT),
        (document(b" " * (2**20 + 1), MEDIA_TYPE), FetchFailure.TOO_LARGE),
    ],
)
def test_an_answer_that_is_no_list_is_no_verdict_and_not_repeated(
    make: Make,
    server: IssuerServer,
    published: PublishedList,
    clock: ManualClock,
    token: Token,
    behaviour: Any,
    failure: FetchFailure,
) -> None:
    server.behaviours[published.path] = behaviour
    subject = make()
    good = token(status=published.at(5))
    for waited, left in ((0, 10), (4, 6), (5.5, 1)):
        clock.advance(seconds(waited))
        with pytest.raises(StatusUnavailable) as failed:
            subject.verify(good)
        assert failed.value.retry_after == seconds(left)
        assert failed.value.code == "status_unavailable"
    assert published.count == 1
    assert subject.health().status.last_error is failure
    server.behaviours[published.path] = published.answer
    clock.advance(TTL)
    assert subject.verify(good).subject
    assert subject.health().status.last_error is None


def test_a_list_signed_with_a_foreign_key_is_not_believed(
    make: Make, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token(status=published.at(5))
    subject.verify(good)
    published.key = SECOND  # which the issuer does not publish
    published.revoke(5)
    clock.advance(TTL + seconds(1))
    assert subject.verify(good).subject  # the old list serves
    assert subject.health().status.last_error is FetchFailure.UNTRUSTED


def test_a_key_younger_than_ours_is_fetched_for_the_sake_of_the_list(
    make: Make, server: IssuerServer, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token(status=published.at(5))
    subject.verify(good)
    server.keys.append(SECOND)
    published.key = SECOND
    published.revoke(5)
    clock.advance(seconds(30))
    assert subject.verify(good).subject  # fetched, and not believed yet
    settle_lists(subject)
    assert server.count() == 2
    clock.advance(TTL)
    meanwhile(subject, good)  # in the background again, since the last time was in vain
    settle_lists(subject)
    refused(subject, good)


def test_a_list_whose_key_was_withdrawn_is_asked_for_whole(
    make: Make, server: IssuerServer, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    server.keys = [FIRST, SECOND]
    published.key = SECOND
    published.sign()
    subject = make()
    good = token(status=published.at(5), exp=int(clock.time()) + 3_600)
    subject.verify(good)
    server.keys = [FIRST]
    clock.advance(timedelta(minutes=5))
    subject.warm()  # the keys are fetched first
    published.key = FIRST  # and the same version of the list gets another signature
    published._version -= 1
    published.sign()
    subject.verify(good)
    assert published.not_modified == 0
    assert subject.health().status.last_error is None


# The issuer is away.


def test_a_list_serves_through_an_outage_until_it_is_too_old_and_recovers_by_itself(
    make: Make,
    server: IssuerServer,
    published: PublishedList,
    clock: ManualClock,
    token: Token,
    long: dict[str, Any],
    events: list[Event],
) -> None:
    subject = make()
    good = token(status=published.at(5), **long)
    subject.verify(good)
    server.stop()
    clock.advance(TTL + seconds(1))
    assert subject.verify(good).subject
    assert subject.health().status.failing == 1
    assert subject.health().status.unusable == 0
    assert EventTag.STATUS_STALE in [event.tag for event in events]
    clock.advance(timedelta(minutes=5) - TTL - seconds(1) - INSTANT)
    assert subject.verify(good).subject
    settle_lists(subject)
    clock.advance(INSTANT)
    for attempt in ("known", "new"):
        with pytest.raises(StatusUnavailable):
            subject.verify(good if attempt == "known" else token(status=published.at(5)))
    assert subject.health().status.unusable == 1
    assert subject.health().ready  # keys serve longer
    published.revoke(6)
    server.start()
    clock.advance(TTL)
    assert subject.verify(good).subject
    refused(subject, token(status=published.at(6)))
    assert subject.health().status.failing == 0


def test_an_outage_is_not_hammered_and_nobody_waits_in_it(
    make: Make,
    server: IssuerServer,
    published: PublishedList,
    clock: ManualClock,
    token: Token,
    long: dict[str, Any],
) -> None:
    subject = make()
    good = token(status=published.at(5), **long)
    subject.verify(good)
    server.behaviours[published.path] = status(503)
    clock.advance(TTL)
    subject.verify(good)
    settle_lists(subject)
    server.behaviours[published.path] = silence()  # from now on it does not even answer
    clock.advance(TTL)
    for number in range(50):
        assert subject.verify(good).subject
        assert subject.verify(token(status=published.at(5), jti=str(number))).subject
    eventually(lambda: published.count == 3)
    server.stop()
    settle_lists(subject)


def test_a_failure_of_long_ago_in_an_idle_service_does_not_keep_a_caller_from_waiting(
    make: Make, server: IssuerServer, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token(status=published.at(5))
    subject.verify(good)
    server.behaviours[published.path] = status(503)
    clock.advance(TTL + seconds(1))
    subject.verify(good)
    server.behaviours[published.path] = published.answer
    published.revoke(5)
    clock.advance(2 * TTL + seconds(5))
    refused(subject, good)


def test_a_shorter_staleness_fails_closed_sooner(
    make: Make, server: IssuerServer, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    subject = make(max_staleness=seconds(2))
    good = token(status=published.at(5))
    subject.verify(good)
    server.stop()
    clock.advance(seconds(2) - INSTANT)
    assert subject.verify(good).subject
    settle_lists(subject)
    clock.advance(INSTANT)
    with pytest.raises(StatusUnavailable):
        subject.verify(good)


def test_the_wall_clock_set_back_keeps_no_list_alive(
    make: Make, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    subject = make(leeway=timedelta(minutes=5))
    good = token(status=published.at(5))
    subject.verify(good)
    published.revoke(5)
    clock.shift_wall(timedelta(minutes=-5))
    clock.advance(TTL + seconds(1))
    refused(subject, good)


def test_keys_gone_for_good_are_told_before_status(
    make: Make, server: IssuerServer, published: PublishedList, token: Token
) -> None:
    subject = make()
    good = token(status=published.at(5))
    server.stop()
    with pytest.raises(KeysUnavailable):
        subject.verify(good)


# Life of a verifier.


def test_a_closed_verifier_asks_for_no_lists(
    make: Make, published: PublishedList, clock: ManualClock, token: Token, long: dict[str, Any]
) -> None:
    subject = make()
    good = token(status=published.at(5), **long)
    subject.verify(good)
    subject.shut()
    clock.advance(TTL + seconds(5))
    assert subject.verify(good).subject
    other = {"status_list": {"idx": 0, "uri": published.uri + "0"}}
    with pytest.raises(StatusUnavailable):
        subject.verify(token(status=other))
    clock.advance(timedelta(minutes=5))
    with pytest.raises(StatusUnavailable):
        subject.verify(good)
    assert published.count == 1


def test_closing_ends_a_fetch_of_a_list(
    make: Make, server: IssuerServer, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    subject = make()
    good = token(status=published.at(5))
    subject.verify(good)
    server.gate.clear()
    clock.advance(TTL)
    subject.verify(good)
    eventually(lambda: published.count == 2)
    subject.shut()
    server.gate.set()
    settle_lists(subject)
    assert subject.verify(good).subject


def test_of_very_many_lists_the_one_that_was_asked_for_longest_ago_is_forgotten(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    subject = make()
    first = PublishedList(server, clock, "/first")
    subject.verify(token(status=first.at(0)))
    clock.advance(INSTANT)
    lists = [PublishedList(server, clock, f"/list/{number}") for number in range(MAX_LISTS)]
    for published in lists:
        subject.verify(token(status=published.at(0)))
    assert subject.health().status.lists == MAX_LISTS
    assert first.uri not in lists_of(subject)._lists
    subject.verify(token(status=first.at(0), jti="again"))
    assert first.count == 2


def test_two_lists_are_asked_for_apart(
    make: Make, server: IssuerServer, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    other = PublishedList(server, clock, "/status-lists/2")
    other.revoke(5)
    subject = make()
    assert subject.verify(token(status=published.at(5))).subject
    refused(subject, token(status=other.at(5)))
    assert (published.count, other.count) == (1, 1)


def test_events_tell_of_lists_without_naming_tokens(
    make: Make,
    server: IssuerServer,
    published: PublishedList,
    clock: ManualClock,
    token: Token,
    events: list[Event],
) -> None:
    subject = make()
    published.revoke(5)
    refused(subject, token(status=published.at(5)))
    server.behaviours[published.path] = status(503)
    clock.advance(TTL + seconds(1))
    refused(subject, token(status=published.at(5)))
    told = [(event.tag, event.failure, event.code) for event in events]
    rejected = (EventTag.TOKEN_REJECTED, None, RevokedToken.code)
    assert told[1:] == [
        (EventTag.STATUS_REFRESHED, None, None),
        rejected,
        (EventTag.STATUS_FAILED, FetchFailure.BAD_STATUS, None),
        (EventTag.STATUS_STALE, FetchFailure.BAD_STATUS, None),
        rejected,
    ]
    assert {event.issuer for event in events} == {server.issuer}


def test_without_a_hook_repeated_tokens_take_the_short_way(
    make: Make, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    subject = make(on_event=None)
    good = token(status=published.at(5))
    beyond = token(status=published.at(SIZE))
    first = subject.verify(good)
    assert subject.verify(good) is first
    for _ in range(2):
        with pytest.raises(InvalidClaim):
            subject.verify(beyond)
    published.revoke(5)
    clock.advance(TTL)
    meanwhile(subject, good)
    settle_lists(subject)
    for _ in range(2):
        refused(subject, good)
    assert subject.verifier.audience == (AUDIENCE,)
