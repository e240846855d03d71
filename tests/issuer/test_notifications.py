"""What users are told about their accounts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from apostille_contracts.problems import ProblemCode
from apostille_issuer.problems import IssuerProblem
from support.desk import OTHER_PASSWORD, PASSWORD, Desk, bearer, problem_of


def told(desk: Desk, tokens: dict[str, Any]) -> list[dict[str, Any]]:
    answer = desk.http.get("/v1/me/notifications", headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def steal(desk: Desk, login: str) -> str:
    """Use a refresh token twice, the second time too late, and return its session."""
    tokens = desk.tokens(login)
    session = desk.claims(tokens).sid
    desk.renewed(tokens["refresh_token"])
    desk.wait(timedelta(seconds=11))
    body = {"refresh_token": tokens["refresh_token"]}
    answer = desk.http.post("/v1/auth/refresh", json=body, headers={"user-agent": "thief/1.0"})
    assert problem_of(answer, 401) == "refresh_token_reused"
    return str(session)


def change_password(desk: Desk, tokens: dict[str, Any], current: str, new: str) -> int:
    body = {"current_password": current, "new_password": new}
    return desk.http.post("/v1/me/password", json=body, headers=bearer(tokens)).status_code


def test_at_first_there_is_nothing_to_tell(desk: Desk) -> None:
    assert told(desk, desk.tokens(desk.hire().login)) == []


def test_a_stolen_refresh_token_is_told_once_with_whence_it_was_used(desk: Desk) -> None:
    ada, grace = desk.hire(), desk.hire()
    session = steal(desk, ada.login)
    moment = desk.clock.now().isoformat().replace("+00:00", "Z")
    (notification,) = told(desk, desk.tokens(ada.login))
    assert notification.pop("id")
    assert notification == {
        "at": moment,
        "kind": "refresh_token_reused",
        "session_id": session,
        "device": {"program": "thief", "system": None},
        "user_agent": "thief/1.0",
        "address": "127.0.0.1",
    }
    assert told(desk, desk.tokens(grace.login)) == []


def test_of_a_session_that_has_ended_nothing_more_is_told(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    desk.renewed(tokens["refresh_token"])
    desk.wait(timedelta(seconds=11))
    for code in ("refresh_token_reused", "session_ended", "session_ended"):
        assert problem_of(desk.refresh(tokens["refresh_token"]), 401) == code
    assert len(told(desk, desk.tokens(ada.login))) == 1


def test_of_many_who_use_it_at_once_one_is_told_of(desk: Desk) -> None:
    ada = desk.hire()
    old = desk.tokens(ada.login)
    desk.renewed(old["refresh_token"])
    desk.wait(timedelta(seconds=11))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(desk.refresh, [old["refresh_token"]] * 16))
    codes = {problem_of(answer, 401) for answer in answers}
    assert codes <= {"refresh_token_reused", "session_ended"}
    assert len(told(desk, desk.tokens(ada.login))) == 1


def test_nothing_is_told_of_an_end_that_failed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notification is part of the transaction that ends the session."""
    ada = desk.hire()
    old = desk.tokens(ada.login)
    new = desk.renewed(old["refresh_token"])
    desk.wait(timedelta(seconds=11))

    def fail(*_: object, **__: object) -> None:
        raise IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE, retry_after=1)

    with monkeypatch.context() as patch:
        patch.setattr(desk.issuer.audit, "record", fail)
        answer = desk.refresh(old["refresh_token"])
        assert problem_of(answer, 503) == "database_unavailable"
    assert told(desk, desk.renewed(new["refresh_token"])) == []


def test_the_loser_of_a_race_is_no_thief(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    for _ in range(3):
        desk.renewed(tokens["refresh_token"])
    assert told(desk, tokens) == []


def test_a_new_password_is_told(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    assert change_password(desk, tokens, PASSWORD, OTHER_PASSWORD) == 204
    (notification,) = told(desk, tokens)
    assert notification["kind"] == "password_changed"
    assert notification["session_id"] == desk.claims(tokens).sid
    assert notification["device"]["program"] == "python-httpx"


def test_a_password_that_was_not_changed_is_not_told(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    assert change_password(desk, tokens, OTHER_PASSWORD, PASSWORD) == 401
    assert change_password(desk, tokens, PASSWORD, "short") == 422
    assert told(desk, tokens) == []


def test_the_newest_comes_first_in_pages(desk: Desk) -> None:
    ada = desk.hire()
    stolen = [steal(desk, ada.login) for _ in range(3)]
    headers = bearer(desk.tokens(ada.login))
    first = desk.http.get("/v1/me/notifications", headers=headers, params={"limit": 2}).json()
    rest = {"limit": 2, "cursor": first["next_cursor"]}
    second = desk.http.get("/v1/me/notifications", headers=headers, params=rest).json()
    assert second["next_cursor"] is None
    seen = [item["session_id"] for item in first["items"] + second["items"]]
    assert seen == stolen[::-1]


@pytest.mark.parametrize("query", [{"cursor": "x"}, {"limit": 0}, {"limit": 1000}])
def test_a_page_that_cannot_be_is_refused(desk: Desk, query: dict[str, Any]) -> None:
    headers = bearer(desk.tokens(desk.hire().login))
    answer = desk.http.get("/v1/me/notifications", headers=headers, params=query)
    assert problem_of(answer, 422) == "validation_failed"


def test_they_go_with_their_user(desk: Desk) -> None:
    ada = desk.hire()
    steal(desk, ada.login)
    assert desk.as_root("DELETE", f"/v1/users/{ada.id}").status_code == 204
    page = desk.run(desk.issuer.notifications.page(ada.id, cursor=None, limit=10))
    assert page.items == ()
