"""Where one is logged in oneself, and logging out there."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from support.desk import Desk, Person, bearer, problem_of

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def login_with(desk: Desk, person: Person, user_agent: str | None) -> dict[str, Any]:
    body = {"login": person.login, "password": person.password}
    headers = {} if user_agent is None else {"user-agent": user_agent}
    answer = desk.http.post("/v1/auth/login", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


def session_of(desk: Desk, tokens: dict[str, Any]) -> str:
    sid = desk.claims(tokens).sid
    assert isinstance(sid, str)
    return sid


def sessions(desk: Desk, tokens: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    answer = desk.http.get("/v1/me/sessions", headers=bearer(tokens), params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def has_ended(desk: Desk, tokens: dict[str, Any]) -> bool:
    """Whether neither token is good any more."""
    refused = desk.refresh(tokens["refresh_token"])
    if refused.is_success:
        return False
    me = desk.http.get("/v1/me", headers=bearer(tokens))
    assert problem_of(me, 401) == "revoked_token"
    return problem_of(refused, 401) == "session_ended"


def test_every_session_is_listed_with_what_is_known_of_it(desk: Desk) -> None:
    ada = desk.hire()
    began = desk.clock.now()
    there = login_with(desk, ada, FIREFOX)
    desk.wait(timedelta(minutes=3))
    here = login_with(desk, ada, "curl/8.5.0")
    newest, oldest = sessions(desk, here)
    assert (newest["id"], newest["current"]) == (session_of(desk, here), True)
    assert newest["device"] == {"program": "curl", "system": None}
    assert (oldest["id"], oldest["current"]) == (session_of(desk, there), False)
    assert oldest["device"] == {"program": "Firefox", "system": "Linux"}
    assert oldest["user_agent"] == FIREFOX
    assert oldest["address"] == "127.0.0.1"
    assert oldest["client_id"] == "apostille"
    assert (
        oldest["created_at"] == oldest["last_used_at"] == began.isoformat().replace("+00:00", "Z")
    )


def test_a_refresh_is_the_last_use_and_puts_off_the_end(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    (before,) = sessions(desk, tokens)
    desk.wait(timedelta(minutes=5))
    (after,) = sessions(desk, desk.renewed(tokens["refresh_token"]))
    assert after["id"] == before["id"]
    assert after["created_at"] == before["created_at"]
    assert after["last_used_at"] > before["last_used_at"]
    assert after["expires_at"] > before["expires_at"]


def test_sessions_that_ended_or_expired_are_not_listed(desk: Desk) -> None:
    ada = desk.hire()
    desk.tokens(ada.login)
    desk.wait(timedelta(days=15))  # longer than a session may lie idle
    ended, here = desk.tokens(ada.login), desk.tokens(ada.login)
    desk.http.post("/v1/auth/logout", headers=bearer(ended))
    assert [item["id"] for item in sessions(desk, here)] == [session_of(desk, here)]


def test_nobody_sees_the_sessions_of_others(desk: Desk) -> None:
    desk.tokens(desk.hire().login)
    here = desk.tokens(desk.hire().login)
    assert [item["id"] for item in sessions(desk, here)] == [session_of(desk, here)]


def test_a_long_list_comes_in_pages(desk: Desk) -> None:
    ada = desk.hire()
    logins = [desk.tokens(ada.login) for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        query = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = desk.http.get("/v1/me/sessions", headers=bearer(logins[0]), params=query).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert seen == [session_of(desk, tokens) for tokens in reversed(logins)]
    answer = desk.http.get(
        "/v1/me/sessions", headers=bearer(logins[0]), params={"cursor": "not-ours"}
    )
    assert problem_of(answer, 422) == "validation_failed"


def test_one_session_is_ended_and_the_others_go_on(desk: Desk) -> None:
    ada = desk.hire()
    here, there, elsewhere = (desk.tokens(ada.login) for _ in range(3))
    session = session_of(desk, there)
    for _ in range(2):  # that it has ended already is no error
        answer = desk.http.delete(f"/v1/me/sessions/{session}", headers=bearer(here))
        assert (answer.status_code, answer.content) == (204, b"")
    assert has_ended(desk, there)
    assert not has_ended(desk, here)
    assert not has_ended(desk, elsewhere)
    (event,) = desk.events(target=f"session:{session}", tag="session:session:ended")
    assert event["actor_id"] == str(ada.id)
    assert event["after"] == {"reason": "by_user"}


def test_the_present_session_may_be_ended_too(desk: Desk) -> None:
    here = desk.tokens(desk.hire().login)
    path = f"/v1/me/sessions/{session_of(desk, here)}"
    assert desk.http.delete(path, headers=bearer(here)).status_code == 204
    assert has_ended(desk, here)


def test_the_session_of_somebody_else_is_not_there(desk: Desk) -> None:
    theirs, here = desk.tokens(desk.hire().login), desk.tokens(desk.hire().login)
    for session in (session_of(desk, theirs), str(uuid.uuid4())):
        answer = desk.http.delete(f"/v1/me/sessions/{session}", headers=bearer(here))
        assert problem_of(answer, 404) == "not_found"
    assert not has_ended(desk, theirs)


def test_all_other_sessions_are_ended_at_once(desk: Desk) -> None:
    ada, grace = desk.hire(), desk.hire()
    here, there, elsewhere = (desk.tokens(ada.login) for _ in range(3))
    hers = desk.tokens(grace.login)
    for _ in range(2):
        answer = desk.http.delete("/v1/me/sessions", headers=bearer(here))
        assert (answer.status_code, answer.content) == (204, b"")
    assert has_ended(desk, there)
    assert has_ended(desk, elsewhere)
    assert not has_ended(desk, here)
    assert not has_ended(desk, hers)
    (event,) = desk.events(target=f"user:{ada.id}", tag="session:session:ended")
    assert event["after"] == {"reason": "by_user", "sessions": 2}


def test_for_a_token_without_a_session_all_are_others(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    bare = msgspec.structs.replace(desk.claims(tokens), sid=msgspec.UNSET, status=msgspec.UNSET)
    token = desk.run(desk.issuer.keys.sign(msgspec.json.encode(bare)))
    (listed,) = sessions(desk, {"access_token": token})
    assert not listed["current"]
    answer = desk.http.delete("/v1/me/sessions", headers=bearer({"access_token": token}))
    assert answer.status_code == 204
    assert has_ended(desk, tokens)


def test_logging_out_everywhere_ends_this_session_too(desk: Desk) -> None:
    ada, grace = desk.hire(), desk.hire()
    here, there, hers = desk.tokens(ada.login), desk.tokens(ada.login), desk.tokens(grace.login)
    answer = desk.http.post("/v1/auth/logout-everywhere", headers=bearer(here))
    assert (answer.status_code, answer.content) == (204, b"")
    assert "set-cookie" not in answer.headers
    assert has_ended(desk, here)
    assert has_ended(desk, there)
    assert not has_ended(desk, hers)
    (event,) = desk.events(target=f"user:{ada.id}", tag="session:session:ended")
    assert event["after"] == {"reason": "logout", "sessions": 2}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/me/sessions"), ("POST", "/v1/auth/logout-everywhere")]
)
def test_an_ended_session_manages_no_others(desk: Desk, method: str, path: str) -> None:
    tokens = desk.tokens(desk.hire().login)
    desk.http.post("/v1/auth/logout", headers=bearer(tokens))
    answer = desk.http.request(method, path, headers=bearer(tokens))
    assert problem_of(answer, 401) == "revoked_token"


def test_logging_out_everywhere_while_all_sessions_are_refreshed(desk: Desk) -> None:
    """Each waits for the other where it must, and none is left alive or left waiting."""
    ada = desk.hire()
    for _ in range(5):
        everywhere = [desk.tokens(ada.login) for _ in range(8)]
        with ThreadPoolExecutor(9) as pool:
            refreshes = [
                pool.submit(desk.refresh, tokens["refresh_token"]) for tokens in everywhere
            ]
            logout = pool.submit(
                desk.http.post, "/v1/auth/logout-everywhere", headers=bearer(everywhere[0])
            )
        assert logout.result().status_code == 204
        for tokens, refresh in zip(everywhere, refreshes, strict=True):
            answer = refresh.result()
            if not answer.is_success:
                assert problem_of(answer, 401) == "session_ended"
                continue
            assert has_ended(desk, answer.json())
            assert has_ended(desk, tokens)
