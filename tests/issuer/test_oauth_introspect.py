"""Introspection of tokens as OAuth has it (RFC 7662)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from support.desk import Desk, bearer, problem_of

FORM = {"content-type": "application/x-www-form-urlencoded"}


def ask(desk: Desk, token: str, **form: str) -> httpx.Response:
    return desk.as_root("POST", "/oauth/introspect", data={"token": token, **form})


def said_of(desk: Desk, token: str) -> dict[str, Any]:
    answer = ask(desk, token)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    return body


def is_inactive(desk: Desk, token: str) -> bool:
    """Whether a token is no good, and nothing else is said of it."""
    said = said_of(desk, token)
    assert said["active"] or said == {"active": False}
    return not said["active"]


def test_of_a_good_access_token_all_is_said_that_it_says(desk: Desk) -> None:
    ada = desk.hire("staff")
    tokens = desk.tokens(ada.login)
    claims = msgspec.json.decode(msgspec.json.encode(desk.claims(tokens)))
    said = said_of(desk, tokens["access_token"])
    assert said == {"active": True, "token_type": "Bearer"} | claims
    assert (said["sub"], said["client_id"]) == (str(ada.id), "apostille")
    assert said["exp"] == said["iat"] + 600


def test_a_token_for_another_service_is_as_good(desk: Desk) -> None:
    manifest = {"service": "introspected", "version": "1", "permissions": {}}
    desk.as_root("PUT", "/v1/services/introspected", json=manifest)
    tokens = desk.tokens(desk.hire().login, audience="introspected")
    assert said_of(desk, tokens["access_token"])["aud"] == "introspected"


def test_of_a_good_refresh_token_whose_and_until_when(desk: Desk) -> None:
    ada = desk.hire()
    began = int(desk.clock.now().timestamp())
    tokens = desk.tokens(ada.login)
    assert said_of(desk, tokens["refresh_token"]) == {
        "active": True,
        "iss": desk.issuer.settings.issuer_url,
        "sub": str(ada.id),
        "client_id": "apostille",
        "sid": desk.claims(tokens).sid,
        "iat": began,
        "exp": began + 14 * 86_400,
        "auth_time": began,
    }


def test_asking_uses_nothing_up(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    for _ in range(2):
        assert not is_inactive(desk, tokens["refresh_token"])
    desk.renewed(tokens["refresh_token"])


def test_a_used_refresh_token_is_inactive_at_once_and_asking_ends_nothing(desk: Desk) -> None:
    old = desk.tokens(desk.hire().login)
    new = desk.renewed(old["refresh_token"])
    assert is_inactive(desk, old["refresh_token"])
    desk.wait(timedelta(minutes=1))
    assert is_inactive(desk, old["refresh_token"])
    assert not is_inactive(desk, new["refresh_token"])


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_after_the_session_both_are_inactive(desk: Desk, kind: str) -> None:
    tokens = desk.tokens(desk.hire().login)
    desk.http.post("/v1/auth/logout", headers=bearer(tokens))
    assert is_inactive(desk, tokens[kind])


def test_a_change_of_rights_voids_the_access_token_alone(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    desk.as_root("PUT", f"/v1/users/{ada.id}/roles/staff")
    assert is_inactive(desk, tokens["access_token"])
    assert not is_inactive(desk, tokens["refresh_token"])


def test_time_makes_them_inactive(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    desk.wait(timedelta(minutes=11))
    assert is_inactive(desk, tokens["access_token"])
    assert not is_inactive(desk, tokens["refresh_token"])
    desk.wait(timedelta(days=14))
    assert is_inactive(desk, tokens["refresh_token"])


def test_the_tokens_of_a_deleted_user_are_inactive(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    desk.as_root("DELETE", f"/v1/users/{ada.id}")
    assert is_inactive(desk, tokens["access_token"])
    assert is_inactive(desk, tokens["refresh_token"])


@pytest.mark.parametrize("token", ["x", "a.b.c", "apo_rt_" + "0" * 32 + "_0_" + "A" * 43])
def test_what_is_not_ours_is_inactive(desk: Desk, token: str) -> None:
    assert is_inactive(desk, token)


def test_a_forged_token_is_inactive(desk: Desk) -> None:
    head, body, _ = desk.tokens(desk.hire().login)["access_token"].split(".")
    assert is_inactive(desk, f"{head}.{body}.{'A' * 86}")


def test_only_the_authorised_may_ask(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire("member").login)
    form = {"token": tokens["access_token"]}
    anonymous = desk.http.post("/oauth/introspect", data=form)
    assert problem_of(anonymous, 401) == "missing_token"
    assert anonymous.headers["www-authenticate"].startswith("Bearer ")
    lacking = desk.http.post("/oauth/introspect", data=form, headers=bearer(tokens))
    assert problem_of(lacking, 403) == "permission_denied"
    assert lacking.json()["missing"] == ["iam.sessions.read"]


@pytest.mark.parametrize("body", ["", "token=", "token=x&token=y"])
def test_a_form_that_is_not_clear_is_refused(desk: Desk, body: str) -> None:
    answer = desk.http.post("/oauth/introspect", content=body, headers=desk.root() | FORM)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
