"""Revocation of tokens as OAuth has it (RFC 7009)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apostille_issuer.sessions.oauth_controllers import TokenForm
from support.desk import Desk, bearer, problem_of
from support.policy import statements

FORM = {"content-type": "application/x-www-form-urlencoded"}


def revoke(desk: Desk, token: str, **form: str) -> httpx.Response:
    return desk.http.post("/oauth/revoke", data={"token": token, **form})


def has_ended(desk: Desk, tokens: dict[str, Any]) -> bool:
    answer = desk.refresh(tokens["refresh_token"])
    return not answer.is_success and problem_of(answer, 401) == "session_ended"


def oauth_error(answer: httpx.Response, status: int = 400) -> str:
    """Return the code of an error as RFC 6749 section 5.2 writes it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"error", "error_description"}
    return str(body["error"])


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "pigeon"])
def test_either_token_ends_the_session_whatever_the_hint(
    desk: Desk, kind: str, hint: str | None
) -> None:
    ada = desk.hire()
    tokens, other = desk.tokens(ada.login), desk.tokens(ada.login)
    form = {} if hint is None else {"token_type_hint": hint}
    answer = revoke(desk, tokens[kind], **form)
    assert (answer.status_code, answer.content) == (200, b"")
    assert has_ended(desk, tokens)
    me = desk.http.get("/v1/me", headers=bearer(tokens))
    assert problem_of(me, 401) == "revoked_token"
    assert not has_ended(desk, other)


def test_the_end_of_the_session_is_recorded(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    session = desk.claims(tokens).sid
    for _ in range(2):
        assert revoke(desk, tokens["refresh_token"]).status_code == 200
    (event,) = desk.events(target=f"session:{session}", tag="session:session:ended")
    assert event["actor_id"] == str(ada.id)
    assert event["after"] == {"reason": "logout"}


def test_a_used_refresh_token_will_do(desk: Desk) -> None:
    old = desk.tokens(desk.hire().login)
    new = desk.renewed(old["refresh_token"])
    assert revoke(desk, old["refresh_token"]).status_code == 200
    assert has_ended(desk, new)


def test_an_access_token_for_another_service_will_do(desk: Desk) -> None:
    manifest = {"service": "revocable", "version": "1", "permissions": {}}
    desk.as_root("PUT", "/v1/services/revocable", json=manifest)
    tokens = desk.tokens(desk.hire().login, audience="revocable")
    assert revoke(desk, tokens["access_token"]).status_code == 200
    assert has_ended(desk, tokens)


def test_an_access_token_voided_by_a_change_of_rights_still_ends_its_session(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    desk.as_root("PUT", f"/v1/users/{ada.id}/roles/staff")
    assert revoke(desk, tokens["access_token"]).status_code == 200
    assert has_ended(desk, tokens)


def test_a_token_without_a_session_is_no_error(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    bare = msgspec.structs.replace(desk.claims(tokens), sid=msgspec.UNSET)
    token = desk.run(desk.issuer.keys.sign(msgspec.json.encode(bare)))
    assert revoke(desk, token).status_code == 200
    assert not has_ended(desk, tokens)


def test_unknown_and_outlived_tokens_are_no_error_and_end_nothing(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    access = tokens["access_token"]
    forged = access[:-4] + ("AAAA" if not access.endswith("AAAA") else "BBBB")
    for token in ("x", "a.b.c", forged, "apo_rt_" + "0" * 32 + "_0_" + "A" * 43, "\u00e4" * 50):
        assert revoke(desk, token).status_code == 200
    desk.wait(timedelta(minutes=11))
    assert revoke(desk, access).status_code == 200
    assert not has_ended(desk, tokens)


def test_what_is_no_token_of_ours_costs_no_look_at_the_database(desk: Desk) -> None:
    """Anybody may send it, as often as he likes."""
    tokens = desk.tokens(desk.hire().login)
    assert revoke(desk, tokens["access_token"]).status_code == 200
    access = desk.tokens(desk.hire().login)["access_token"]
    forged = access[:-4] + ("AAAA" if not access.endswith("AAAA") else "BBBB")
    with statements(desk.issuer.database) as asked:
        for token in ("x", "a.b.c", forged):
            assert revoke(desk, token).status_code == 200
    assert [each for each in asked if "services" in each or "sessions" in each] == []


def test_the_client_may_say_who_it_is(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    answer = revoke(desk, tokens["refresh_token"], client_id="somebody-else")
    assert oauth_error(answer, 401) == "invalid_client"
    assert not has_ended(desk, tokens)
    assert revoke(desk, tokens["refresh_token"], client_id="apostille").status_code == 200
    assert has_ended(desk, tokens)


def test_nobody_has_a_secret_to_authenticate_with(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    answer = desk.http.post(
        "/oauth/revoke", data={"token": tokens["refresh_token"]}, auth=("apostille", "secret")
    )
    assert oauth_error(answer, 401) == "invalid_client"
    assert answer.headers["www-authenticate"].startswith("Basic ")
    posted = revoke(desk, tokens["refresh_token"], client_id="apostille", client_secret="secret")
    assert oauth_error(posted, 401) == "invalid_client"
    assert "www-authenticate" not in posted.headers
    assert not has_ended(desk, tokens)


def test_a_bearer_token_beside_the_form_does_not_matter(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    form = {"token": tokens["refresh_token"]}
    for headers in (bearer(tokens), {"authorization": "Bearer x"}):
        assert desk.http.post("/oauth/revoke", data=form, headers=headers).status_code == 200
    assert has_ended(desk, tokens)


@pytest.mark.parametrize(
    "body",
    ["", "token=", "tokens=x", "token=x&token=y", "token=x&token_type_hint=a&token_type_hint=b"],
)
def test_a_form_that_is_not_clear_is_refused(desk: Desk, body: str) -> None:
    answer = desk.http.post("/oauth/revoke", content=body, headers=FORM)
    assert oauth_error(answer) == "invalid_request"


def test_json_is_no_form(desk: Desk) -> None:
    assert oauth_error(desk.http.post("/oauth/revoke", json={"token": "x"})) == "invalid_request"


def test_parameters_nobody_knows_are_ignored(desk: Desk) -> None:
    assert revoke(desk, "x", resource="https://example.com").status_code == 200


def test_a_token_in_the_query_is_none(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    query = {"token": tokens["refresh_token"]}
    answer = desk.http.post("/oauth/revoke", params=query, headers=FORM)
    assert oauth_error(answer) == "invalid_request"
    assert problem_of(desk.http.get("/oauth/revoke", params=query), 405) == "method_not_allowed"
    assert not has_ended(desk, tokens)


def test_no_log_shows_a_token() -> None:
    assert repr(TokenForm(token="apo_rt_secret")) == "TokenForm()"


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=100) | st.binary(max_size=50).map(lambda rest: b"token=" + rest))
def test_whatever_is_posted_no_answer_is_a_fault_of_ours(desk: Desk, body: bytes) -> None:
    answer = desk.http.post("/oauth/revoke", content=body, headers=FORM)
    assert answer.status_code == 200 or oauth_error(answer) == "invalid_request"


def test_metadata_says_where_and_how(desk: Desk) -> None:
    metadata = desk.http.get("/.well-known/oauth-authorization-server").json()
    issuer = metadata["issuer"]
    assert metadata["revocation_endpoint"] == f"{issuer}/oauth/revoke"
    assert metadata["revocation_endpoint_auth_methods_supported"] == ["none"]
    assert metadata["introspection_endpoint"] == f"{issuer}/oauth/introspect"
    assert metadata["introspection_endpoint_auth_methods_supported"] == ["Bearer"]
