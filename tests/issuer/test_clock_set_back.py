"""The issuer's clock is set back by five minutes: nothing that is over begins again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from apostille import StaticKeys, Verifier
from apostille.clock import ManualClock
from apostille.status import UnsafeNoStatus
from apostille_issuer import app
from apostille_issuer.settings import RateLimit
from support.desk import Desk, bearer, open_desk, problem_of
from support.lists import bit_in, place_of

STEP = timedelta(minutes=5)
LIFE_AND_LEEWAY = timedelta(minutes=10, seconds=30)


# Places for attempts come back by the clock: there are enough without.
NO_LIMIT = RateLimit(1_000, timedelta(hours=1))


class Monotonic:
    """The clock that nobody can set back, as the issuer's own verifier reads it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> Monotonic:
    made = Monotonic()
    monkeypatch.setattr(app, "time", made)
    return made


@pytest.fixture
def desk(database_url: str, monotonic: Monotonic) -> Iterator[Desk]:
    """An issuer of its own: nobody else's clock is set back."""
    del monotonic  # read while the issuer is built
    limits = {"login_limit_per_account": NO_LIMIT, "login_limit_per_address": NO_LIMIT}
    with open_desk(database_url, **limits) as opened:
        yield opened


def set_back(desk: Desk) -> None:
    desk.clock.shift_wall(-STEP)


def me(desk: Desk, tokens: dict[str, Any]) -> str:
    """Return how the issuer's own routes take the access token: ``ok`` or a code."""
    answer = desk.http.get("/v1/me", headers=bearer(tokens))
    return "ok" if answer.status_code == 200 else problem_of(answer, 401)


def presented(desk: Desk, refresh_token: str) -> str:
    return problem_of(desk.refresh(refresh_token), 401)


def test_what_has_ended_or_was_used_up_stays_so(desk: Desk) -> None:
    person = desk.hire()
    ended, older, newer, good = (desk.tokens(person.login) for _ in range(4))
    logout = {"refresh_token": ended["refresh_token"]}
    assert desk.http.post("/v1/auth/logout", json=logout).status_code == 204
    chain = [older["refresh_token"]]
    for _ in range(2):
        chain.append(desk.renewed(chain[-1])["refresh_token"])
    successor = desk.renewed(newer["refresh_token"])["refresh_token"]
    set_back(desk)
    list_id, idx = place_of(ended["access_token"])
    assert bit_in(desk.http.get(f"/status-lists/{list_id}").text, idx) == 1
    assert me(desk, ended) == "revoked_token"
    assert presented(desk, ended["refresh_token"]) == "session_ended"
    # Theft, whether of long ago or of a moment that is to come.
    assert presented(desk, chain[0]) == "refresh_token_reused"
    assert presented(desk, chain[-1]) == "session_ended"
    assert presented(desk, newer["refresh_token"]) == "refresh_token_reused"
    assert presented(desk, successor) == "session_ended"
    # And what is good stays good.
    assert me(desk, good) == "ok"
    assert me(desk, desk.renewed(good["refresh_token"])) == "ok"


def test_an_access_token_that_has_expired_stays_so(desk: Desk, monotonic: Monotonic) -> None:
    tokens = desk.tokens(desk.hire().login)
    assert me(desk, tokens) == "ok"
    desk.wait(LIFE_AND_LEEWAY)
    monotonic.ahead += LIFE_AND_LEEWAY.total_seconds()
    assert me(desk, tokens) == "expired_token"
    set_back(desk)
    assert me(desk, tokens) == "expired_token"
    assert me(desk, desk.renewed(tokens["refresh_token"])) == "ok"


def test_services_whose_clocks_are_right_accept_nothing_for_longer(desk: Desk) -> None:
    person = desk.hire()
    before = desk.tokens(person.login)
    right = ManualClock(desk.clock.now())
    set_back(desk)
    after = desk.tokens(person.login)
    with Verifier(
        desk.issuer.settings.issuer_url,
        audience="apostille",
        keys=StaticKeys(desk.http.get("/.well-known/jwks.json").content),
        status=UnsafeNoStatus(),
        clock=right,
    ) as service:
        expiries = [service.verify(each["access_token"]).expires_at for each in (before, after)]
    assert expiries[1] == expiries[0] - STEP
