"""Tokens in cookies: what browsers get, what they send, and who may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import Morsel, SimpleCookie
from typing import Any

import httpx
import pytest

from apostille_contracts.problems import ProblemCode
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.cookies import MAX_COOKIE_BYTES, check_fits, renewal_answer
from apostille_issuer.sessions.schemas import TokenSet
from support.desk import Desk, Person, bearer, problem_of

ACCESS = "__Host-apostille"
REFRESH = "__Host-apostille-refresh"
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}


def cookies_set(answer: httpx.Response) -> dict[str, Morsel[str]]:
    """Return the cookies that *answer* sets, with their attributes."""
    found: dict[str, Morsel[str]] = {}
    for header in answer.headers.get_list("set-cookie"):
        found.update(SimpleCookie(header))
    return found


@dataclass
class Browser:
    """What a browser with a page of the issuer's origin would send."""

    desk: Desk
    jar: dict[str, str] = field(default_factory=dict)
    site: Mapping[str, str] = field(default_factory=lambda: SAME_ORIGIN)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = dict(self.site) | options.pop("headers", {})
        if self.jar:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        answer = self.desk.http.request(method, path, headers=headers, **options)
        self.desk.http.cookies.clear()
        for name, morsel in cookies_set(answer).items():
            if morsel["max-age"] == "0":
                self.jar.pop(name, None)
            else:
                self.jar[name] = morsel.value
        return answer

    def login(self, person: Person, **fields: Any) -> httpx.Response:
        body = {"login": person.login, "password": person.password, "transport": "cookie"}
        return self.request("POST", "/v1/auth/login", json=body | fields)

    def elsewhere(self, **site: str) -> Browser:
        """Return the same browser with another page in front."""
        return Browser(self.desk, dict(self.jar), {k.replace("_", "-"): v for k, v in site.items()})


@pytest.fixture
def browser(desk: Desk) -> Browser:
    opened = Browser(desk)
    assert opened.login(desk.hire()).status_code == 200
    return opened


def test_tokens_are_in_cookies_that_no_script_and_no_other_host_can_read(desk: Desk) -> None:
    answer = Browser(desk).login(desk.hire())
    assert answer.status_code == 200
    assert answer.json() == {"expires_in": 600, "refresh_expires_in": 14 * 86400}
    assert answer.headers["cache-control"] == "no-store"
    set_ = cookies_set(answer)
    assert set_.keys() == {ACCESS, REFRESH}
    for morsel in set_.values():
        assert morsel["path"] == "/"
        assert morsel["samesite"].lower() == "strict"
        assert (morsel["secure"], morsel["httponly"]) == (True, True)
        assert morsel["domain"] == ""
    assert set_[ACCESS]["max-age"] == "600"
    assert set_[REFRESH]["max-age"] == str(14 * 86400)


def test_by_default_tokens_are_in_the_body_and_nowhere_else(desk: Desk) -> None:
    answer = desk.login(desk.hire().login)
    assert answer.json().keys() >= {"access_token", "refresh_token"}
    assert "set-cookie" not in answer.headers
    renewed = desk.refresh(answer.json()["refresh_token"])
    assert renewed.json().keys() >= {"access_token", "refresh_token"}
    assert "set-cookie" not in renewed.headers


def test_an_unknown_transport_is_refused(desk: Desk) -> None:
    answer = desk.login(desk.hire().login, transport="pigeon")
    assert problem_of(answer, 422) == "validation_failed"


@pytest.mark.parametrize(
    "site",
    [
        {},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
    ],
)
def test_what_could_change_something_must_come_from_a_page_of_this_origin(
    desk: Desk, browser: Browser, site: dict[str, str]
) -> None:
    stranger = browser.elsewhere(**site)
    ada = desk.hire()
    for refused in (
        stranger.login(ada),
        stranger.request("POST", "/v1/auth/refresh"),
        stranger.request("POST", "/v1/auth/logout"),
        stranger.request("POST", "/v1/auth/logout-everywhere"),
        stranger.request("DELETE", "/v1/me/sessions"),
    ):
        assert problem_of(refused, 403) == "csrf_failed"
        assert "set-cookie" not in refused.headers
    # Nothing has been used up, and nobody is logged out or in.
    assert browser.request("POST", "/v1/auth/refresh").status_code == 200
    assert desk.as_root("GET", f"/v1/users/{ada.id}/sessions").json()["items"] == []


def test_the_origin_header_is_proof_where_there_are_no_fetch_metadata(browser: Browser) -> None:
    old = browser.elsewhere(origin=browser.desk.url)
    assert old.request("POST", "/v1/auth/refresh").status_code == 200


def test_the_guard_takes_the_cookie(desk: Desk, browser: Browser) -> None:
    me = browser.request("GET", "/v1/me")
    assert me.status_code == 200
    (session,) = browser.request("GET", "/v1/me/sessions").json()["items"]
    assert session["current"]
    # The header wins.
    other = desk.hire()
    mine = browser.request("GET", "/v1/me", headers=bearer(desk.tokens(other.login)))
    assert mine.json()["login"] == other.login


def test_the_refresh_cookie_opens_nothing(browser: Browser) -> None:
    del browser.jar[ACCESS]
    assert problem_of(browser.request("GET", "/v1/me"), 401) == "missing_token"


def test_a_refresh_takes_the_cookie_and_sets_both_anew(browser: Browser) -> None:
    before = dict(browser.jar)
    browser.desk.wait(timedelta(minutes=11))
    del browser.jar[ACCESS]  # as browsers do when its time is up
    answer = browser.request("POST", "/v1/auth/refresh")
    assert answer.status_code == 200
    assert answer.json().keys() == {"expires_in", "refresh_expires_in"}
    assert browser.jar.keys() == before.keys()
    assert browser.jar[REFRESH] != before[REFRESH]
    assert browser.request("GET", "/v1/me").status_code == 200


def test_a_second_tab_gets_the_same_refresh_token(browser: Browser) -> None:
    tab = browser.elsewhere(sec_fetch_site="same-origin")
    for each in (browser, tab):
        assert each.request("POST", "/v1/auth/refresh").status_code == 200
    assert browser.jar[REFRESH] == tab.jar[REFRESH]


def test_a_token_in_the_body_wins_and_is_answered_there(desk: Desk, browser: Browser) -> None:
    cookie = browser.jar[REFRESH]
    tokens = desk.tokens(desk.hire().login)
    body = {"refresh_token": tokens["refresh_token"]}
    answer = browser.request("POST", "/v1/auth/refresh", json=body)
    assert answer.json().keys() >= {"access_token", "refresh_token"}
    assert browser.jar[REFRESH] == cookie


def test_without_body_and_cookie_there_is_nothing_to_refresh(desk: Desk) -> None:
    answer = Browser(desk).request("POST", "/v1/auth/refresh")
    assert problem_of(answer, 422) == "validation_failed"
    assert [error["field"] for error in answer.json()["errors"]] == ["refresh_token"]


def test_two_cookies_of_one_name_are_refused(desk: Desk, browser: Browser) -> None:
    pair = f"{REFRESH}={browser.jar[REFRESH]}"
    headers = {**SAME_ORIGIN, "cookie": f"{pair}; {pair}"}
    answer = desk.http.post("/v1/auth/refresh", headers=headers)
    assert problem_of(answer, 400) == "invalid_request"


def test_logging_out_ends_the_session_and_the_browser_forgets(desk: Desk, browser: Browser) -> None:
    kept = dict(browser.jar)
    answer = browser.request("POST", "/v1/auth/logout")
    assert (answer.status_code, answer.content) == (204, b"")
    for morsel in cookies_set(answer).values():
        # Browsers ignore a __Host- cookie without these, even one to be deleted.
        assert (morsel["secure"], morsel["path"], morsel["max-age"]) == (True, "/", "0")
    assert browser.jar == {}
    thief = Browser(desk, kept)
    assert problem_of(thief.request("POST", "/v1/auth/refresh"), 401) == "session_ended"
    assert problem_of(thief.request("GET", "/v1/me"), 401) == "revoked_token"


@pytest.mark.parametrize("lost", [ACCESS, REFRESH])
def test_one_of_the_two_cookies_is_enough_to_log_out(browser: Browser, lost: str) -> None:
    kept = dict(browser.jar)
    del browser.jar[lost]
    assert browser.request("POST", "/v1/auth/logout").status_code == 204
    assert browser.jar == {}
    thief = Browser(browser.desk, kept)
    assert problem_of(thief.request("POST", "/v1/auth/refresh"), 401) == "session_ended"


def test_without_cookies_there_is_nobody_to_log_out(desk: Desk) -> None:
    answer = Browser(desk).request("POST", "/v1/auth/logout")
    assert problem_of(answer, 401) == "missing_token"


def test_a_bearer_token_logs_out_its_own_session_and_not_the_browser(
    desk: Desk, browser: Browser
) -> None:
    tokens = desk.tokens(desk.hire().login)
    answer = browser.request("POST", "/v1/auth/logout", headers=bearer(tokens))
    assert answer.status_code == 204
    assert browser.jar
    assert browser.request("POST", "/v1/auth/refresh").status_code == 200


def test_the_password_of_a_proxy_in_front_does_not_matter(browser: Browser) -> None:
    proxy = {"authorization": "Basic c3RhZ2luZzpzZWNyZXQ="}
    assert browser.request("GET", "/v1/me", headers=proxy).status_code == 200
    assert browser.request("POST", "/v1/auth/logout", headers=proxy).status_code == 204
    assert browser.jar == {}


def test_logging_out_everywhere_forgets_too(browser: Browser) -> None:
    assert browser.request("POST", "/v1/auth/logout-everywhere").status_code == 204
    assert browser.jar == {}


def test_a_token_that_browsers_would_drop_is_refused_and_leaves_no_session(desk: Desk) -> None:
    ada = desk.hire()
    audiences = [f"cookie-{number:02}-{'x' * 53}" for number in range(40)]
    for name in audiences:
        manifest = {"service": name[:9], "version": "1", "permissions": {}, "audience": name}
        answer = desk.as_root("PUT", f"/v1/services/{name[:9]}", json=manifest)
        assert answer.status_code in (200, 201), answer.text
    browser = Browser(desk)
    answer = browser.login(ada, audience=audiences)
    assert problem_of(answer, 409) == "token_oversized"
    assert [error["field"] for error in answer.json()["errors"]] == ["transport"]
    assert browser.jar == {}
    assert desk.as_root("GET", f"/v1/users/{ada.id}/sessions").json()["items"] == []
    for name in audiences:
        desk.as_root("DELETE", f"/v1/services/{name[:9]}")


def token_set(length: int) -> TokenSet:
    return TokenSet(
        access_token="a" * length, expires_in=600, refresh_token="r", refresh_expires_in=700
    )


def test_the_limit_is_that_of_browsers() -> None:
    most = MAX_COOKIE_BYTES - len(ACCESS)
    check_fits(token_set(most))
    with pytest.raises(IssuerProblem) as refused:
        check_fits(token_set(most + 1))
    assert refused.value.code is ProblemCode.TOKEN_OVERSIZED


def test_a_refresh_whose_access_token_has_grown_too_long_still_hands_on_the_refresh_token() -> None:
    answer = renewal_answer(token_set(MAX_COOKIE_BYTES))
    assert answer.status_code == 409
    assert [cookie.key for cookie in answer.cookies] == [REFRESH]
