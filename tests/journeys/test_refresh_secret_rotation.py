"""The secret of refresh tokens is replaced while two processes serve: no session ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle, product
from pathlib import Path

import httpx
import pytest

from support.desk import PASSWORD
from support.replicas import LOGIN, QUICK_HASHES, Replica, replicated

pytestmark = pytest.mark.journey

CHAINS = 2
"""Sessions that are refreshed all along, at either process in turn."""
WITHIN_SECONDS = 60
"""What is waited for happens long before."""

SETTINGS = {
    **QUICK_HASHES,
    # A new secret makes tokens five looks later.
    "APOSTILLE_KEY_CHECK_INTERVAL": "500ms",
    # A used token yields its successor anew for so long, and shows what that is made with.
    "APOSTILLE_REFRESH_REPLAY_WINDOW": "60s",
}


class Process:
    """One process of the issuer, as a client sees it."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.http = httpx.Client(base_url=replica.url, timeout=60, trust_env=False)

    def login(self) -> str:
        body = {"login": LOGIN, "password": PASSWORD}
        return _refresh_token(self.http.post("/v1/auth/login", json=body))

    def refresh(self, token: str) -> str:
        body = {"refresh_token": token}
        return _refresh_token(self.http.post("/v1/auth/refresh", json=body))


def _refresh_token(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["refresh_token"]
    return token


@pytest.fixture(params=["sqlite", "postgresql"])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Process]]:
    with (
        replicated(request.param, tmp_path, settings=SETTINGS) as replicas,
        ExitStack() as stack,
    ):
        made = [Process(replica) for replica in replicas]
        for process in made:
            stack.enter_context(process.http)
        yield made


class Chain(threading.Thread):
    """A session that is refreshed at either process in turn until it is told to end."""

    def __init__(self, processes: list[Process]) -> None:
        super().__init__()
        self.refreshes = 0
        self.failure: AssertionError | None = None
        self._replicas = [process.replica for process in processes]
        self._token = processes[0].login()
        self._ended = threading.Event()

    def run(self) -> None:
        own = [Process(replica) for replica in self._replicas]
        with ExitStack() as stack:
            for process in own:
                stack.enter_context(process.http)
            for process in cycle(own):
                if self._ended.wait(0.02):
                    return
                try:
                    self._token = process.refresh(self._token)
                except AssertionError as failure:
                    self.failure = failure
                    return
                self.refreshes += 1

    def wait_for(self, refreshes: int) -> None:
        """Wait until there were so many, or it failed."""
        deadline = time.monotonic() + WITHIN_SECONDS
        while self.failure is None and self.refreshes < refreshes:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self) -> None:
        self._ended.set()
        self.join()


def _wait_for_another_successor(process: Process, used: str, successor: str) -> None:
    """Wait until *process* makes the successor of *used* with another secret."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while process.refresh(used) == successor:
        assert time.monotonic() < deadline, "the new secret never made a token"
        time.sleep(0.05)


def test_tokens_of_before_during_and_after_are_good_at_either_process(
    processes: list[Process],
) -> None:
    chains = [Chain(processes) for _ in range(CHAINS)]
    for chain in chains:
        chain.start()
    try:
        # One from each process for each process.
        pairs = list(product(processes, processes))
        before = [maker.login() for maker, _ in pairs]
        used = processes[0].login()
        successor = processes[0].refresh(used)
        said = processes[0].replica.command("keys", "rotate", "--refresh-secret")
        assert said == "refresh secret 2 makes tokens within seconds\n"
        during = [maker.login() for maker, _ in pairs]
        for process in processes:
            _wait_for_another_successor(process, used, successor)
        after = [maker.login() for maker, _ in pairs]
        for tokens in (before, during, after):
            for token, (maker, taker) in zip(tokens, pairs, strict=True):
                # There, and what it yields here again.
                maker.refresh(taker.refresh(token))
        # The same generation by either secret has one successor.
        anew = processes[1].refresh(used)
        assert anew != successor
        (renewed,) = {processes[0].refresh(successor), processes[1].refresh(anew)}
        processes[1].refresh(renewed)
        # The chains that went on all the while go on still.
        for chain in chains:
            chain.wait_for(chain.refreshes + len(processes))
    finally:
        for chain in chains:
            chain.end()
    assert [chain.failure for chain in chains] == [None] * CHAINS
    listed = processes[1].replica.command("keys", "list")
    assert "refresh secret 1: accepted" in listed
    assert "refresh secret 2: makes tokens" in listed
