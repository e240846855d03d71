"""What ended long ago is deleted, at the second, and nothing else; nobody's answer changes."""

from __future__ import annotations

import asyncio
import os
import shlex
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from apostille.clock import ManualClock
from apostille_contracts.problems import ProblemCode
from apostille_issuer import purging as module
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.cli import COMMANDS, main
from apostille_issuer.clients import purging as of_clients
from apostille_issuer.clock import utc_now
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem, SettingsError
from apostille_issuer.sessions.schemas import LoginRequest
from apostille_issuer.settings import Settings
from apostille_issuer.status.marking import TOKENS_DIE_WITHIN
from support.application import quick_settings
from support.desk import PASSWORD, Desk, bearer, open_desk, problem_of
from support.issuer_process import environment
from support.lists import bit_in, place_of
from support.machines import Machines, make_key
from support.purging import (
    DAY,
    NOTHING,
    RETENTION,
    SECOND,
    log_out,
    purged,
    rows,
    session_of,
)
from support.readme import ROOT, commands


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    """An issuer of its own: its clock goes on by months, and it has no other sessions."""
    with open_desk(database_url) as opened:
        yield opened


# Sessions.


def test_a_session_that_was_ended_goes_thirty_days_later_to_the_second(desk: Desk) -> None:
    ada = desk.hire()
    first, second = desk.tokens(ada.login), desk.tokens(ada.login)
    log_out(desk, first)
    desk.wait(SECOND)
    log_out(desk, second)
    desk.wait(RETENTION - 2 * SECOND)
    desk.hire()  # anything that goes on meanwhile
    assert purged(desk) == NOTHING
    desk.wait(SECOND)
    assert purged(desk) == NOTHING | {"sessions": 1}
    assert not {session_of(first)} & rows(desk, "sessions")
    assert {session_of(second)} <= rows(desk, "sessions")


def test_a_session_that_nobody_used_goes_thirty_days_after_it_expired(desk: Desk) -> None:
    ada = desk.hire()
    unused, used = desk.tokens(ada.login), desk.tokens(ada.login)
    desk.wait(10 * DAY)
    used = desk.renewed(used["refresh_token"])
    desk.wait(4 * DAY + RETENTION - SECOND)
    # The desk's own sessions would go as well.
    before = rows(desk, "sessions")
    purged(desk)
    assert {session_of(unused), session_of(used)} <= rows(desk, "sessions")
    desk.wait(SECOND)
    purged(desk)
    assert before - rows(desk, "sessions") >= {session_of(unused)}
    assert session_of(used) in rows(desk, "sessions")
    desk.wait(10 * DAY)
    purged(desk)
    assert session_of(used) not in rows(desk, "sessions")


def test_a_session_that_is_refreshed_stays_until_its_absolute_end_and_thirty_days(
    desk: Desk,
) -> None:
    tokens = desk.tokens(desk.hire().login)
    for _ in range(9):
        desk.wait(10 * DAY - SECOND)
        tokens = desk.renewed(tokens["refresh_token"])
        purged(desk)
    desk.wait(9 * SECOND)
    assert problem_of(desk.refresh(tokens["refresh_token"]), 401) == "session_ended"
    desk.wait(RETENTION - SECOND)
    purged(desk)
    assert session_of(tokens) in rows(desk, "sessions")
    desk.wait(SECOND)
    purged(desk)
    assert session_of(tokens) not in rows(desk, "sessions")


def standing(desk: Desk, token: str) -> list[Any]:
    """Return what each route answers about a refresh token."""
    form = {"token": token}
    introspected = desk.as_root("POST", "/oauth/introspect", data=form)
    body = {"refresh_token": token}
    return [
        problem_of(desk.refresh(token), 401),
        introspected.json(),
        desk.http.post("/oauth/revoke", data=form).status_code,
        desk.http.post("/v1/auth/logout", json=body).status_code,
        problem_of(
            desk.http.post("/v1/auth/switch-organization", json={**body, "organization": None}),
            401,
        ),
    ]


def test_no_answer_to_a_token_of_it_changes_nor_the_trail_nor_what_was_told(desk: Desk) -> None:
    ada = desk.hire()
    stolen, ended = desk.tokens(ada.login), desk.tokens(ada.login)
    chain = [stolen["refresh_token"]]
    chain += [desk.renewed(chain[0])["refresh_token"]]
    desk.wait(timedelta(minutes=1))
    assert problem_of(desk.refresh(chain[0]), 401) == "refresh_token_reused"
    log_out(desk, ended)
    desk.wait(RETENTION)
    tokens = [*chain, ended["refresh_token"]]
    before = [standing(desk, token) for token in tokens]
    assert before[0] == ["session_ended", {"active": False}, 200, 204, "session_ended"]
    targets = [f"session:{session_of(each)}" for each in (stolen, ended)]
    trails = [desk.events(target=target) for target in targets]
    assert [event["tag"] for event in trails[0]] == [
        "session:refresh:reused",
        "session:login:succeeded",
    ]
    assert [event["tag"] for event in trails[1]] == [
        "session:session:ended",
        "session:login:succeeded",
    ]
    headers = bearer(desk.tokens(ada.login))
    told = desk.http.get("/v1/me/notifications", headers=headers).json()
    assert [each["session_id"] for each in told["items"]] == [str(session_of(stolen))]

    assert purged(desk)["sessions"] >= 2
    assert not {session_of(stolen), session_of(ended)} & rows(desk, "sessions")
    assert [standing(desk, token) for token in tokens] == before
    assert [desk.events(target=target) for target in targets] == trails
    assert desk.http.get("/v1/me/notifications", headers=headers).json() == told
    # Who refreshes is still told from who forges, and from who comes too late.
    forged = chain[0][:-43] + "A" * 43
    assert problem_of(desk.refresh(forged), 401) == "invalid_refresh_token"
    assert len(desk.events(tag="session:refresh:reused")) == 1


def test_to_end_it_by_its_identifier_finds_nothing_any_more(desk: Desk) -> None:
    ada = desk.hire()
    ended = desk.tokens(ada.login)
    log_out(desk, ended)
    desk.wait(RETENTION)
    headers = bearer(desk.tokens(ada.login))
    own = f"/v1/me/sessions/{session_of(ended)}"
    of_user = f"/v1/users/{ada.id}/sessions/{session_of(ended)}"
    assert desk.http.delete(own, headers=headers).status_code == 204
    assert desk.as_root("DELETE", of_user).status_code == 204
    purged(desk)
    assert problem_of(desk.http.delete(own, headers=headers), 404) == "not_found"
    assert problem_of(desk.as_root("DELETE", of_user), 404) == "not_found"
    (listed,) = desk.http.get("/v1/me/sessions", headers=headers).json()["items"]
    assert listed["current"] is True


def test_no_access_token_can_be_alive_when_its_session_goes(database_url: str) -> None:
    """The shortest retention is longer than any token lives, and its bit was set before."""
    assert TOKENS_DIE_WITHIN < DAY
    changes = {"session_retention": DAY, "access_token_lifetime": timedelta(hours=1)}
    with open_desk(database_url, **changes) as desk:
        tokens = desk.tokens(desk.hire().login)
        list_id, idx = place_of(tokens["access_token"])
        log_out(desk, tokens)
        desk.wait(timedelta(minutes=59))
        assert purged(desk) == NOTHING
        assert bit_in(desk.http.get(f"/status-lists/{list_id}").text, idx) == 1
        desk.wait(DAY - timedelta(minutes=59))
        assert purged(desk) == NOTHING | {"sessions": 1}


def test_the_session_of_an_api_key_lives_as_long_as_the_key_and_goes_after_it(desk: Desk) -> None:
    machines = Machines(desk)
    lives, revoked = machines.machine("staff"), machines.machine()
    path = f"/{revoked.id}/keys/{revoked.key_id}"
    assert machines.ask("DELETE", path).status_code == 204
    expired = machines.key(revoked.id, expires_in_seconds=3_600)
    desk.wait(RETENTION)
    purged(desk)
    kept = {uuid.UUID(key) for key in (lives.key_id, revoked.key_id, expired["id"])}
    assert kept & rows(desk, "sessions") == {uuid.UUID(lives.key_id), uuid.UUID(expired["id"])}
    desk.wait(timedelta(hours=1))
    purged(desk)
    assert kept & rows(desk, "sessions") == {uuid.UUID(lives.key_id)}
    # The keys are shown as before, and what has expired can be revoked all the same.
    shown = machines.ask("GET", f"/{revoked.id}/keys").json()["items"]
    assert [key["state"] for key in shown] == ["expired", "revoked"]
    assert machines.ask("DELETE", f"/{revoked.id}/keys/{expired['id']}").status_code == 204
    assert machines.token(lives)["token_type"] == "Bearer"


def test_what_retention_says_is_what_is_kept(database_url: str) -> None:
    with open_desk(database_url, session_retention=2 * DAY) as desk:
        tokens = desk.tokens(desk.hire().login)
        log_out(desk, tokens)
        desk.wait(2 * DAY - SECOND)
        assert purged(desk) == NOTHING
        desk.wait(SECOND)
        assert purged(desk) == NOTHING | {"sessions": 1}


# Client assertions.


def test_what_is_remembered_of_an_assertion_goes_a_day_after_it_expired(desk: Desk) -> None:
    machines = Machines(desk)
    account = machines.account()
    key, public = make_key()
    machines.key(account, public_jwk=public)
    assertion = machines.assertion(account, key)
    assert machines.assert_with(assertion).status_code == 200
    desk.wait(timedelta(seconds=90) + DAY - SECOND)
    assert purged(desk)["used assertions"] == 0
    desk.wait(SECOND)
    assert purged(desk)["used assertions"] == 1
    assert machines.assert_with(assertion).status_code == 401
    assert machines.assert_with(machines.assertion(account, key)).status_code == 200


def test_assertions_go_a_few_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_clients, "PURGE_ROWS", 2)
    machines = Machines(desk)
    account = machines.account()
    key, public = make_key()
    machines.key(account, public_jwk=public)
    for _ in range(5):
        assert machines.assert_with(machines.assertion(account, key)).status_code == 200
    desk.wait(2 * DAY)
    assert purged(desk)["used assertions"] == 5


# The process that serves.


def test_a_process_that_serves_purges_by_itself(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PURGE_SECONDS", 0.01)
    monkeypatch.setattr(module, "BELIEVED_AFTER", timedelta(0))  # a month passes at once
    with open_desk(database_url) as desk:
        ada = desk.hire()
        ended = desk.tokens(ada.login)
        log_out(desk, ended)
        desk.wait(RETENTION)
        headers = bearer(desk.tokens(ada.login))
        path = f"/v1/me/sessions/{session_of(ended)}"
        while desk.http.delete(path, headers=headers).status_code == 204:
            pass
        assert problem_of(desk.http.delete(path, headers=headers), 404) == "not_found"


class Rows:
    """Something to be purged, which does as it is told."""

    def __init__(self, name: str, *outcomes: Exception | int) -> None:
        self.name = name
        self.outcomes = list(outcomes)
        self.times: list[datetime] = []
        self.begun = asyncio.Event()
        self.through = asyncio.Event()

    async def purge(self, stop: asyncio.Event, now: datetime) -> int:  # noqa: ARG002 - as all
        self.times.append(now)
        self.begun.set()
        if not self.outcomes:
            self.through.set()
            return 0
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.mark.anyio
async def test_purging_goes_on_after_failures_and_one_kind_keeps_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", module.logger.name)
    monkeypatch.setattr(module, "PURGE_SECONDS", 0)
    away = IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE, retry_after=2)
    kinds = [Rows("letters", away, ZeroDivisionError()), Rows("stamps", 3, 0)]
    async with module.Purge(utc_now, *kinds).purging():
        for kind in kinds:
            await asyncio.wait_for(kind.through.wait(), 30)
    said = [record.getMessage() for record in caplog.records if record.name == module.logger.name]
    assert said[:3] == [
        f"cannot purge letters: {away}",
        "purged 3 stamps",
        "purging letters failed",
    ]
    assert len(said) == 3


@pytest.mark.anyio
async def test_a_clock_that_is_set_forward_deletes_nothing(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PURGE_SECONDS", 0)
    kind, started = Rows("letters", 0, 0, 0, 0), clock.now()
    async with module.Purge(clock.now, kind).purging():
        await asyncio.wait_for(kind.begun.wait(), 30)
        clock.shift_wall(365 * DAY)
        await asyncio.wait_for(kind.through.wait(), 30)
    assert len(kind.times) > 4
    assert max(kind.times) - started < timedelta(minutes=10)


# The command, and what is written about it.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    return tmp_path


def test_the_command_purges_what_is_due(
    folder: Path, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    async def prepare() -> None:
        # The clock of the tests is months behind.
        for issuer in (
            Issuer(quick_settings(folder), clock=clock.now),
            Issuer(quick_settings(folder)),
        ):
            async with issuer.running():
                name = f"user{issuer.clock():%Y%m%d}"
                await issuer.accounts.create(UserDraft(login=name, password=PASSWORD), COMMAND_LINE)
                request = LoginRequest(login=name, password=PASSWORD)
                await issuer.sessions.login(request, COMMAND_LINE)

    asyncio.run(prepare())
    for expected in (1, 0):
        assert main(["purge", "--data", str(folder)]) == 0
        said = f"purged {expected} sessions, 0 invitations, 0 used assertions, 0 status lists\n"
        assert capsys.readouterr().out == said


def test_the_guides_say_what_is_so() -> None:
    sessions = " ".join((ROOT / "docs/guides/sessions.md").read_text("utf-8").split())
    tenants = " ".join((ROOT / "docs/guides/tenants.md").read_text("utf-8").split())
    assert "kept for 30 more days (`APOSTILLE_SESSION_RETENTION`)" in sessions
    assert "for 30 more days after it was answered or expired" in tenants
    settings = Settings()
    assert (settings.session_retention, settings.invitation_retention) == (RETENTION, RETENTION)
    assert (module.PURGE_SECONDS, "look every hour" in sessions) == (3_600, True)
    assert (of_clients.SLACK, "a day after it expired" in sessions) == (DAY, True)
    (lines,) = [block for block in commands("docs/guides/sessions.md") if "purge" in block[0]]
    (program, command) = shlex.split(lines[0])
    assert (program, command in COMMANDS) == ("apostille-issuer", True)


@pytest.mark.parametrize("name", ["session_retention", "invitation_retention"])
def test_nothing_is_kept_for_less_than_a_day_or_more_than_two_years(name: str) -> None:
    for kept in (DAY, 731 * DAY):
        assert getattr(Settings(**{name: kept}), name) == kept  # type: ignore[arg-type]
    for kept in (DAY - SECOND, 731 * DAY + SECOND):
        with pytest.raises(SettingsError, match=f"APOSTILLE_{name.upper()} must be from"):
            Settings(**{name: kept})  # type: ignore[arg-type]
