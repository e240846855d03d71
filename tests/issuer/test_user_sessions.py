"""Where somebody is logged in, for administrators, and logging him out."""

from __future__ import annotations

import uuid
from datetime import timedelta
from itertools import count

import httpx
import pytest

from support.desk import Desk, Person, bearer, problem_of

_numbers = count(1)


def somebody_with(desk: Desk, *permissions: str) -> dict[str, str]:
    """Return the headers of a user who holds just *permissions*."""
    role = f"session-helper-{next(_numbers)}-{uuid.uuid4().hex[:6]}"
    draft = {"name": role, "allow": list(permissions)}
    assert desk.as_root("POST", "/v1/roles", json=draft).status_code == 201
    return bearer(desk.tokens(desk.hire(role).login))


def ended(desk: Desk, refresh_token: str) -> bool:
    answer = desk.refresh(refresh_token)
    return not answer.is_success and problem_of(answer, 401) == "session_ended"


def listed(desk: Desk, person: Person, headers: dict[str, str]) -> httpx.Response:
    return desk.http.get(f"/v1/users/{person.id}/sessions", headers=headers)


def test_an_administrator_sees_where_somebody_is_logged_in(desk: Desk) -> None:
    ada = desk.hire()
    tokens = [desk.tokens(ada.login) for _ in range(2)]
    answer = listed(desk, ada, somebody_with(desk, "iam.sessions.read"))
    assert answer.status_code == 200
    items = answer.json()["items"]
    assert [item["id"] for item in items] == [desk.claims(each).sid for each in reversed(tokens)]
    assert not any(item["current"] for item in items)
    assert answer.json()["next_cursor"] is None


def test_his_own_session_is_marked(desk: Desk) -> None:
    root = desk.root()
    me = desk.http.get("/v1/me", headers=root).json()
    items = desk.as_root("GET", f"/v1/users/{me['id']}/sessions").json()["items"]
    assert [item["id"] for item in items if item["current"]] == [me["session_id"]]


def test_reading_takes_a_permission_and_ending_another_one(desk: Desk) -> None:
    ada = desk.hire()
    session = desk.claims(desk.tokens(ada.login)).sid
    reader, writer = (
        somebody_with(desk, "iam.sessions.read"),
        somebody_with(desk, "iam.sessions.write"),
    )
    path = f"/v1/users/{ada.id}/sessions"
    assert problem_of(listed(desk, ada, writer), 403) == "permission_denied"
    for target in (path, f"{path}/{session}"):
        answer = desk.http.delete(target, headers=reader)
        assert problem_of(answer, 403) == "permission_denied"
        assert answer.json()["missing"] == ["iam.sessions.write"]


def test_an_administrator_ends_one_session(desk: Desk) -> None:
    ada = desk.hire()
    here, there = desk.tokens(ada.login), desk.tokens(ada.login)
    session = desk.claims(there).sid
    writer = somebody_with(desk, "iam.sessions.write")
    for _ in range(2):
        answer = desk.http.delete(f"/v1/users/{ada.id}/sessions/{session}", headers=writer)
        assert (answer.status_code, answer.content) == (204, b"")
    me = desk.http.get("/v1/me", headers=bearer(there))
    assert problem_of(me, 401) == "revoked_token"
    assert ended(desk, there["refresh_token"])
    assert not ended(desk, here["refresh_token"])
    (event,) = desk.events(target=f"session:{session}", tag="session:session:ended")
    assert event["after"] == {"reason": "by_administrator"}
    assert event["actor_id"] not in (None, str(ada.id))


def test_an_administrator_ends_all_sessions(desk: Desk) -> None:
    ada, grace = desk.hire(), desk.hire()
    hers = desk.tokens(grace.login)
    his = [desk.tokens(ada.login) for _ in range(3)]
    writer = somebody_with(desk, "iam.sessions.write")
    answer = desk.http.delete(f"/v1/users/{ada.id}/sessions", headers=writer)
    assert (answer.status_code, answer.content) == (204, b"")
    assert all(ended(desk, tokens["refresh_token"]) for tokens in his)
    assert not ended(desk, hers["refresh_token"])
    (event,) = desk.events(target=f"user:{ada.id}", tag="session:session:ended")
    assert event["after"] == {"reason": "by_administrator", "sessions": 3}
    desk.tokens(ada.login)  # he may log in again


def test_those_that_expired_long_ago_are_not_ended_again(desk: Desk) -> None:
    ada = desk.hire()
    for _ in range(2):
        desk.tokens(ada.login)
    desk.wait(desk.issuer.settings.refresh_idle_lifetime + timedelta(minutes=71))
    tokens = desk.tokens(ada.login)
    desk.as_root("DELETE", f"/v1/users/{ada.id}/sessions")
    assert ended(desk, tokens["refresh_token"])
    (event,) = desk.events(target=f"user:{ada.id}", tag="session:session:ended")
    assert event["after"]["sessions"] == 1


def test_nobody_logs_out_who_has_more_rights_over_the_issuer(desk: Desk) -> None:
    boss = desk.hire("admin")
    tokens = desk.tokens(boss.login)
    session = desk.claims(tokens).sid
    writer = somebody_with(desk, "iam.sessions.write")
    for path in (f"/v1/users/{boss.id}/sessions", f"/v1/users/{boss.id}/sessions/{session}"):
        answer = desk.http.delete(path, headers=writer)
        assert problem_of(answer, 403) == "grant_exceeds_own"
        assert answer.json()["missing"] == ["iam.*"]
    assert not ended(desk, tokens["refresh_token"])
    refused = desk.events(target=f"user:{boss.id}", outcome="refused")
    assert [event["tag"] for event in refused] == ["session:session:ended"] * 2
    assert refused[0]["after"] == {"code": "grant_exceeds_own", "missing": ["iam.*"]}


def test_the_session_must_be_that_users(desk: Desk) -> None:
    ada, grace = desk.hire(), desk.hire()
    hers = desk.tokens(grace.login)
    for session in (desk.claims(hers).sid, uuid.uuid4()):
        answer = desk.as_root("DELETE", f"/v1/users/{ada.id}/sessions/{session}")
        assert problem_of(answer, 404) == "not_found"
    assert not ended(desk, hers["refresh_token"])


@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("DELETE", ""), ("DELETE", f"/{uuid.UUID(int=7)}")]
)
def test_an_unknown_user_has_no_sessions(desk: Desk, method: str, rest: str) -> None:
    answer = desk.as_root(method, f"/v1/users/{uuid.uuid4()}/sessions{rest}")
    assert problem_of(answer, 404) == "not_found"


def test_a_cursor_that_is_not_ours_is_refused(desk: Desk) -> None:
    ada = desk.hire()
    answer = desk.as_root("GET", f"/v1/users/{ada.id}/sessions", params={"cursor": "x"})
    assert problem_of(answer, 422) == "validation_failed"
