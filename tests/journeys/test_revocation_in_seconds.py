"""Two issuer processes, ten service processes: how soon does everybody know?

The time limit is the promise itself: a ttl and a second.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import pytest

from support.desk import PASSWORD
from support.lists import bits_in, place_of
from support.replicas import LOGIN, QUICK_HASHES, Replica, replicated
from support.watching import watching

pytestmark = pytest.mark.journey

SERVICES = 10
REVOCATIONS = 12
SPREAD_OVER = 3
"""Times the ttl, at random moments of which the sessions are ended."""
RACE_ROUNDS = 1_000
SEEN_WITHIN_SECONDS = 60
"""Whatever is late is seen by then, and said to be late."""

Place = tuple[int, int]


class Issuers:
    """Two processes that serve one issuer; services know the first alone."""

    def __init__(self, replicas: Sequence[Replica], ttl_seconds: int) -> None:
        self.replicas = replicas
        self.ttl_seconds = ttl_seconds
        self.url = replicas[0].url
        self.clients = [
            httpx.Client(base_url=replica.url, timeout=60, trust_env=False) for replica in replicas
        ]

    def close(self) -> None:
        for client in self.clients:
            client.close()

    def post(self, number: int, path: str, **body: str) -> httpx.Response:
        return self.clients[number].post(f"/v1/auth/{path}", json=body)

    def login(self, number: int = 0) -> dict[str, Any]:
        answer = self.post(number, "login", login=LOGIN, password=PASSWORD)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def requests_for_lists(self) -> int:
        """Return how often either process has been asked for a status list, by its own log."""
        lines = [line for each in self.replicas for line in each.said().splitlines()]
        paths = [json.loads(line).get("path", "") for line in lines if line.startswith("{")]
        return sum(path.startswith("/status-lists/") for path in paths)


TTLS = {"2s": 2, "10s": 10}
"""The latter is the default."""


@pytest.fixture(
    params=[
        *("sqlite-2s", "postgresql-2s"),
        *("sqlite-10s", "postgresql-10s"),
    ]
)
def issuers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Issuers]:
    dialect, _, ttl = request.param.partition("-")
    # Requests for lists are in the log at this level alone.
    settings = {**QUICK_HASHES, "APOSTILLE_STATUS_TTL": ttl, "APOSTILLE_LOG_LEVEL": "debug"}
    with replicated(dialect, tmp_path, settings=settings) as replicas:
        made = Issuers(replicas, TTLS[ttl])
        yield made
        made.close()


def told(process: subprocess.Popen[str], tokens: Sequence[str]) -> str:
    """Tell the process of *tokens* and return what it says when it has verified them."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(" ".join(tokens) + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def reports(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Return what the process says about each token when it refuses it."""
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(REVOCATIONS)]


def end_at_random(issuers: Issuers, sessions: Sequence[dict[str, Any]]) -> list[float]:
    """End *sessions* one by one, and return when each was; at the process no service asks."""
    begun = time.monotonic()
    span = issuers.ttl_seconds * SPREAD_OVER
    ended = []
    for moment, tokens in zip(
        sorted(random.uniform(0, span) for _ in sessions), sessions, strict=True
    ):
        time.sleep(max(0.0, begun + moment - time.monotonic()))
        answer = issuers.post(1, "logout", refresh_token=tokens["refresh_token"])
        assert answer.status_code == 204
        ended.append(time.time())
    return ended


def test_ten_services_refuse_within_the_ttl_and_a_second_and_hardly_ask(
    issuers: Issuers, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions = [issuers.login(number % 2) for number in range(REVOCATIONS)]
    tokens = [session["access_token"] for session in sessions]
    lists = {place_of(token)[0] for token in tokens}
    with ExitStack() as stack:
        services = [stack.enter_context(watching(issuers.url)) for _ in range(SERVICES)]
        threads = stack.enter_context(ThreadPoolExecutor(SERVICES))

        def begin(service: subprocess.Popen[str]) -> str:
            # Services that start together would ask together, and wait alike.
            time.sleep(random.uniform(0, issuers.ttl_seconds))
            return told(service, tokens)

        assert set(threads.map(begin, services)) == {"accepted"}
        heard = [threads.submit(reports, each) for each in services]
        ended = end_at_random(issuers, sessions)
        found = [future.result() for future in heard]
    latencies = [
        report["at"] - ended[int(report["place"])] for service in found for report in service
    ]
    _print(latencies, issuers, capsys)
    assert len(latencies) == SERVICES * REVOCATIONS
    assert max(latencies) <= issuers.ttl_seconds + 1
    # No process asks more than once per list and ttl, by its own account and the issuer's.
    last = [service[-1] for service in found]
    for report in last:
        assert report["fetches"] <= len(lists) * (report["for"] / issuers.ttl_seconds + 1)
    assert issuers.requests_for_lists() == sum(report["fetches"] for report in last)


def _print(latencies: list[float], issuers: Issuers, capsys: pytest.CaptureFixture[str]) -> None:
    low, median, high = quantiles(latencies, n=4)
    *_, p99 = quantiles(latencies, n=100)
    line = (
        f"\nttl {issuers.ttl_seconds} s: {len(latencies)} refusals after {min(latencies):.2f} s "
        f"(first), {low:.2f}, {median:.2f}, {high:.2f} (quartiles), {p99:.2f} (99 in 100), "
        f"{max(latencies):.2f} (last)\n"
    )
    with capsys.disabled():
        sys.stdout.write(line)


class Watcher:
    """Fetches the lists of one process as a service does, once a ttl, and notes when it sees a bit.

    Args:
        url: Of the process.
        ttl_seconds: How long a list is gone by before it is fetched again.
    """

    def __init__(self, url: str, ttl_seconds: int) -> None:
        self.seen: dict[Place, float] = {}
        self._ttl_seconds = ttl_seconds
        self._stop = threading.Event()
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def watch(self) -> None:
        """Look until told to end."""
        with self._http:
            while not self._stop.is_set():
                began = time.monotonic()
                self._look()
                self._stop.wait(began + self._ttl_seconds - time.monotonic())

    def end(self) -> None:
        self._stop.set()

    def sees(self, places: set[Place]) -> bool:
        """Wait until all *places* have been seen, and say whether they have."""
        deadline = time.monotonic() + SEEN_WITHIN_SECONDS
        while not places <= self.seen.keys() and time.monotonic() < deadline:
            time.sleep(0.05)
        return places <= self.seen.keys()

    def _look(self) -> None:
        lists = self._http.get("/status-lists").json()["status_lists"]
        for number in (int(uri.rpartition("/")[2]) for uri in lists):
            document = self._http.get(f"/status-lists/{number}").text
            now = time.monotonic()
            for idx in bits_in(document):
                self.seen.setdefault((number, idx), now)


@contextmanager
def watchers(issuers: Issuers) -> Iterator[list[Watcher]]:
    """Watch both processes."""
    watching = [Watcher(replica.url, issuers.ttl_seconds) for replica in issuers.replicas]
    with ThreadPoolExecutor(len(watching)) as threads:
        running = [threads.submit(each.watch) for each in watching]
        try:
            yield watching
        finally:
            for each in watching:
                each.end()
        for future in running:
            future.result()


@pytest.mark.parametrize("issuers", ["sqlite-2s", "postgresql-2s"], indirect=True)
def test_a_thousand_refreshes_against_as_many_revocations(
    issuers: Issuers, capsys: pytest.CaptureFixture[str]
) -> None:
    ended_at: dict[Place, float] = {}
    with watchers(issuers) as watching, ThreadPoolExecutor(2) as threads:
        for number in range(RACE_ROUNDS):
            tokens = issuers.login(number % 2)
            token = tokens["refresh_token"]
            renewed, ended = threads.map(
                lambda act: act(),
                (
                    lambda: issuers.post(0, "refresh", refresh_token=token),  # noqa: B023 - used at once
                    lambda: issuers.post(1, "logout", refresh_token=token),  # noqa: B023 - the same
                ),
            )
            now = time.monotonic()
            assert ended.status_code == 204
            assert renewed.status_code in (200, 401), renewed.text
            ended_at[place_of(tokens["access_token"])] = now
            if renewed.status_code == 200:
                ended_at[place_of(renewed.json()["access_token"])] = now
        assert len(ended_at) == RACE_ROUNDS
        for each in watching:
            assert each.sees(set(ended_at))
    for each in watching:
        assert each.seen.keys() == ended_at.keys()
        lives = [each.seen[place] - ended_at[place] for place in ended_at]
        _print(lives, issuers, capsys)
        # No round's tokens outlive their revocation by more.
        assert max(lives) <= issuers.ttl_seconds + 1
