"""One's own account."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import pytest

from support.desk import OTHER_PASSWORD, PASSWORD, Desk, bearer, problem_of


def change(
    desk: Desk, tokens: dict[str, Any], current: str = PASSWORD, new: str = OTHER_PASSWORD
) -> Any:
    body = {"current_password": current, "new_password": new}
    return desk.http.post("/v1/me/password", json=body, headers=bearer(tokens))


def test_the_profile_says_who_one_is_and_what_one_may_do(desk: Desk) -> None:
    ada = desk.hire("member", "staff")
    tokens = desk.tokens(ada.login)
    answer = desk.http.get("/v1/me", headers=bearer(tokens))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    me = answer.json()
    assert (me["id"], me["login"], me["state"]) == (str(ada.id), ada.login, "active")
    assert me["session_id"] == desk.claims(tokens).sid
    assert me["roles"] == ["member", "staff"]
    assert "iam.users.read" in me["permissions"]


def test_a_token_of_before_a_change_of_rights_has_no_profile_and_the_next_one_has(
    desk: Desk,
) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    desk.as_root("PUT", f"/v1/users/{ada.id}/roles/staff")
    refused = desk.http.get("/v1/me", headers=bearer(tokens))
    assert problem_of(refused, 401) == "revoked_token"
    renewed = desk.renewed(tokens["refresh_token"])
    assert desk.http.get("/v1/me", headers=bearer(renewed)).json()["roles"] == ["staff"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/me"), ("POST", "/v1/me/password")])
def test_a_token_is_required(desk: Desk, method: str, path: str) -> None:
    assert problem_of(desk.http.request(method, path), 401) == "missing_token"
    query = {"access_token": desk.tokens(desk.hire().login)["access_token"]}
    assert problem_of(desk.http.request(method, path, params=query), 401) == "missing_token"


def test_a_new_password_takes_the_place_of_the_old_one(desk: Desk) -> None:
    ada = desk.hire()
    answer = change(desk, desk.tokens(ada.login))
    assert answer.status_code == 204
    assert problem_of(desk.login(ada.login), 401) == "invalid_credentials"
    desk.tokens(ada.login, OTHER_PASSWORD)


def test_a_new_password_ends_all_other_sessions(desk: Desk) -> None:
    ada = desk.hire()
    here, there = desk.tokens(ada.login), desk.tokens(ada.login)
    assert change(desk, here).status_code == 204
    desk.renewed(here["refresh_token"])
    assert problem_of(desk.refresh(there["refresh_token"]), 401) == "session_ended"
    changed, ended = desk.events(target=f"user:{ada.id}")[:2]
    assert changed["tag"] == "account:password:changed"
    assert changed["actor_id"] == str(ada.id)
    assert ended["after"] == {"reason": "password_changed", "sessions": 1}


def test_who_does_not_know_the_present_password_cannot_change_it(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    for wrong in (OTHER_PASSWORD, "", "x" * 10_000):
        assert problem_of(change(desk, tokens, current=wrong), 401) == "invalid_credentials"
    desk.tokens(ada.login)


@pytest.mark.parametrize("new", ["short", "x7" * 128 + "y", "123456789012345", "\u00e4" * 15])
def test_a_new_password_must_meet_the_policy(desk: Desk, new: str) -> None:
    ada = desk.hire()
    before = desk.issuer.hashing.computed
    answer = change(desk, desk.tokens(ada.login), new=new)
    assert problem_of(answer, 422) == "validation_failed"
    assert [error["field"] for error in answer.json()["errors"]] == ["new_password"]
    assert desk.issuer.hashing.computed == before + 1  # that of the login


@pytest.mark.parametrize("missing", ["current_password", "new_password"])
def test_both_passwords_are_required(desk: Desk, missing: str) -> None:
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    del body[missing]
    headers = bearer(desk.tokens(desk.hire().login))
    answer = desk.http.post("/v1/me/password", json=body, headers=headers)
    assert problem_of(answer, 422) == "validation_failed"
    assert [error["field"] for error in answer.json()["errors"]] == [missing]


def test_a_user_deleted_meanwhile_has_no_account_to_change(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    desk.as_root("DELETE", f"/v1/users/{ada.id}")
    assert problem_of(change(desk, tokens), 401) == "revoked_token"


def test_a_token_without_a_session_has_a_profile(desk: Desk) -> None:
    ada = desk.hire()
    claims = desk.claims(desk.tokens(ada.login))
    bare = msgspec.structs.replace(claims, sid=msgspec.UNSET)
    token = desk.run(desk.issuer.keys.sign(msgspec.json.encode(bare)))
    me = desk.http.get("/v1/me", headers={"authorization": f"Bearer {token}"}).json()
    assert me["session_id"] is None
    assert uuid.UUID(me["id"]) == ada.id
