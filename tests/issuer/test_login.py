"""Login over HTTP: who gets tokens, what stands in them, who does not."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest

from apostille_issuer.accounts.passwords import MAX_PASSWORD_LENGTH
from support.desk import OTHER_PASSWORD, PASSWORD, Desk, problem_of


def test_a_login_answers_with_tokens_that_nobody_may_keep(desk: Desk) -> None:
    ada = desk.hire()
    answer = desk.login(ada.login)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {
        *("access_token", "token_type", "expires_in"),
        *("refresh_token", "refresh_expires_in"),
    }
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 600
    assert body["refresh_expires_in"] == 14 * 24 * 3600
    assert re.fullmatch(r"apo_rt_[0-9a-f]{32}_0_[A-Za-z0-9_-]{43}", body["refresh_token"])


def test_the_access_token_says_who_how_and_for_whom(desk: Desk) -> None:
    ada = desk.hire("staff")
    now = desk.clock.now().timestamp()
    claims = desk.claims(desk.tokens(ada.login))
    assert claims.iss == desk.issuer.settings.issuer_url
    assert claims.sub == str(ada.id)
    assert uuid.UUID(claims.sub).version == 7
    assert claims.client_id == "apostille"
    assert (claims.iat, claims.exp) == (int(now), int(now) + 600)
    assert claims.auth_time == int(now)
    assert claims.amr == ("pwd",)
    assert uuid.UUID(str(claims.sid)).version == 7
    assert claims.roles == ("staff",)
    assert "iam.users.read" in claims.permissions
    assert claims.jti != desk.claims(desk.tokens(ada.login)).jti


@pytest.mark.parametrize("spelling", [str.upper, str.title, lambda name: name.replace("p", "ｐ")])  # noqa: RUF001
def test_the_login_name_is_known_in_any_case_and_width(desk: Desk, spelling: Any) -> None:
    ada = desk.hire()
    assert desk.login(spelling(ada.login)).status_code == 200


# Audiences.


@pytest.fixture
def services(desk: Desk) -> tuple[str, str]:
    """Two registered services; a role that may read in both."""
    for name in ("inventory", "billing"):
        manifest = {
            "service": name,
            "version": "1.0.0",
            "permissions": {f"{name}.read": "", f"{name}.write": ""},
        }
        assert desk.as_root("PUT", f"/v1/services/{name}", json=manifest).status_code in (200, 201)
    role = {"name": "reader", "allow": ["inventory.read", "billing.*"]}
    assert desk.as_root("POST", "/v1/roles", json=role).status_code in (201, 409)
    return ("inventory", "billing")


def test_with_no_audience_named_a_token_is_for_everybody(
    desk: Desk, services: tuple[str, str]
) -> None:
    claims = desk.claims(desk.tokens(desk.hire("reader").login))
    assert set(claims.aud) >= {"apostille", *services}
    assert claims.permissions == ("billing.*", "inventory.read")


def test_a_login_narrowed_to_one_service_carries_its_permissions_alone(
    desk: Desk, services: tuple[str, str]
) -> None:
    tokens = desk.tokens(desk.hire("reader").login, audience=services[0])
    claims = desk.claims(tokens, services[0])
    assert claims.aud == "inventory"
    assert claims.permissions == ("inventory.read",)
    refused = desk.http.get("/v1/me", headers={"authorization": f"Bearer {tokens['access_token']}"})
    assert problem_of(refused, 401) == "wrong_audience"


@pytest.mark.usefixtures("services")
def test_several_audiences_may_be_named_each_counts_once(desk: Desk) -> None:
    named = ["billing", "inventory", "billing"]
    claims = desk.claims(desk.tokens(desk.hire("reader").login, audience=named), "billing")
    assert claims.aud == ("billing", "inventory")


def test_an_unknown_audience_is_refused_by_name(desk: Desk) -> None:
    answer = desk.login(desk.hire().login, audience=["apostille", "nowhere"])
    assert problem_of(answer, 422) == "unknown_audience"
    assert answer.json()["errors"][0]["field"] == "audience"


def test_who_has_the_wrong_password_learns_nothing_of_audiences(desk: Desk) -> None:
    answer = desk.login(desk.hire().login, OTHER_PASSWORD, audience="nowhere")
    assert problem_of(answer, 401) == "invalid_credentials"


# Refusals.


def _comparable(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    varying = ("date", "x-request-id")
    headers = [(name, value) for name, value in answer.headers.items() if name not in varying]
    return answer.status_code, answer.content, headers


def test_every_failed_login_gets_the_same_answer_at_the_same_cost(desk: Desk) -> None:
    wrong, disabled, without = desk.hire(), desk.hire(), desk.hire(password=None)
    assert desk.as_root("PATCH", f"/v1/users/{disabled.id}", json={"state": "disabled"}).is_success
    hashing = desk.issuer.hashing
    answers, costs = [], []
    for login, password in (
        (wrong.login, OTHER_PASSWORD),
        (disabled.login, PASSWORD),
        (disabled.login, OTHER_PASSWORD),
        (without.login, PASSWORD),
        ("nobody@example.com", PASSWORD),
    ):
        before = hashing.computed
        answers.append(_comparable(desk.login(login, password)))
        costs.append(hashing.computed - before)
    assert len(set(map(repr, answers))) == 1
    assert answers[0][0] == 401
    assert costs == [1] * len(costs)


def test_a_challenge_comes_with_the_refusal(desk: Desk) -> None:
    answer = desk.login("nobody@example.com")
    assert problem_of(answer, 401) == "invalid_credentials"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("length", [MAX_PASSWORD_LENGTH + 1, 10_000])
def test_a_password_that_nobody_can_have_costs_no_hash(desk: Desk, length: int) -> None:
    ada = desk.hire()
    before = desk.issuer.hashing.computed
    for login in (ada.login, "nobody@example.com"):
        assert problem_of(desk.login(login, "x" * length), 401) == "invalid_credentials"
    assert desk.issuer.hashing.computed == before


@pytest.mark.parametrize("login", ["", "a\x00da", "ad a", "p\u0430ypal", "x" * 300, "\u202e"])
def test_what_cannot_be_a_login_name_gets_the_same_answer(desk: Desk, login: str) -> None:
    assert problem_of(desk.login(login), 401) == "invalid_credentials"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"login": "ada"}, "password"),
        ({"password": PASSWORD}, "login"),
        ({"login": 7, "password": PASSWORD}, "login"),
        ({"login": "ada", "password": None}, "password"),
        ({"login": "ada", "password": PASSWORD, "audience": []}, "audience"),
        ({"login": "ada", "password": PASSWORD, "audience": ""}, "audience"),
        ({"login": "ada", "password": PASSWORD, "audience": [""]}, "audience[0]"),
        ({"login": "ada", "password": PASSWORD, "audience": {"a": 1}}, "audience"),
        ({"login": "ada", "password": PASSWORD, "audience": ["x"] * 101}, "audience"),
        ({"login": "ada", "password": PASSWORD, "organization": "acme"}, "organization"),
        ({"login": "ada", "password": PASSWORD, "organization": ""}, "organization"),
        ({"login": "ada", "password": PASSWORD, "otp": "123456"}, "otp"),
    ],
)
def test_a_field_that_is_wrong_is_named(desk: Desk, body: dict[str, Any], field: str) -> None:
    answer = desk.http.post("/v1/auth/login", json=body)
    assert problem_of(answer, 422) == "validation_failed"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "validation_failed"),
        (b"login=ada", 400, "malformed_body"),
        (b"[]", 400, "malformed_body"),
        (b'{"login": "ada\\ud800"}', 400, "malformed_body"),
        (b'{"login": "\xff"}', 400, "malformed_body"),
        (b"{" + b" " * 1_000_000 + b"}", 413, "body_too_large"),
    ],
)
def test_a_body_that_is_no_login_is_refused(
    desk: Desk, content: bytes, status: int, code: str
) -> None:
    headers = {"content-type": "application/json"}
    answer = desk.http.post("/v1/auth/login", content=content, headers=headers)
    assert problem_of(answer, status) == code


# The audit trail.


def test_logins_and_failures_are_recorded(desk: Desk) -> None:
    ada = desk.hire()
    session = desk.claims(desk.tokens(ada.login)).sid
    desk.login(ada.login, OTHER_PASSWORD)
    success = desk.events(target=f"session:{session}")[0]
    assert success["tag"] == "session:login:succeeded"
    assert success["actor_id"] == str(ada.id)
    assert success["address"] == "127.0.0.1"
    failure = desk.events(target=f"user:{ada.id}", tag="session:login:failed")[0]
    assert failure["outcome"] == "refused"
    assert failure["actor_id"] is None


def test_what_was_typed_is_nowhere_in_the_audit_trail(desk: Desk) -> None:
    desk.login("my-password-by-mistake", "another secret that was typed")
    assert "by-mistake" not in str(desk.events())
    assert "another secret" not in str(desk.events())


# Hashes grow stronger.


def test_a_hash_with_old_parameters_is_replaced_at_the_next_login(desk: Desk) -> None:
    ada = desk.hire()
    hashing = desk.issuer.hashing
    old = hashing._argon2
    hashing._argon2 = type(old)(2, 7_168, 1)
    try:
        desk.tokens(ada.login)
        before = hashing.computed
        desk.tokens(ada.login)
        assert hashing.computed == before + 1
    finally:
        hashing._argon2 = old
    tags = [event["tag"] for event in desk.events(target=f"user:{ada.id}")]
    assert tags.count("account:password:rehashed") == 1


def test_a_token_never_outlives_its_session(desk: Desk) -> None:
    lifetime = desk.issuer.settings.refresh_absolute_lifetime
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    end = desk.clock.now() + lifetime
    while desk.clock.now() + timedelta(days=13) < end:
        desk.wait(timedelta(days=13))
        tokens = desk.renewed(tokens["refresh_token"])
    assert tokens["refresh_expires_in"] == int((end - desk.clock.now()).total_seconds())
    desk.wait(end - desk.clock.now() - timedelta(seconds=90))
    last = desk.renewed(tokens["refresh_token"])
    assert last["expires_in"] == last["refresh_expires_in"] == 90
    assert desk.claims(last).exp == int(end.timestamp())
