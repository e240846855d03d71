"""Two issuer processes on one database: a refresh token has one successor."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice

import httpx
import pytest

from apostille_issuer.tour.processes import free_port, running
from support.desk import PASSWORD
from support.postgresql import NoPostgreSQL, running_server

pytestmark = pytest.mark.journey

LOGIN = "ada@example.com"
CALLERS = 50


class Replicas:
    """Two processes that serve one issuer."""

    def __init__(self, clients: list[httpx.Client]) -> None:
        self._clients = clients

    def login(self) -> str:
        body = {"login": LOGIN, "password": PASSWORD}
        answer = self._clients[0].post("/v1/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["refresh_token"]
        return token

    def refresh(self, tokens: list[str]) -> list[httpx.Response]:
        """Use *tokens* at once, every second one at the other process."""

        def use(pair: tuple[httpx.Client, str]) -> httpx.Response:
            client, token = pair
            return client.post("/v1/auth/refresh", json={"refresh_token": token})

        with ThreadPoolExecutor(CALLERS) as threads:
            pairs = zip(cycle(self._clients), tokens, strict=False)
            return list(threads.map(use, islice(pairs, len(tokens))))


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
            limits = httpx.Limits(max_connections=CALLERS)
            client = httpx.Client(base_url=url, timeout=60, limits=limits, trust_env=False)
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
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return environment


def _successor(answers: list[httpx.Response]) -> str:
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    (successor,) = {answer.json()["refresh_token"] for answer in answers}
    return str(successor)


def test_all_who_use_one_token_at_once_get_one_successor(replicas: Replicas) -> None:
    token = replicas.login()
    for _ in range(10):
        token = _successor(replicas.refresh([token] * CALLERS))


def test_an_older_token_ends_the_session_in_both_processes(replicas: Replicas) -> None:
    chain = [replicas.login()]
    for _ in range(2):
        chain.append(_successor(replicas.refresh([chain[-1]] * 2)))
    answers = replicas.refresh([chain[0]] * CALLERS)
    assert {answer.status_code for answer in answers} == {401}
    codes = [answer.json()["code"] for answer in answers]
    assert codes.count("refresh_token_reused") >= 1
    assert set(codes) <= {"refresh_token_reused", "session_ended"}
    for answer in replicas.refresh([chain[-1]] * 2):
        assert answer.json()["code"] == "session_ended"


def test_many_chains_at_once_do_not_disturb_each_other(replicas: Replicas) -> None:
    tokens = [replicas.login() for _ in range(8)]
    for _ in range(10):
        answers = replicas.refresh([token for token in tokens for _ in range(4)])
        tokens = [_successor(answers[start : start + 4]) for start in range(0, len(answers), 4)]


def test_use_and_reuse_at_once_never_leave_a_living_chain(replicas: Replicas) -> None:
    for _ in range(5):
        chain = [replicas.login()]
        for _ in range(2):
            chain.append(_successor(replicas.refresh([chain[-1]])))
        answers = replicas.refresh([chain[0], chain[2]] * 5)
        assert {answer.status_code for answer in answers} <= {200, 401}
        successors = [
            answer.json()["refresh_token"] for answer in answers if answer.status_code == 200
        ]
        for answer in replicas.refresh([chain[2], *successors]):
            assert answer.json()["code"] == "session_ended"
