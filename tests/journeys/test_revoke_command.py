"""``apostille-issuer revoke`` beside two processes that serve: services and both processes know.

The time limit is the promise itself: a ttl and a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import httpx
import pytest
from msgspec import Struct

from apostille import Verifier
from apostille.errors import RevokedToken
from support.desk import PASSWORD, bearer, problem_of
from support.lists import claims_in
from support.replicas import LOGIN, QUICK_HASHES, Replica, replicated

pytestmark = pytest.mark.journey

TTL_SECONDS = 1
WITHIN_SECONDS = 60
"""Whatever is late is refused by then, and said to be late."""

_numbers = count(1)

Tokens = dict[str, Any]


class Issuer:
    """Two processes on one database, and a service."""

    def __init__(self, replicas: list[Replica], stack: ExitStack) -> None:
        self.replicas = replicas
        self.http = [
            stack.enter_context(httpx.Client(base_url=each.url, timeout=60, trust_env=False))
            for each in replicas
        ]
        self.service = stack.enter_context(Verifier(replicas[0].url, audience="apostille"))

    def login(self, login: str, organization: str | None = None) -> Tokens:
        body = {"login": login, "password": PASSWORD, "organization": organization}
        tokens: Tokens = self._created("auth/login", {}, body, status=200)
        return tokens

    def create(self, path: str, **body: Any) -> Any:
        """Create something as the superuser."""
        return self._created(path, bearer(self.login(LOGIN)), body, status=201)

    def _created(self, path: str, headers: dict[str, str], body: object, *, status: int) -> Any:
        answer = self.http[0].post(f"/v1/{path}", headers=headers, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def accepts(self, tokens: Tokens) -> bool:
        """Say whether the service does."""
        try:
            self.service.verify(tokens["access_token"])
        except RevokedToken:
            return False
        return True


class Stage(Struct, frozen=True):
    """Two people, each with sessions that speak for nobody, a company, and its subsidiary."""

    login: str
    """Of the first one."""
    company: str
    sessions: dict[str, Tokens]

    @property
    def one(self) -> str:
        """One session of the first one."""
        sid: str = claims_in(self.sessions["ada here"]["access_token"])["sid"]
        return sid


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def issuer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Issuer]:
    folder = tmp_path_factory.mktemp("revoke")
    settings = {**QUICK_HASHES, "APOSTILLE_STATUS_TTL": f"{TTL_SECONDS}s"}
    with replicated(request.param, folder, settings=settings) as replicas, ExitStack() as stack:
        yield Issuer(list(replicas), stack)


@pytest.fixture
def stage(issuer: Issuer) -> Stage:
    number = next(_numbers)
    company = issuer.create("tenants", name=f"Acme {number}")["root_organization_id"]
    works = issuer.create("organizations", name="Works", parent_id=company)["id"]
    sessions = {}
    people = {name: f"{name}{number}@example.org" for name in ("ada", "bob")}
    for name, login in people.items():
        issuer.create("users", login=login, password=PASSWORD)
        for organization in (company, works):
            issuer.create(f"organizations/{organization}/members", login=login)
        where = {"here": None, "there": None, "company": company, "works": works}
        for place, organization in where.items():
            sessions[f"{name} {place}"] = issuer.login(login, organization)
    return Stage(people["ada"], company, sessions)


EVERYBODY = {
    f"{name} {place}" for name in ("ada", "bob") for place in ["here", "there", "company", "works"]
}


@pytest.mark.parametrize(
    ("arguments", "doomed"),
    [
        pytest.param(lambda stage: ["--session", stage.one], {"ada here"}, id="session"),
        pytest.param(
            lambda stage: ["--user", stage.login],
            {"ada here", "ada there", "ada company", "ada works"},
            id="user",
        ),
        pytest.param(
            lambda stage: ["--organization", stage.company],
            {"ada company", "bob company"},
            id="organization",
        ),
        pytest.param(
            lambda stage: ["--organization", stage.company, "--subtree"],
            {"ada company", "bob company", "ada works", "bob works"},
            id="subtree",
        ),
        pytest.param(lambda _: ["--all"], EVERYBODY, id="all"),
    ],
)
def test_a_service_refuses_within_the_ttl_and_a_second(
    issuer: Issuer, stage: Stage, arguments: Callable[[Stage], list[str]], doomed: set[str]
) -> None:
    sessions = stage.sessions
    assert all(issuer.accepts(tokens) for tokens in sessions.values())
    said = issuer.replicas[0].command("revoke", *arguments(stage))
    ended_at = time.monotonic()
    ended = said.removesuffix(f"; services know within {TTL_SECONDS} s and a second\n")
    if doomed != EVERYBODY:  # there, the superuser's sessions are ended, too
        assert ended == f"ended {len(doomed)} session{'s' if len(doomed) > 1 else ''}"
    left = set(doomed)
    while left and time.monotonic() < ended_at + WITHIN_SECONDS:
        left = {name for name in left if issuer.accepts(sessions[name])}
        time.sleep(0.02)
    assert left == set()
    assert time.monotonic() - ended_at <= TTL_SECONDS + 1
    assert {name for name in sessions if not issuer.accepts(sessions[name])} == doomed
    for http in issuer.http:
        for name, tokens in sessions.items():
            answer = http.get("/v1/me", headers=bearer(tokens))
            if name in doomed:
                assert problem_of(answer, 401) == "revoked_token"
            else:
                assert answer.status_code == 200, answer.text
    for name, tokens in sessions.items():
        body = {"refresh_token": tokens["refresh_token"]}
        answer = issuer.http[1].post("/v1/auth/refresh", json=body)
        if name in doomed:
            assert problem_of(answer, 401) == "session_ended"
        else:
            assert answer.status_code == 200, answer.text
