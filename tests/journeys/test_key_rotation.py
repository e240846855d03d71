"""Keys rotate every few seconds under load, over two processes: no good token is refused.

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
from support.lists import header_of
from support.replicas import LOGIN, replicated

pytestmark = pytest.mark.journey

LEAST_ROTATIONS = 12
LEAST_VERIFICATIONS = 12_000
DEADLINE_SECONDS = 600
"""When a machine that is too slow for this gives up; ours take a minute and a half."""
ASK_EVERY_SECONDS = 1
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

    def run(self, rotation: Rotation) -> None:
        """Run everything at once, and ask for a rotation every second, until it is enough."""
        threads = [threading.Thread(target=self.refresh)]
        threads += [threading.Thread(target=self.verify) for _ in range(SERVICES)]
        for thread in threads:
            thread.start()
        try:
            until = time.monotonic() + DEADLINE_SECONDS
            while time.monotonic() < until and not self.failures:
                time.sleep(ASK_EVERY_SECONDS)
                rotation.once(self.newest)
                if rotation.count >= LEAST_ROTATIONS and self.verified >= LEAST_VERIFICATIONS:
                    break
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()


class Rotation:
    """Asks either process in turn, and remembers what has begun to sign."""

    def __init__(self, issuers: Issuers) -> None:
        self._turns = cycle(issuers.clients)
        self._signed: list[str] = []

    @property
    def count(self) -> int:
        """How often another key has begun to sign."""
        return len(self._signed) - 1

    @property
    def newest(self) -> str:
        """The key that began to sign last."""
        return self._signed[-1]

    def once(self, token: str) -> None:
        headers = {"authorization": f"Bearer {token}"}
        answer = next(self._turns).post("/v1/keys/rotate", json={}, headers=headers)
        assert answer.status_code == 200, answer.text
        # What is asked for may be planned only; a token says whose turn it is.
        kid = str(header_of(token)["kid"])
        if kid not in self._signed:
            self._signed.append(kid)


def client_like(like: httpx.Client) -> httpx.Client:
    """Return a client of its own for a thread."""
    return httpx.Client(base_url=like.base_url, timeout=30, trust_env=False)


def test_twelve_rotations_under_load_refuse_no_good_token(
    issuers: Issuers, capsys: pytest.CaptureFixture[str]
) -> None:
    load, rotation = Load(issuers), Rotation(issuers)
    began = time.monotonic()
    load.run(rotation)
    with capsys.disabled():
        print(  # noqa: T201 - a measure
            f"\n{rotation.count} rotations, {load.verified} verifications, "
            f"{len(load.failures)} failures in {time.monotonic() - began:.0f} s"
        )
    assert load.failures == []
    assert rotation.count >= LEAST_ROTATIONS
    assert load.verified >= LEAST_VERIFICATIONS
    for client in issuers.clients:
        published = {key["kid"] for key in client.get("/.well-known/jwks.json").json()["keys"]}
        assert rotation.newest in published
