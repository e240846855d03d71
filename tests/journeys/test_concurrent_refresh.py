"""Two issuer processes on one database: a refresh token has one successor."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice

import httpx
import pytest

from support.desk import PASSWORD
from support.replicas import LOGIN, replicated

pytestmark = pytest.mark.journey

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
    limits = httpx.Limits(max_connections=CALLERS)
    with replicated(request.param, folder) as processes, ExitStack() as stack:
        clients = [
            httpx.Client(base_url=process.url, timeout=60, limits=limits, trust_env=False)
            for process in processes
        ]
        yield Replicas([stack.enter_context(client) for client in clients])


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
