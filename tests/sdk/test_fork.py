"""Servers that load the application once and fork it (gunicorn --preload, uWSGI)."""

from __future__ import annotations

import os
import threading
from datetime import timedelta

import pytest

from apostille import StaticKeys, Verifier
from apostille._supply import FetchedKeys
from apostille.clock import ManualClock
from support.forks import in_child
from support.http_server import METADATA, IssuerServer
from support.minting import AUDIENCE, ISSUER, claims_at, key_of, mint
from support.subjects import Token, eventually

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

FIRST = key_of("ES256", "first")


def supply_of(verifier: Verifier) -> FetchedKeys:
    supply = verifier._supply
    assert isinstance(supply, FetchedKeys)
    return supply


@pytest.fixture
def verifier(server: IssuerServer, clock: ManualClock) -> Verifier:
    return Verifier(server.issuer, audience=AUDIENCE, clock=clock)


def test_children_of_a_warm_parent_ask_nobody(
    verifier: Verifier, server: IssuerServer, token: Token
) -> None:
    verifier.warm()
    good = token()
    for _ in range(3):
        in_child(lambda: verifier.verify(good))
    assert server.count() == 1


def test_children_of_a_cold_parent_ask_for_themselves(
    verifier: Verifier, server: IssuerServer, token: Token
) -> None:
    good = token()
    for _ in range(3):
        in_child(lambda: verifier.verify(good))
    assert server.count() == 3


def test_a_child_refreshes_in_the_background_like_its_parent(
    verifier: Verifier, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    verifier.warm()
    good = token()

    def work() -> None:
        clock.advance(timedelta(minutes=4))
        verifier.verify(good)
        eventually(lambda: supply_of(verifier)._in_flight is None)
        clock.advance(timedelta(minutes=2))
        assert verifier.health().state == "fresh"

    in_child(work)
    assert server.count() == 2


def test_a_fork_while_the_parent_fetches_neither_hangs_nor_cools_down(
    verifier: Verifier, server: IssuerServer, token: Token
) -> None:
    good = token()
    server.gate.clear()
    caller = threading.Thread(target=verifier.warm)
    caller.start()
    eventually(lambda: server.count(METADATA))
    opener = threading.Timer(0.1, server.gate.set)
    opener.start()
    in_child(lambda: verifier.verify(good))
    opener.join()
    caller.join()
    assert verifier.verify(good).subject
    assert server.count() == 2


def test_a_fork_while_another_thread_holds_the_lock_does_not_hang(
    verifier: Verifier, token: Token
) -> None:
    good = token()
    lock = supply_of(verifier)._lock
    with lock:
        in_child(lambda: verifier.verify(good))


def test_a_fork_while_keys_are_replaced_does_not_hang(clock: ManualClock) -> None:
    jwks = {"keys": [FIRST.public_jwk()]}
    keys = StaticKeys(jwks)
    verifier = Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock)
    good = mint(FIRST, claims_at(clock))

    def work() -> None:
        keys.replace(jwks)
        verifier.verify(good)

    with keys._lock:
        in_child(work)
