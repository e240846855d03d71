"""Clocks that are set back by five minutes while issuer and service run (decision 22).

Two issuer processes share one machine's clock, the service has another; what is
set is the wall clock that each of these processes reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.asking import Service, serving
from support.desk import PASSWORD, problem_of
from support.lists import claims_in
from support.replicas import LOGIN, QUICK_HASHES, replicated
from support.set_clock import set_clock, with_clock

pytestmark = pytest.mark.journey

BACK = timedelta(minutes=-5)
MAX_STALENESS_SECONDS = 60
WITHIN_SECONDS = 60
"""Whatever is waited for happens long before."""

Tokens = dict[str, Any]


class Scene:
    """Both sides, and who sets their clocks."""

    def __init__(self, folder: Path, dialect: str, lifetime: str, stack: ExitStack) -> None:
        self.issuer_clock = folder / "issuer-clock"
        self.service_clock = folder / "service-clock"
        settings = {
            **QUICK_HASHES,
            "APOSTILLE_STATUS_TTL": "1s",
            "APOSTILLE_ACCESS_TOKEN_LIFETIME": lifetime,
        }
        python = with_clock(self.issuer_clock)
        replicas = stack.enter_context(
            replicated(dialect, folder, settings=settings, python=python)
        )
        self._http = [
            stack.enter_context(httpx.Client(base_url=each.url, timeout=60, trust_env=False))
            for each in replicas
        ]
        self.service: Service = stack.enter_context(
            serving(
                replicas[0].url,
                folder / "service.log",
                MAX_STALENESS_SECONDS,
                python=with_clock(self.service_clock),
            )
        )

    def _post(self, path: str, number: int, body: object) -> httpx.Response:
        return self._http[number].post(f"/v1/auth/{path}", json=body)

    def login(self) -> Tokens:
        answer = self._post("login", 0, {"login": LOGIN, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        tokens: Tokens = answer.json()
        return tokens

    def refresh(self, tokens: Tokens) -> httpx.Response:
        """At the other process."""
        return self._post("refresh", 1, {"refresh_token": tokens["refresh_token"]})

    def renewed(self, tokens: Tokens) -> Tokens:
        answer = self.refresh(tokens)
        assert answer.status_code == 200, answer.text
        renewed: Tokens = answer.json()
        return renewed

    def end(self, tokens: Tokens) -> None:
        """End the session, and wait until the service refuses its token for it."""
        assert self.verdict(tokens) == "good"
        body = {"refresh_token": tokens["refresh_token"]}
        assert self._post("logout", 1, body).status_code == 204
        deadline = time.monotonic() + WITHIN_SECONDS
        while (verdict := self.verdict(tokens)) == "good":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert verdict == "revoked_token"

    def verdict(self, tokens: Tokens) -> str:
        """Return what the service says of the access token: ``good``, or a code."""
        answer = self.service.ask(tokens["access_token"])
        if answer.status_code == 200:
            return "good"
        code: str = answer.json()["code"]
        return code


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scene(dialect: str, tmp_path: Path) -> Iterator[Scene]:
    """Tokens live for as long as by default."""
    with ExitStack() as stack:
        yield Scene(tmp_path, dialect, "10m", stack)


@pytest.fixture
def brief_scene(dialect: str, tmp_path: Path) -> Iterator[Scene]:
    """Tokens live for as short as may be."""
    with ExitStack() as stack:
        yield Scene(tmp_path, dialect, "1m", stack)


def made_at(tokens: Tokens) -> int:
    """Return when the access token was made, by the issuer's clock."""
    at: int = claims_in(tokens["access_token"])["iat"]
    return at


def test_the_service_s_clock_is_set_back(scene: Scene) -> None:
    kept, ended = scene.login(), scene.login()
    assert scene.verdict(kept) == "good"
    scene.end(ended)
    set_clock(scene.service_clock, BACK)
    # To its clock they have not been made yet; it goes by what it knew before.
    assert scene.verdict(kept) == "good"
    assert scene.verdict(ended) == "revoked_token"
    assert scene.verdict(scene.login()) == "good"
    scene.end(scene.login())


def test_the_issuer_s_clock_is_set_back(scene: Scene) -> None:
    kept, ended, spent = (scene.login() for _ in range(3))
    scene.end(ended)
    successor = scene.renewed(spent)
    set_clock(scene.issuer_clock, BACK)
    fresh = scene.login()
    assert made_at(fresh) - made_at(kept) < BACK.total_seconds() / 2  # so it was set
    assert scene.verdict(fresh) == "good"
    assert scene.verdict(kept) == "good"
    assert scene.verdict(ended) == "revoked_token"
    assert problem_of(scene.refresh(ended), 401) == "session_ended"
    assert scene.verdict(scene.renewed(kept)) == "good"
    # Used minutes ahead of now: no lost race.
    assert problem_of(scene.refresh(spent), 401) == "refresh_token_reused"
    assert problem_of(scene.refresh(successor), 401) == "session_ended"
    scene.end(scene.login())


def test_the_service_s_clock_is_set_back_after_tokens_have_expired(brief_scene: Scene) -> None:
    """They expire after a minute here, and half a minute of leeway, in truth."""
    scene = brief_scene
    seen, unseen = scene.login(), scene.login()
    deadline = time.monotonic() + 2 * WITHIN_SECONDS
    while (verdict := scene.verdict(seen)) == "good":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert verdict == "expired_token"
    set_clock(scene.service_clock, BACK)
    # By its clock both have minutes left.
    assert scene.verdict(seen) == "expired_token"
    assert scene.verdict(unseen) == "expired_token"
    assert scene.verdict(scene.renewed(seen)) == "good"
    scene.end(scene.login())
