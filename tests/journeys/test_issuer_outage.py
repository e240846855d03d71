"""The issuer is away for longer than its lists may be old, and comes back (DESIGN section 9).

Two issuer processes behind a balancer, and a service process, over HTTP; neither
side knows that the other is a test. The service is asked all the time and started once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from apostille_issuer.tour.processes import free_port
from support.asking import serving
from support.balancer import balanced
from support.desk import PASSWORD
from support.lists import claims_in
from support.replicas import LOGIN, QUICK_HASHES, Replica, replicated

pytestmark = pytest.mark.journey

TTL_SECONDS = 1
MAX_STALENESS_SECONDS = 6
FRESH, STALE, GONE = (200, 0), (200, 1), (503, 1)
"""What the service answers, and of how many lists it says that they cannot be renewed."""


class Issuer:
    """Two processes on one database behind a balancer."""

    def __init__(self, url: str, replicas: Sequence[Replica]) -> None:
        self.url = url
        self.replicas = replicas

    def login(self) -> dict[str, Any]:
        body = {"login": LOGIN, "password": PASSWORD}
        answer = httpx.post(f"{self.url}/v1/auth/login", json=body, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def start(self) -> None:
        for replica in self.replicas:
            replica.start()
        for replica in self.replicas:
            replica.wait_until_ready()

    def end_session(self, tokens: dict[str, Any]) -> None:
        """End it by the command line, whether or not a process runs."""
        session: str = claims_in(tokens["access_token"])["sid"]
        self.replicas[0].command("revoke", "--session", session)


@pytest.fixture(params=["sqlite", "postgresql"])
def issuer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Issuer]:
    ports = [free_port(), free_port()]
    with ExitStack() as stack:
        url = stack.enter_context(balanced(ports))
        settings = {
            **QUICK_HASHES,
            "APOSTILLE_STATUS_TTL": f"{TTL_SECONDS}s",
            "APOSTILLE_ISSUER_URL": url,
        }
        replicas = stack.enter_context(
            replicated(request.param, tmp_path, ports=ports, settings=settings)
        )
        yield Issuer(url, replicas)


def test_whichever_process_is_down_services_notice_nothing_while_the_other_is_up(
    issuer: Issuer, tmp_path: Path
) -> None:
    kept, doomed = issuer.login(), [issuer.login(), issuer.login()]
    with serving(issuer.url, tmp_path / "service.log", MAX_STALENESS_SECONDS) as service:
        good = kept["access_token"]
        for down, ended in zip(issuer.replicas, doomed, strict=True):
            assert service.ask(ended["access_token"]).status_code == 200
            down.kill()
            # Longer than a list from before could have served.
            states = service.states_for(good, MAX_STALENESS_SECONDS + 1)
            # A request that the process was answering as it was killed may have failed.
            assert set(states) <= {FRESH, STALE}
            issuer.end_session(ended)
            service.states_until(ended["access_token"], lambda state: state[0] == 401)
            refusal = service.ask(ended["access_token"])
            assert (refusal.status_code, refusal.json()["code"]) == (401, "revoked_token")
            assert service.state(good) == FRESH
            down.start()
            down.wait_until_ready()
        assert service.state(good) == FRESH


def test_an_outage_is_borne_then_told_then_over_without_a_restart(
    issuer: Issuer, tmp_path: Path
) -> None:
    kept, ended = issuer.login(), issuer.login()
    with serving(issuer.url, tmp_path / "service.log", MAX_STALENESS_SECONDS) as service:
        good = kept["access_token"]
        assert service.state(good) == FRESH
        assert service.ask(ended["access_token"]).status_code == 200
        for replica in issuer.replicas:
            replica.kill()
        killed_at = time.monotonic()
        # Longer than the ttl: the list serves, and is known to be old.
        # Longer than max_staleness: it does not serve any more.
        assert service.states_until(good, lambda state: state[0] != 200) == [FRESH, STALE, GONE]
        # The list was asked for at most a ttl, and a second, before the issuer died.
        borne = time.monotonic() - killed_at
        assert borne >= MAX_STALENESS_SECONDS - TTL_SECONDS - 1
        refusal = service.ask(good)
        assert refusal.status_code == 503
        assert refusal.json()["code"] == "status_unavailable"
        assert int(refusal.headers["retry-after"]) >= 1
        assert "www-authenticate" not in refusal.headers  # the token may be good
        # Not ready would mean that it gets no requests, and never recovers.
        assert service.health() == {"ready": True, "failing": 1, "unusable": 1}
        issuer.end_session(ended)
        issuer.start()
        states = service.states_until(good, lambda state: state == FRESH)
        assert {status for status, _ in states[:-1]} <= {503}
        assert service.health() == {"ready": True, "failing": 0, "unusable": 0}
        refusal = service.ask(ended["access_token"])
        assert (refusal.status_code, refusal.json()["code"]) == (401, "revoked_token")
        assert service.process.poll() is None
