"""User accounts as administrators see them."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import pytest

from support.desk import OTHER_PASSWORD, PASSWORD, ROOT, Desk, bearer, problem_of


def new(login: str, **fields: Any) -> dict[str, Any]:
    return {"login": login, "password": PASSWORD, **fields}


@pytest.fixture
def name() -> str:
    return f"u{uuid.uuid4().hex}@example.com"


def test_a_user_is_created_and_found_again(desk: Desk, name: str) -> None:
    created = desk.as_root("POST", "/v1/users", json=new(name))
    assert created.status_code == 201
    user = created.json()
    assert uuid.UUID(user["id"]).version == 7
    assert user["login"] == name
    assert user["state"] == "active"
    assert user["created_at"] == user["updated_at"] == user["password_changed_at"]
    assert user["created_at"].endswith("Z")
    assert "password" not in str(sorted(set(user) - {"password_changed_at"}))
    assert created.headers["location"] == f"/v1/users/{user['id']}"
    assert desk.as_root("GET", created.headers["location"]).json() == user


def test_a_new_user_may_do_nothing_yet(desk: Desk) -> None:
    claims = desk.claims(desk.tokens(desk.hire().login))
    assert claims.roles == claims.permissions == ()


def test_a_user_without_a_password_cannot_log_in(desk: Desk) -> None:
    ada = desk.hire(password=None)
    assert desk.as_root("GET", f"/v1/users/{ada.id}").json()["password_changed_at"] is None
    assert problem_of(desk.login(ada.login, ""), 401) == "invalid_credentials"


def test_a_user_may_be_created_disabled(desk: Desk, name: str) -> None:
    assert desk.as_root("POST", "/v1/users", json=new(name, state="disabled")).is_success
    assert problem_of(desk.login(name), 401) == "invalid_credentials"


@pytest.mark.parametrize(
    "change", [str.upper, str.title, lambda text: text.replace("u", "\uff55", 1)]
)
def test_a_login_name_is_taken_in_every_case_and_width(desk: Desk, name: str, change: Any) -> None:
    desk.hire(login=name)
    answer = desk.as_root("POST", "/v1/users", json=new(change(name)))
    assert problem_of(answer, 409) == "login_taken"
    assert answer.json()["errors"][0]["field"] == "login"


def test_of_many_who_want_a_name_at_once_one_gets_it(desk: Desk, name: str) -> None:
    headers = desk.root()

    def create(number: int) -> int:
        body = new(name.upper() if number % 2 else name)
        return desk.http.post("/v1/users", json=body, headers=headers).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(create, range(8))) == [201] + [409] * 7


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"login": ""}, ["login"]),
        ({"login": "ad a"}, ["login"]),
        ({"login": "a\x00da"}, ["login"]),
        ({"login": "p\u0430ypal"}, ["login"]),
        ({"login": "x" * 255}, ["login"]),
        ({"password": "short"}, ["password"]),
        ({"password": "x7" * 128 + "y"}, ["password"]),
        ({"password": "123456789012345"}, ["password"]),
        ({"login": "ad a", "password": "short"}, ["login", "password"]),
        ({"state": "deleted"}, ["state"]),
        ({"roles": ["superuser"]}, ["roles"]),
        ({"id": "x"}, ["id"]),
    ],
)
def test_what_is_wrong_with_a_new_user_is_named(
    desk: Desk, name: str, fields: dict[str, Any], named: list[str]
) -> None:
    answer = desk.as_root("POST", "/v1/users", json=new(name) | fields)
    assert problem_of(answer, 422) == "validation_failed"
    assert [error["field"] for error in answer.json()["errors"]] == named


def test_the_login_name_is_no_password(desk: Desk) -> None:
    body = {"login": "grace.hopper@navy.example", "password": "Grace.Hopper.Navy.1906"}
    answer = desk.as_root("POST", "/v1/users", json=body)
    assert [error["field"] for error in answer.json()["errors"]] == ["password"]


def test_a_name_may_be_changed_and_the_old_one_is_free(desk: Desk, name: str) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    path = f"/v1/users/{ada.id}"
    desk.clock.advance(desk.issuer.settings.refresh_replay_window)
    answer = desk.as_root("PATCH", path, json={"login": name})
    assert answer.status_code == 200
    assert answer.json()["login"] == name
    assert answer.json()["updated_at"] > answer.json()["created_at"]
    assert problem_of(desk.login(ada.login), 401) == "invalid_credentials"
    desk.tokens(name)
    desk.renewed(tokens["refresh_token"])
    desk.hire(login=ada.login)
    taken = desk.as_root("PATCH", path, json={"login": ada.login.upper()})
    assert problem_of(taken, 409) == "login_taken"
    assert desk.as_root("GET", path).json()["login"] == name


def test_the_case_of_ones_own_name_may_be_changed(desk: Desk) -> None:
    ada = desk.hire()
    answer = desk.as_root("PATCH", f"/v1/users/{ada.id}", json={"login": ada.login.title()})
    assert answer.json()["login"] == ada.login.title()


def test_a_change_that_changes_nothing_leaves_no_trace(desk: Desk) -> None:
    ada = desk.hire()
    for body in ({}, {"state": "active"}, {"login": ada.login}):
        answer = desk.as_root("PATCH", f"/v1/users/{ada.id}", json=body)
        assert answer.status_code == 200
        assert answer.json()["updated_at"] == answer.json()["created_at"]
    tags = [event["tag"] for event in desk.events(target=f"user:{ada.id}")]
    assert tags == ["account:user:created"]


@pytest.mark.parametrize(
    "body", [{"login": "ad a"}, {"state": "gone"}, {"password": PASSWORD}, {"login": None}]
)
def test_what_cannot_be_changed_is_refused(desk: Desk, body: dict[str, Any]) -> None:
    answer = desk.as_root("PATCH", f"/v1/users/{desk.hire().id}", json=body)
    assert problem_of(answer, 422) == "validation_failed"
    assert [error["field"] for error in answer.json()["errors"]] == list(body)


def test_disabling_ends_all_sessions_and_is_recorded(desk: Desk) -> None:
    ada = desk.hire()
    held = [desk.tokens(ada.login)["refresh_token"] for _ in range(2)]
    answer = desk.as_root("PATCH", f"/v1/users/{ada.id}", json={"state": "disabled"})
    assert answer.json()["state"] == "disabled"
    assert {problem_of(desk.refresh(token), 401) for token in held} == {"session_ended"}
    updated, ended = desk.events(target=f"user:{ada.id}")[:2]
    assert updated["tag"] == "account:user:updated"
    assert updated["before"]["state"] == "active"
    assert updated["after"] == {"login": ada.login, "state": "disabled"}
    assert ended["after"] == {"reason": "user_disabled", "sessions": 2}


def test_a_deleted_user_is_gone(desk: Desk) -> None:
    ada = desk.hire("staff")
    tokens = desk.tokens(ada.login)
    path = f"/v1/users/{ada.id}"
    assert desk.as_root("DELETE", path).status_code == 204
    assert problem_of(desk.as_root("GET", path), 404) == "not_found"
    assert problem_of(desk.as_root("DELETE", path), 404) == "not_found"
    assert problem_of(desk.as_root("PATCH", path, json={}), 404) == "not_found"
    assert problem_of(desk.login(ada.login), 401) == "invalid_credentials"
    me = desk.http.get("/v1/me", headers=bearer(tokens))
    assert problem_of(me, 401) == "revoked_token"
    assert desk.events(target=f"user:{ada.id}")[0]["tag"] == "account:user:deleted"


def test_what_is_no_identifier_is_not_found(desk: Desk) -> None:
    assert problem_of(desk.as_root("GET", "/v1/users/1"), 404) == "not_found"


# Lists.


@pytest.fixture
def crowd(desk: Desk) -> tuple[str, list[str]]:
    """A prefix nobody else has, and the seven users whose names begin with it."""
    prefix = f"crowd{uuid.uuid4().hex[:8]}"
    names = [f"{prefix}-{letter}" for letter in "gfedcba"]
    for number, login in enumerate(names):
        state = "disabled" if number % 2 else "active"
        assert desk.as_root("POST", "/v1/users", json=new(login, state=state)).is_success
    return prefix, names


def pages(desk: Desk, **params: Any) -> list[list[str]]:
    found: list[list[str]] = []
    while True:
        answer = desk.as_root("GET", "/v1/users", params=params)
        assert answer.status_code == 200, answer.text
        found.append([user["login"] for user in answer.json()["items"]])
        if answer.json()["next_cursor"] is None:
            return found
        params["cursor"] = answer.json()["next_cursor"]


def test_users_come_in_pages_in_the_order_they_were_created_in(
    desk: Desk, crowd: tuple[str, list[str]]
) -> None:
    prefix, names = crowd
    found = pages(desk, login=prefix, limit=3)
    assert [len(page) for page in found] == [3, 3, 1]
    assert list(chain.from_iterable(found)) == names


def test_a_prefix_is_compared_in_any_case_and_takes_no_wildcards(
    desk: Desk, crowd: tuple[str, list[str]]
) -> None:
    prefix, names = crowd
    assert pages(desk, login=prefix.upper()) == [names]
    assert pages(desk, login=f"{prefix}-a") == [[f"{prefix}-a"]]
    for pattern in ("%", "_", f"{prefix}_", f"{prefix}%", f"{prefix}-z", f"{prefix}-a\U0010ffff"):
        assert pages(desk, login=pattern) == [[]]


def test_users_are_filtered_by_state(desk: Desk, crowd: tuple[str, list[str]]) -> None:
    prefix, names = crowd
    assert pages(desk, login=prefix, state="disabled") == [names[1::2]]
    assert pages(desk, login=prefix, state="active", limit=4) == [names[::2]]


def test_without_a_filter_everybody_is_listed(desk: Desk) -> None:
    assert ROOT in chain.from_iterable(pages(desk, limit=200))


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"cursor": "nonsense!"}, "cursor"),
        ({"cursor": "YWJj"}, "cursor"),
        ({"state": "deleted"}, "state"),
        ({"login": "x" * 255}, "login"),
        ({"login": "\x00"}, "login"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(
    desk: Desk, params: dict[str, Any], field: str
) -> None:
    answer = desk.as_root("GET", "/v1/users", params=params)
    assert problem_of(answer, 422) == "validation_failed"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


# Who may.


ROUTES = [
    ("GET", "/v1/users", "iam.users.read"),
    ("GET", "/v1/users/{id}", "iam.users.read"),
    ("POST", "/v1/users", "iam.users.write"),
    ("PATCH", "/v1/users/{id}", "iam.users.write"),
    ("DELETE", "/v1/users/{id}", "iam.users.write"),
]


@pytest.mark.parametrize(("method", "path", "permission"), ROUTES)
def test_each_route_wants_its_permission(
    desk: Desk, method: str, path: str, permission: str
) -> None:
    path = path.format(id=uuid.uuid4())
    assert problem_of(desk.http.request(method, path), 401) == "missing_token"
    nobody = bearer(desk.tokens(desk.hire("member").login))
    refused = desk.http.request(method, path, headers=nobody)
    assert problem_of(refused, 403) == "permission_denied"
    assert refused.json()["missing"] == [permission]
    reader = bearer(desk.tokens(desk.hire("staff").login))
    allowed = desk.http.request(method, path, headers=reader).status_code
    assert (allowed == 403) is permission.endswith("write")


def test_the_last_superuser_can_neither_be_disabled_nor_deleted(desk: Desk) -> None:
    desk.leave_one_superuser()
    (root,) = desk.as_root("GET", "/v1/users", params={"login": ROOT}).json()["items"]
    path = f"/v1/users/{root['id']}"
    disabled = desk.as_root("PATCH", path, json={"state": "disabled"})
    assert problem_of(disabled, 409) == "last_superuser"
    assert problem_of(desk.as_root("DELETE", path), 409) == "last_superuser"
    events = desk.events(target=f"user:{root['id']}", outcome="refused")[:2]
    assert [event["tag"] for event in events] == ["account:user:deleted", "account:user:updated"]
    assert events[0]["after"] == {"code": "last_superuser", "missing": []}


def test_who_may_not_manage_a_superuser_does_not_learn_that_he_is_the_last(desk: Desk) -> None:
    (root,) = desk.as_root("GET", "/v1/users", params={"login": ROOT}).json()["items"]
    headers = bearer(desk.tokens(desk.hire("admin").login))
    path = f"/v1/users/{root['id']}"
    for method, body in (("PATCH", {"state": "disabled"}), ("DELETE", None)):
        refused = desk.http.request(method, path, json=body, headers=headers)
        assert problem_of(refused, 403) == "grant_exceeds_own"


def test_nobody_touches_an_account_with_more_rights_than_his(desk: Desk) -> None:
    admin, superuser = desk.hire("admin"), desk.hire("superuser")
    headers = bearer(desk.tokens(admin.login))
    path = f"/v1/users/{superuser.id}"
    for method, body in (("PATCH", {"login": f"{uuid.uuid4()}"}), ("DELETE", None)):
        answer = desk.http.request(method, path, json=body, headers=headers)
        assert problem_of(answer, 403) == "grant_exceeds_own"
        assert answer.json()["missing"] == ["*"]
    (event, _) = desk.events(target=f"user:{superuser.id}", outcome="refused")
    assert event["actor_id"] == str(admin.id)
    assert desk.as_root("DELETE", path).status_code == 204


def test_an_administrator_runs_ordinary_accounts(desk: Desk, name: str) -> None:
    headers = bearer(desk.tokens(desk.hire("admin").login))
    created = desk.http.post("/v1/users", json=new(name), headers=headers)
    assert created.status_code == 201
    path = created.headers["location"]
    assert desk.http.patch(path, json={"state": "disabled"}, headers=headers).is_success
    assert desk.http.delete(path, headers=headers).is_success


def test_no_password_is_anywhere_in_the_audit_trail(desk: Desk, name: str) -> None:
    desk.as_root("POST", "/v1/users", json=new(name, password=OTHER_PASSWORD))
    text = str(desk.events())
    assert OTHER_PASSWORD not in text
    assert "argon2" not in text
