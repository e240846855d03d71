"""Logout: by bearer token, or by refresh token."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from support.desk import Desk, bearer, problem_of


def logout(desk: Desk, **options: Any) -> int:
    answer = desk.http.post("/v1/auth/logout", **options)
    assert answer.content == b"" or answer.status_code != 204
    return answer.status_code


def has_ended(desk: Desk, tokens: dict[str, Any]) -> bool:
    answer = desk.refresh(tokens["refresh_token"])
    return not answer.is_success and problem_of(answer, 401) == "session_ended"


def test_the_bearer_of_an_access_token_ends_his_session(desk: Desk) -> None:
    ada = desk.hire()
    here, there = desk.tokens(ada.login), desk.tokens(ada.login)
    assert logout(desk, headers=bearer(here)) == 204
    assert has_ended(desk, here)
    assert not has_ended(desk, there)


def test_the_refresh_token_will_do(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    assert logout(desk, json={"refresh_token": tokens["refresh_token"]}) == 204
    assert has_ended(desk, tokens)


def test_a_used_refresh_token_still_ends_its_session(desk: Desk) -> None:
    old = desk.tokens(desk.hire().login)
    new = desk.renewed(old["refresh_token"])
    assert logout(desk, json={"refresh_token": old["refresh_token"]}) == 204
    assert has_ended(desk, new)


def test_a_refresh_token_counts_whatever_access_token_comes_along(desk: Desk) -> None:
    ada = desk.hire()
    old, other = desk.tokens(ada.login), desk.tokens(ada.login)
    desk.wait(timedelta(minutes=11))
    assert logout(desk, headers=bearer(old), json={"refresh_token": old["refresh_token"]}) == 204
    assert has_ended(desk, old)
    assert not has_ended(desk, other)


def test_logging_out_twice_is_no_error(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    for _ in range(2):
        assert logout(desk, headers=bearer(tokens)) == 204
        assert logout(desk, json={"refresh_token": tokens["refresh_token"]}) == 204


@pytest.mark.parametrize("token", ["", "garbage", "apo_rt_" + "0" * 32 + "_0_" + "A" * 43])
def test_a_token_that_is_not_ours_ends_nothing_and_is_no_error(desk: Desk, token: str) -> None:
    assert logout(desk, json={"refresh_token": token}) == 204


def test_the_token_of_a_session_that_never_was_is_no_error(desk: Desk) -> None:
    token = desk.issuer.sessions._tokens.make(uuid.uuid4(), 0)
    assert logout(desk, json={"refresh_token": token}) == 204


def test_a_token_without_a_session_ends_nothing(desk: Desk) -> None:
    """Such as one that a client gets for itself, without a person."""
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    bare = msgspec.structs.replace(desk.claims(tokens), sid=msgspec.UNSET)
    token = desk.run(desk.issuer.keys.sign(msgspec.json.encode(bare)))
    assert logout(desk, headers={"authorization": f"Bearer {token}"}) == 204
    assert not has_ended(desk, tokens)


def test_without_any_token_there_is_nobody_to_log_out(desk: Desk) -> None:
    assert problem_of(desk.http.post("/v1/auth/logout"), 401) == "missing_token"


def test_an_expired_access_token_alone_is_refused(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    desk.wait(timedelta(minutes=11))
    answer = desk.http.post("/v1/auth/logout", headers=bearer(tokens))
    assert problem_of(answer, 401) == "expired_token"
    assert not has_ended(desk, tokens)


@pytest.mark.parametrize("body", [{}, {"refresh_token": None}, {"session": "x"}])
def test_a_body_without_a_token_is_refused(desk: Desk, body: dict[str, Any]) -> None:
    tokens = desk.tokens(desk.hire().login)
    answer = desk.http.post("/v1/auth/logout", headers=bearer(tokens), json=body)
    assert problem_of(answer, 422) == "validation_failed"


def test_a_logout_is_recorded_with_who_it_was(desk: Desk) -> None:
    ada = desk.hire()
    for way in ("bearer", "refresh token"):
        tokens = desk.tokens(ada.login)
        session = desk.claims(tokens).sid
        if way == "bearer":
            logout(desk, headers=bearer(tokens))
        else:
            logout(desk, json={"refresh_token": tokens["refresh_token"]})
        (event,) = desk.events(target=f"session:{session}", tag="session:session:ended")
        assert event["actor_id"] == str(ada.id)
        assert event["after"] == {"reason": "logout"}
