"""Login limits over HTTP: they stop guessing and lock nobody out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest

from apostille_issuer.settings import RateLimit
from support.desk import OTHER_PASSWORD, PASSWORD, Desk, Person, bearer, open_desk, problem_of

HOME, AWAY = "192.0.2.1", "198.51.100.7"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Desk]:
    """An issuer with small limits, behind a proxy that tells addresses."""
    path = tmp_path_factory.mktemp("strict") / "apostille.sqlite3"
    path.write_bytes(sqlite_template.read_bytes())
    with open_desk(
        f"sqlite:///{path}",
        login_limit_per_account=RateLimit(3, timedelta(minutes=15)),
        login_limit_per_address=RateLimit(8, timedelta(minutes=15)),
        trusted_proxies=(ip_network("127.0.0.0/8"),),
        hashing_workers=1,
        hashing_queue=1,
    ) as desk:
        yield desk


@pytest.fixture(autouse=True)
def forget(strict: Desk) -> None:
    """Let every limit of the tests before run out."""
    strict.wait(timedelta(minutes=16))


def attempt(
    desk: Desk, login: str, password: str = OTHER_PASSWORD, address: str = AWAY
) -> httpx.Response:
    body = {"login": login, "password": password}
    return desk.http.post("/v1/auth/login", json=body, headers={"x-forwarded-for": address})


def exhaust(desk: Desk, login: str, address: str = AWAY) -> None:
    for _ in range(3):
        assert problem_of(attempt(desk, login, address=address), 401) == "invalid_credentials"


def test_after_some_failures_even_the_right_password_waits(strict: Desk) -> None:
    ada = strict.hire()
    exhaust(strict, ada.login)
    before = strict.issuer.hashing.computed
    answer = attempt(strict, ada.login, PASSWORD)
    assert problem_of(answer, 429) == "rate_limited"
    assert answer.headers["retry-after"] == "300"
    assert strict.issuer.hashing.computed == before
    strict.wait(timedelta(seconds=300))
    assert attempt(strict, ada.login, PASSWORD).status_code == 200


def test_a_name_is_limited_in_all_its_spellings(strict: Desk) -> None:
    ada = strict.hire()
    for spelling in (ada.login, ada.login.upper(), ada.login.title()):
        attempt(strict, spelling)
    assert problem_of(attempt(strict, ada.login), 429) == "rate_limited"


def test_names_that_do_not_exist_are_limited_alike(strict: Desk) -> None:
    exhaust(strict, "nobody@example.com")
    assert problem_of(attempt(strict, "nobody@example.com"), 429) == "rate_limited"


def test_an_attacker_elsewhere_does_not_lock_out_whom_we_know_from_here(strict: Desk) -> None:
    ada = strict.hire()
    assert attempt(strict, ada.login, PASSWORD, HOME).status_code == 200
    exhaust(strict, ada.login, AWAY)
    assert problem_of(attempt(strict, ada.login, PASSWORD, AWAY), 429) == "rate_limited"
    assert attempt(strict, ada.login, PASSWORD, HOME).status_code == 200


def test_one_address_tries_only_so_many_names(strict: Desk) -> None:
    for number in range(8):
        assert attempt(strict, f"guess{number}", address="203.0.113.9").status_code == 401
    answer = attempt(strict, "guess9", address="203.0.113.9")
    assert problem_of(answer, 429) == "rate_limited"
    assert attempt(strict, "guess9", address="203.0.113.10").status_code == 401


def test_too_long_passwords_count_as_failures(strict: Desk) -> None:
    ada = strict.hire()
    for _ in range(3):
        attempt(strict, ada.login, "x" * 1_000)
    assert problem_of(attempt(strict, ada.login), 429) == "rate_limited"


def test_guesses_at_the_present_password_count_too(strict: Desk) -> None:
    ada = strict.hire()
    headers = bearer(strict.tokens(ada.login)) | {"x-forwarded-for": AWAY}
    body = {"current_password": "wrong wrong wrong", "new_password": OTHER_PASSWORD}
    statuses = [
        strict.http.post("/v1/me/password", json=body, headers=headers).status_code
        for _ in range(4)
    ]
    assert statuses == [401, 401, 401, 429]


def test_a_flood_leaves_one_event_and_not_a_thousand(strict: Desk) -> None:
    ada = strict.hire()
    exhaust(strict, ada.login)
    before = len(strict.events(tag="session:login:throttled"))
    for _ in range(20):
        attempt(strict, ada.login)
    assert len(strict.events(tag="session:login:throttled")) == before + 1


# A full hashing queue.


@pytest.fixture
def blocked(strict: Desk) -> Iterator[Desk]:
    """The same issuer while its one thread and its one waiting place are taken."""
    gate, running = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        running.release()
        assert gate.wait(30)

    async def occupy() -> list[asyncio.Task[None]]:
        return [asyncio.create_task(strict.issuer.hashing._run(work)) for _ in range(2)]

    async def finish(tasks: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*tasks)

    tasks = strict.run(occupy())
    assert running.acquire(timeout=30)
    yield strict
    gate.set()
    strict.run(finish(tasks))


@pytest.fixture
def person(strict: Desk) -> Person:
    return strict.hire()


def test_a_full_queue_answers_503_and_counts_nothing(person: Person, blocked: Desk) -> None:
    for login in (person.login, "nobody@example.com"):
        for _ in range(5):
            answer = attempt(blocked, login, PASSWORD)
            assert problem_of(answer, 503) == "overloaded"
            assert int(answer.headers["retry-after"]) >= 1


def test_after_a_flood_people_log_in_as_before(strict: Desk, person: Person) -> None:
    assert attempt(strict, person.login, PASSWORD).status_code == 200
