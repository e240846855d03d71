"""Issuer processes that are killed every second: nobody is logged out, nobody gets two chains.

A client that gets no answer does what every client must: it repeats the same
token, at whatever process answers, within the window in which that is no reuse.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import httpx
import pytest

from support.desk import PASSWORD
from support.lists import place_of
from support.replicas import LOGIN, QUICK_HASHES, Replica, replicated

pytestmark = pytest.mark.journey

SESSIONS = 200
REFRESHES = 20
CLIENTS = 8
"""Threads; each keeps its share of the sessions going."""
KILL_EVERY_SECONDS = 1.0
WINDOW = {"APOSTILLE_REFRESH_REPLAY_WINDOW": "60s"}
NARROW = {"APOSTILLE_REFRESH_REPLAY_WINDOW": "1s"}
GIVE_UP_SECONDS = 45
"""Less than the window: who has to ask for longer cannot know that it is no reuse."""


class Chain:
    """One session, as its client knows it."""

    def __init__(self, tokens: dict[str, str]) -> None:
        self.access_token = tokens["access_token"]
        self.tokens = [tokens["refresh_token"]]

    @property
    def newest(self) -> str:
        return self.tokens[-1]

    @property
    def generation(self) -> int:
        return int(self.newest.split("_")[3])


class Client:
    """Asks a random process; asks again, perhaps another one, if no answer comes."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self._connections = [
            httpx.Client(base_url=replica.url, timeout=20, trust_env=False) for replica in replicas
        ]
        self.unanswered = 0

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def post(self, path: str, **body: str) -> httpx.Response:
        until = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                return random.choice(self._connections).post(f"/v1/auth/{path}", json=body)
            except httpx.TransportError:
                self.unanswered += 1
                assert time.monotonic() < until, "no process answers"
                time.sleep(0.02)

    def login(self) -> Chain:
        answer = self.post("login", login=LOGIN, password=PASSWORD)
        assert answer.status_code == 200, answer.text
        return Chain(answer.json())

    def refresh(self, chain: Chain) -> None:
        answer = self.post("refresh", refresh_token=chain.newest)
        assert answer.status_code == 200, answer.text
        chain.access_token = answer.json()["access_token"]
        chain.tokens.append(answer.json()["refresh_token"])

    def code(self, token: str) -> str:
        """Return why *token* is refused."""
        answer = self.post("refresh", refresh_token=token)
        assert answer.status_code == 401, answer.text
        code: str = answer.json()["code"]
        return code


class Clients:
    """All clients at once, each with its own sessions."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self._clients = [Client(replicas) for _ in range(CLIENTS)]
        self._threads = ThreadPoolExecutor(CLIENTS)
        self.chains: list[list[Chain]] = []

    def close(self) -> None:
        self._threads.shutdown()
        for client in self._clients:
            client.close()

    @property
    def unanswered(self) -> int:
        """How often a client had to ask again."""
        return sum(client.unanswered for client in self._clients)

    def login(self) -> None:
        share = SESSIONS // CLIENTS
        self.chains = list(
            self._threads.map(lambda client: [client.login() for _ in range(share)], self._clients)
        )

    def refresh(self) -> None:
        """Refresh every session once."""

        def refresh_all(client: Client, chains: list[Chain]) -> None:
            for chain in chains:
                client.refresh(chain)

        list(self._threads.map(refresh_all, self._clients, self.chains))

    def codes(self, generation: int) -> set[str]:
        """Return why the tokens at *generation*, counted from the newest, are refused."""

        def ask(client: Client, chains: list[Chain]) -> set[str]:
            return {client.code(chain.tokens[generation]) for chain in chains}

        found = self._threads.map(ask, self._clients, self.chains)
        return set().union(*found)


class Killer:
    """Kills a random process every second, and starts it again at once.

    Where starting takes longer than that, not before some process answers again:
    on a slow machine there would be none at all.
    """

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self._replicas = replicas
        self._stop = threading.Event()
        self._killed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.kills = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for_another(self) -> None:
        """Wait until a process has been killed since this was asked last."""
        assert self._killed.wait(GIVE_UP_SECONDS), "nobody was killed"
        self._killed.clear()

    def _run(self) -> None:
        while not self._stop.wait(KILL_EVERY_SECONDS):
            if not any(replica.is_ready() for replica in self._replicas):
                continue
            victim = random.choice(self._replicas)  # which may be one that is only starting
            victim.kill()
            victim.start()
            self.kills += 1
            self._killed.set()


@pytest.fixture(params=["sqlite", "postgresql"])
def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sequence[Replica]]:
    with replicated(request.param, tmp_path, settings={**QUICK_HASHES, **WINDOW}) as running:
        yield running


@pytest.fixture
def clients(replicas: Sequence[Replica]) -> Iterator[Clients]:
    made = Clients(replicas)
    yield made
    made.close()


def test_no_session_is_lost_or_doubled_by_a_kill_every_second(
    replicas: Sequence[Replica], clients: Clients
) -> None:
    clients.login()
    chains = [chain for share in clients.chains for chain in share]
    assert len(chains) == SESSIONS
    first = {chain.generation for chain in chains}
    with Killer(replicas) as killer:
        for _ in range(REFRESHES):
            clients.refresh()
            killer.wait_for_another()
    assert killer.kills >= REFRESHES
    assert clients.unanswered > 0
    # Whoever asked again was not moved on twice.
    assert {chain.generation for chain in chains} == {each + REFRESHES for each in first}
    assert len({place_of(chain.access_token) for chain in chains}) == SESSIONS
    # From here on what is a little older counts as reuse.
    for replica in replicas:
        replica.stop()
        replica.environment |= NARROW
        replica.start()
        replica.wait_until_ready()
    clients.refresh()
    time.sleep(1)  # the narrow window
    assert clients.codes(-2) == {"refresh_token_reused"}
    assert clients.codes(-1) == {"session_ended"}
