"""Keys rotate every five seconds under load, over two processes: no good token is refused.

A rotation is asked for every second, so that each key signs as soon as the
issuer lets it: one key set too late at one service, and its token is refused.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from itertools import cycle

import httpx
import pytest

from apostille import Verifier
from apostille.errors import ApostilleError
from apostille_issuer.tour.processes import free_port
from support.balancer import balanced
from support.desk import PASSWORD
from support.replicas import LOGIN, replicated

pytestmark = pytest.mark.journey

MINUTE = 60
ASK_EVERY_SECONDS = 1
LEAST_ROTATIONS = 9
SERVICES = 4
VERIFIES_PER_SECOND = 50
"""Of each service."""
OLDEST_TOKEN_SECONDS = 45
"""Tokens live for a minute; old ones, of keys that are retiring, are verified too."""

SCALED = {
    # A key is published for five seconds before it signs.
    "APOSTILLE_JWKS_MAX_AGE": "2s",
    "APOSTILLE_VERIFIER_FRESHNESS": "2s",
    "APOSTILLE_KEY_CHECK_INTERVAL": "200ms",
    "APOSTILLE_ACCESS_TOKEN_LIFETIME": "1m",
}


class Issuers:
    """Two processes that serve one issuer behind a balancer."""

    def __init__(self, url: str, clients: list[httpx.Client]) -> None:
        self.url = url
        self.clients = clients


@pytest.fixture(params=["sqlite", "postgresql"])
def issuers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Issuers]:
    folder = tmp_path_factory.mktemp("rotation")
    ports = [free_port(), free_port()]
    with ExitStack() as stack:
        url = stack.enter_context(balanced(ports))
        settings = {**SCALED, "APOSTILLE_ISSUER_URL": url}
        replicas = stack.enter_context(
            replicated(request.param, folder, ports=ports, settings=settings)
        )
        clients = [
            httpx.Client(base_url=replica.url, timeout=30, trust_env=False) for replica in replicas
        ]
        yield Issuers(url, [stack.enter_context(client) for client in clients])


class Load:
    """A client that keeps refreshing, and services that verify what it gets."""

    def __init__(self, issuers: Issuers) -> None:
        self._issuers = issuers
        self._stop = threading.Event()
        self._minted: deque[tuple[float, str]] = deque()
        self.newest = ""
        self.failures: list[str] = []
        self.verified = 0
        body = {"login": LOGIN, "password": PASSWORD}
        answer = issuers.clients[0].post("/v1/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        self._refresh_token = answer.json()["refresh_token"]
        self._take(answer)

    def _take(self, answer: httpx.Response) -> None:
        self.newest = answer.json()["access_token"]
        self._minted.append((time.monotonic(), self.newest))

    def refresh(self) -> None:
        """Get a token from either process in turn, ten times a second."""
        clients = [client_like(client) for client in self._issuers.clients]
        for client in cycle(clients):
            if self._stop.wait(0.1):
                break
            answer = client.post("/v1/auth/refresh", json={"refresh_token": self._refresh_token})
            if answer.status_code != 200:
                self.failures.append(f"refresh: {answer.status_code} {answer.text}")
                break
            self._refresh_token = answer.json()["refresh_token"]
            self._take(answer)
            while self._minted[0][0] < time.monotonic() - OLDEST_TOKEN_SECONDS:
                self._minted.popleft()
        for client in clients:
            client.close()

    def verify(self) -> None:
        """Verify new tokens and old ones, each as if for the first time.

        The cooldown is longer than the journey: a key that a service did not
        know in time would be refused, not fetched.
        """
        with Verifier(
            self._issuers.url,
            audience="apostille",
            fresh_for=timedelta(seconds=2),
            cooldown=timedelta(minutes=5),
            cache_size=0,
        ) as verifier:
            while not self._stop.wait(1 / VERIFIES_PER_SECOND):
                tokens = list(self._minted)
                token = self.newest if random.random() < 0.5 else random.choice(tokens)[1]
                try:
                    verifier.verify(token)
                    self.verified += 1
                except ApostilleError as error:
                    self.failures.append(f"verify: {error!r}")

    def run(self, seconds: float, rotate: Rotation) -> None:
        """Run everything at once, and ask for a rotation every second."""
        threads = [threading.Thread(target=self.refresh)]
        threads += [threading.Thread(target=self.verify) for _ in range(SERVICES)]
        for thread in threads:
            thread.start()
        try:
            until = time.monotonic() + seconds
            while time.monotonic() < until and not self.failures:
                time.sleep(ASK_EVERY_SECONDS)
                rotate.once(self.newest)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()


class Rotation:
    """Asks either process in turn, and remembers what is to sign."""

    def __init__(self, issuers: Issuers) -> None:
        self._turns = cycle(issuers.clients)
        self.successors: set[str] = set()

    def once(self, token: str) -> None:
        headers = {"authorization": f"Bearer {token}"}
        answer = next(self._turns).post("/v1/keys/rotate", json={}, headers=headers)
        assert answer.status_code == 200, answer.text
        self.successors.add(answer.json()["kid"])


def client_like(like: httpx.Client) -> httpx.Client:
    """Return a client of its own for a thread."""
    return httpx.Client(base_url=like.base_url, timeout=30, trust_env=False)


def test_rotation_every_five_seconds_for_a_minute_refuses_no_good_token(issuers: Issuers) -> None:
    load, rotation = Load(issuers), Rotation(issuers)
    load.run(MINUTE, rotation)
    assert load.failures == []
    assert len(rotation.successors) >= LEAST_ROTATIONS
    assert load.verified > MINUTE * SERVICES * VERIFIES_PER_SECOND / 2
    for client in issuers.clients:
        published = {key["kid"] for key in client.get("/.well-known/jwks.json").json()["keys"]}
        assert published > rotation.successors
