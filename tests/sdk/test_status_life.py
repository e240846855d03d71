"""Status lists across forks, races and fetches that were given up."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from apostille import StaticKeys, Verifier, _fork
from apostille._status_supply import FetchedList, FetchedStatus
from apostille.clock import ManualClock
from apostille.errors import RevokedToken, StatusUnavailable
from apostille.events import FetchFailure
from apostille.status import StaticStatus
from support.forks import in_child
from support.http_server import IssuerServer
from support.minting import AUDIENCE, ISSUER, claims_at, key_of, mint
from support.status import PublishedList
from support.subjects import Token, eventually

TTL = timedelta(seconds=10)


@pytest.fixture
def published(server: IssuerServer, clock: ManualClock) -> PublishedList:
    return PublishedList(server, clock)


@pytest.fixture
def verifier(server: IssuerServer, clock: ManualClock) -> Verifier:
    return Verifier(server.issuer, audience=AUDIENCE, clock=clock)


def list_of(verifier: Verifier) -> FetchedList:
    statuses = verifier._engine.statuses
    assert isinstance(statuses, FetchedStatus)
    (held,) = statuses._lists.values()
    return held


def test_children_of_a_warm_parent_use_its_list_and_renew_it_themselves(
    verifier: Verifier, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    good = token(status=published.at(5))
    verifier.verify(good)

    def work() -> None:
        assert verifier.verify(good).subject
        clock.advance(TTL + timedelta(seconds=1))
        with pytest.raises(RevokedToken):
            verifier.verify(good)

    published.revoke(5)
    for _ in range(2):
        in_child(work)
    assert published.count == 3
    assert verifier.verify(good).subject  # in the parent no time has passed


def test_a_fork_while_the_parent_fetches_a_list_neither_hangs_nor_cools_down(
    verifier: Verifier, server: IssuerServer, published: PublishedList, token: Token
) -> None:
    verifier.warm()
    good = token(status=published.at(5))
    server.gate.clear()
    caller = threading.Thread(target=lambda: verifier.verify(good))
    caller.start()
    eventually(lambda: published.count)
    opener = threading.Timer(0.1, server.gate.set)
    opener.start()
    in_child(lambda: verifier.verify(good))
    opener.join()
    caller.join()
    assert published.count == 2


def test_a_fork_while_another_thread_opens_a_list_does_not_hang(
    verifier: Verifier, published: PublishedList, token: Token
) -> None:
    statuses = verifier._engine.statuses
    assert isinstance(statuses, FetchedStatus)
    good = token(status=published.at(5))
    with statuses._lock:
        in_child(lambda: verifier.verify(good))


def test_a_fork_while_given_lists_are_replaced_does_not_hang(clock: ManualClock) -> None:
    key = key_of("ES256")
    status = StaticStatus()
    verifier = Verifier(
        ISSUER,
        audience=AUDIENCE,
        keys=StaticKeys({"keys": [key.public_jwk()]}),
        status=status,
        clock=clock,
    )
    reference = {"status_list": {"idx": 0, "uri": "urn:list"}}
    good = mint(key, claims_at(clock, status=reference))

    def work() -> None:
        status.replace({"urn:list": bytes(1)})
        assert verifier.verify(good).subject

    with status._lock:
        in_child(work)


def test_locks_of_the_parent_are_dropped_in_a_child(verifier: Verifier) -> None:
    status, statuses = StaticStatus(), verifier._engine.statuses
    assert isinstance(statuses, FetchedStatus)
    before = status._lock, statuses._lock
    _fork._in_child()
    assert status._lock is not before[0]
    assert statuses._lock is not before[1]


def test_two_threads_that_open_a_list_at_once_open_one(
    verifier: Verifier, published: PublishedList, token: Token
) -> None:
    verifier.verify(token(status=published.at(5)))
    statuses = verifier._engine.statuses
    assert isinstance(statuses, FetchedStatus)
    # As if the other thread had come first, between the look-up and the lock.
    assert statuses._open(published.uri) is list_of(verifier)


def test_a_list_that_comes_after_it_was_given_up_is_ignored(
    verifier: Verifier, server: IssuerServer, published: PublishedList, token: Token
) -> None:
    verifier.warm()
    good = token(status=published.at(5))
    server.gate.clear()

    def wait_in_vain() -> None:
        with pytest.raises(StatusUnavailable):
            verifier.verify(good)

    caller = threading.Thread(target=wait_in_vain)
    caller.start()
    eventually(lambda: published.count)
    held = list_of(verifier)
    attempt = held._in_flight
    assert attempt is not None
    held.fail(attempt, FetchFailure.TIMEOUT)
    caller.join()
    server.gate.set()
    assert isinstance(attempt.runner, threading.Thread)
    attempt.runner.join()
    with pytest.raises(StatusUnavailable):
        verifier.verify(good)
    assert published.count == 1


class Watcher:
    """Verifies tokens over and over; notes those that are accepted after they were refused."""

    def __init__(self, verifier: Verifier, tokens: list[str]) -> None:
        self.wrong: list[str] = []
        self._verifier = verifier
        self._tokens = tokens
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        ended: set[str] = set()
        while not self._done.is_set():
            for token in self._tokens:
                try:
                    self._verifier.verify(token)
                except RevokedToken:
                    ended.add(token)
                else:
                    self.wrong += ended & {token}


def test_many_threads_that_verify_while_a_list_changes_never_see_a_session_come_back(
    verifier: Verifier, published: PublishedList, clock: ManualClock, token: Token
) -> None:
    tokens = [token(status=published.at(index), jti=str(index)) for index in range(10)]
    verifier.verify(tokens[0])
    held = list_of(verifier)
    watchers = [Watcher(verifier, tokens) for _ in range(3)]
    for index in range(10):
        published.revoke(index)
        clock.advance(TTL)
        eventually(lambda: held._in_flight is None and held.snapshot.asked_at == clock.monotonic())
    for watcher in watchers:
        watcher.stop()
    assert [watcher.wrong for watcher in watchers] == [[], [], []]
    assert published.count == 11
    for good in tokens:
        with pytest.raises(RevokedToken):
            verifier.verify(good)
