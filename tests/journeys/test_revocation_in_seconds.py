"""Two issuer processes, ten service processes: how soon does everybody know?"""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from apostille_issuer.tour.processes import free_port, running
from support import watching_service
from support.desk import PASSWORD
from support.issuer_process import environment as without_ours
from support.lists import bit_in, place_of
from support.postgresql import NoPostgreSQL, running_server

pytestmark = pytest.mark.journey

LOGIN = "ada@example.com"
TTL_SECONDS = 2
SERVICES = 10
LATENCY_ROUNDS = 6
RACE_ROUNDS = 1_000


class Replicas:
    """Two processes that serve one issuer; services know the first alone."""

    def __init__(self, clients: list[httpx.Client]) -> None:
        self.clients = clients
        self.url = str(clients[0].base_url).rstrip("/")

    def post(self, number: int, path: str, **body: str) -> httpx.Response:
        return self.clients[number].post(f"/v1/auth/{path}", json=body)

    def login(self, number: int = 0) -> dict[str, Any]:
        answer = self.post(number, "login", login=LOGIN, password=PASSWORD)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def replicas(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicas]:
    folder = tmp_path_factory.mktemp("replicas")
    ports = [free_port(), free_port()]
    environment = {
        "APOSTILLE_ISSUER_URL": f"http://127.0.0.1:{ports[0]}",
        "APOSTILLE_BOOTSTRAP_LOGIN": LOGIN,
        "APOSTILLE_BOOTSTRAP_PASSWORD": PASSWORD,
        "APOSTILLE_STATUS_TTL": f"{TTL_SECONDS}s",
        "APOSTILLE_ARGON2_MEMORY_KIB": "7168",
        "APOSTILLE_ARGON2_TIME_COST": "1",
    }
    with ExitStack() as stack:
        if request.param == "postgresql":
            environment |= _postgresql(stack)
        clients = []
        for port in ports:
            url = f"http://127.0.0.1:{port}"
            serve = ["apostille_issuer", "serve", "--data", str(folder), "--port", str(port)]
            stack.enter_context(
                running(
                    serve,
                    ready_url=f"{url}/health/ready",
                    log=folder / f"{port}.log",
                    environment=environment,
                )
            )
            client = httpx.Client(base_url=url, timeout=60, trust_env=False)
            clients.append(stack.enter_context(client))
        yield Replicas(clients)


def _postgresql(stack: ExitStack) -> dict[str, str]:
    """Return the variables that name a migrated database on a server of our own."""
    try:
        server = stack.enter_context(running_server())
    except NoPostgreSQL as error:
        pytest.skip(str(error))
    url = server.create_database()
    stack.callback(server.drop_database, url)
    environment = {
        "APOSTILLE_DATABASE_URL": url,
        "APOSTILLE_KEY_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode(),
    }
    command = [sys.executable, "-m", "apostille_issuer", "migrate"]
    subprocess.run(command, env=without_ours(environment), check=True, capture_output=True)
    return environment


@contextmanager
def watching(issuer: str) -> Iterator[subprocess.Popen[str]]:
    """Run one service process."""
    process = subprocess.Popen(
        [sys.executable, str(Path(watching_service.__file__)), issuer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=without_ours(),
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def told(process: subprocess.Popen[str], token: str | None = None) -> str:
    """Tell the process of a token, if given, and return its next line."""
    assert process.stdin is not None
    assert process.stdout is not None
    if token is not None:
        process.stdin.write(token + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


def test_ten_services_refuse_within_the_ttl_and_a_second_and_hardly_ask(
    replicas: Replicas, capsys: pytest.CaptureFixture[str]
) -> None:
    latencies: list[float] = []
    with ExitStack() as stack:
        services = [stack.enter_context(watching(replicas.url)) for _ in range(SERVICES)]
        threads = stack.enter_context(ThreadPoolExecutor(SERVICES))
        for number in range(LATENCY_ROUNDS):
            tokens = replicas.login(number % 2)
            token = tokens["access_token"]
            said = threads.map(lambda service: told(service, token), services)  # noqa: B023 - used at once
            assert set(said) == {"accepted"}
            time.sleep(random.uniform(0, TTL_SECONDS))
            # At the process that no service asks.
            ended = replicas.post(1, "logout", refresh_token=tokens["refresh_token"])
            assert ended.status_code == 204
            revoked_at = time.time()
            reports = [json.loads(line) for line in threads.map(told, services)]
            latencies += [report["at"] - revoked_at for report in reports]
        for report in reports:
            assert report["fetches"] <= report["for"] / TTL_SECONDS + 1
    latencies.sort()
    with capsys.disabled():
        median, last = latencies[len(latencies) // 2], latencies[-1]
        sys.stdout.write(f"\nrevocation seen after {median:.2f} s (median), {last:.2f} s (last)\n")
    assert latencies[-1] <= TTL_SECONDS + 1


def test_a_thousand_refreshes_against_as_many_revocations(replicas: Replicas) -> None:
    places: set[tuple[int, int]] = set()
    with ThreadPoolExecutor(2) as threads:
        for number in range(RACE_ROUNDS):
            tokens = replicas.login(number % 2)
            token = tokens["refresh_token"]
            renewed, ended = threads.map(
                lambda act: act(),
                (
                    lambda: replicas.post(0, "refresh", refresh_token=token),  # noqa: B023 - used at once
                    lambda: replicas.post(1, "logout", refresh_token=token),  # noqa: B023 - the same
                ),
            )
            assert ended.status_code == 204
            assert renewed.status_code in (200, 401), renewed.text
            places.add(place_of(tokens["access_token"]))
            if renewed.status_code == 200:
                places.add(place_of(renewed.json()["access_token"]))
    assert len(places) == RACE_ROUNDS
    # Both say so of all of them, half a second later.
    time.sleep(0.5)
    for client in replicas.clients:
        lists = {number: client.get(f"/status-lists/{number}").text for number, _ in places}
        assert [place for place in places if not bit_in(lists[place[0]], place[1])] == []
