"""The refresh chain over HTTP, on both databases."""

from __future__ import annotations

import base64
import hmac
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from support.desk import PASSWORD, Desk, open_desk, problem_of
from support.lists import bit_in, place_of

WINDOW = timedelta(seconds=10)
A_LITTLE = timedelta(milliseconds=1)


@pytest.fixture
def chain(desk: Desk) -> list[str]:
    """The refresh tokens of a session that was refreshed twice, long ago each time."""
    tokens = [desk.tokens(desk.hire().login)["refresh_token"]]
    for _ in range(2):
        desk.wait(timedelta(minutes=5))
        tokens.append(desk.renewed(tokens[-1])["refresh_token"])
    desk.wait(timedelta(minutes=5))
    return tokens


def session_of(refresh_token: str) -> str:
    return str(uuid.UUID(refresh_token.split("_")[2]))


def test_a_refresh_answers_like_a_login(desk: Desk) -> None:
    first = desk.tokens(desk.hire("staff").login)
    desk.wait(timedelta(minutes=3))
    answer = desk.refresh(first["refresh_token"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    second = answer.json()
    assert set(second) == set(first)
    assert second["refresh_token"] != first["refresh_token"]
    before, after = desk.claims(first), desk.claims(second)
    assert after.exp == before.exp + 180
    same = ("iss", "sub", "aud", "sid", "client_id", "auth_time", "amr", "roles", "permissions")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert after.jti != before.jti


def test_rights_are_read_again_at_each_refresh(desk: Desk) -> None:
    ada = desk.hire("member")
    tokens = desk.tokens(ada.login)
    assert desk.claims(tokens).permissions == ()
    desk.as_root("PUT", f"/v1/users/{ada.id}/roles/staff")
    tokens = desk.renewed(tokens["refresh_token"])
    assert desk.claims(tokens).roles == ("member", "staff")
    assert "iam.roles.read" in desk.claims(tokens).permissions
    desk.as_root("DELETE", f"/v1/users/{ada.id}/roles/staff")
    assert desk.claims(desk.renewed(tokens["refresh_token"])).permissions == ()


def test_a_session_stays_narrowed_to_its_audience(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login, audience=["apostille"])
    assert desk.claims(desk.renewed(tokens["refresh_token"])).aud == "apostille"


def test_the_loser_of_a_race_gets_the_same_successor(desk: Desk, chain: list[str]) -> None:
    winner = desk.renewed(chain[-1])
    desk.wait(WINDOW - A_LITTLE)
    loser = desk.renewed(chain[-1])
    assert loser["refresh_token"] == winner["refresh_token"]
    assert desk.claims(loser).jti != desk.claims(winner).jti
    desk.renewed(winner["refresh_token"])


def test_after_the_window_a_used_token_ends_the_session(desk: Desk, chain: list[str]) -> None:
    successor = desk.renewed(chain[-1])["refresh_token"]
    desk.wait(WINDOW)
    assert problem_of(desk.refresh(chain[-1]), 401) == "refresh_token_reused"
    for token in (chain[-1], successor, chain[0]):
        assert problem_of(desk.refresh(token), 401) == "session_ended"


@pytest.mark.parametrize("seconds", [0, 60])
def test_the_window_is_as_long_as_the_operator_says(database_url: str, seconds: int) -> None:
    """From none, where the second use is theft at once, to the longest that may be set."""
    window = timedelta(seconds=seconds)
    with open_desk(database_url, refresh_replay_window=window) as own_desk:
        tokens = own_desk.tokens(own_desk.hire().login)
        first = tokens["refresh_token"]
        tokens = own_desk.renewed(first)
        if window:
            own_desk.wait(window - A_LITTLE)
            assert own_desk.renewed(first)["refresh_token"] == tokens["refresh_token"]
            own_desk.wait(A_LITTLE)
        assert problem_of(own_desk.refresh(first), 401) == "refresh_token_reused"
        assert problem_of(own_desk.refresh(tokens["refresh_token"]), 401) == "session_ended"
        own_desk.wait(timedelta(seconds=1))
        list_id, idx = place_of(tokens["access_token"])
        assert bit_in(own_desk.http.get(f"/status-lists/{list_id}").text, idx) == 1


def test_without_a_window_a_lost_race_ends_the_session(database_url: str) -> None:
    with open_desk(database_url, refresh_replay_window=timedelta(0)) as own_desk:
        token = own_desk.tokens(own_desk.hire().login)["refresh_token"]
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(own_desk.refresh, [token] * 2))
        (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
        (loser,) = [answer for answer in answers if answer.status_code != 200]
        assert problem_of(loser, 401) == "refresh_token_reused"
        assert problem_of(own_desk.refresh(winner["refresh_token"]), 401) == "session_ended"


def test_a_token_two_generations_old_is_theft_at_once(desk: Desk, chain: list[str]) -> None:
    assert problem_of(desk.refresh(chain[0]), 401) == "refresh_token_reused"
    assert problem_of(desk.refresh(chain[-1]), 401) == "session_ended"


def test_theft_is_recorded_once_with_who_it_concerns(desk: Desk, chain: list[str]) -> None:
    desk.refresh(chain[0])
    desk.refresh(chain[0])
    (event,) = desk.events(target=f"session:{session_of(chain[0])}", tag="session:refresh:reused")
    assert event["actor_id"] is not None
    assert event["after"] == {"reason": "refresh_reused"}


def test_other_sessions_of_the_user_live_on(desk: Desk) -> None:
    ada = desk.hire()
    stolen, other = desk.tokens(ada.login), desk.tokens(ada.login)
    for _ in range(2):
        desk.renewed(stolen["refresh_token"])
        desk.wait(timedelta(seconds=1))
    desk.wait(WINDOW)
    assert problem_of(desk.refresh(stolen["refresh_token"]), 401) == "refresh_token_reused"
    desk.renewed(other["refresh_token"])


def test_a_session_that_is_not_refreshed_ends(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    desk.wait(timedelta(days=14) - A_LITTLE)
    tokens = desk.renewed(tokens["refresh_token"])
    desk.wait(timedelta(days=14))
    assert problem_of(desk.refresh(tokens["refresh_token"]), 401) == "session_ended"


def test_a_session_ends_however_often_it_is_refreshed(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    for _ in range(9):
        desk.wait(timedelta(days=10) - A_LITTLE)
        tokens = desk.renewed(tokens["refresh_token"])
    desk.wait(timedelta(days=1))
    assert problem_of(desk.refresh(tokens["refresh_token"]), 401) == "session_ended"


@pytest.mark.parametrize("change", ["disable", "delete"])
def test_a_user_who_is_gone_is_not_refreshed(desk: Desk, change: str) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    if change == "disable":
        desk.as_root("PATCH", f"/v1/users/{ada.id}", json={"state": "disabled"})
    else:
        desk.as_root("DELETE", f"/v1/users/{ada.id}")
    assert problem_of(desk.refresh(tokens["refresh_token"]), 401) == "session_ended"


def test_enabling_a_user_does_not_bring_his_sessions_back(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    for state in ("disabled", "active"):
        desk.as_root("PATCH", f"/v1/users/{ada.id}", json={"state": state})
    assert problem_of(desk.refresh(tokens["refresh_token"]), 401) == "session_ended"
    desk.tokens(ada.login)


def forged(desk: Desk, session: str, generation: int) -> list[str]:
    """Return tokens for *session* as somebody would make them who has the database."""
    real = desk.issuer.sessions._tokens.make(uuid.UUID(session), generation)
    macs = [
        hmac.digest(secret, f"{session}{generation}".encode(), "sha256")
        for secret in (b"", bytes(32), session.encode())
    ]
    made = [base64.urlsafe_b64encode(mac).rstrip(b"=").decode() for mac in macs]
    return [real[:-43] + mac for mac in (*made, "A" * 43, real[-43:][::-1])]


def test_nobody_makes_a_token_from_what_the_database_holds(desk: Desk, chain: list[str]) -> None:
    for token in forged(desk, session_of(chain[-1]), 2):
        assert problem_of(desk.refresh(token), 401) == "invalid_refresh_token"
    desk.renewed(chain[-1])  # and none of that did the session any harm


def test_a_token_of_a_session_that_never_was_has_ended(desk: Desk) -> None:
    """Only we can have made it: the row is gone with its user, say."""
    token = desk.issuer.sessions._tokens.make(uuid.uuid4(), 0)
    assert problem_of(desk.refresh(token), 401) == "session_ended"


def test_a_token_of_a_generation_to_come_does_no_harm(desk: Desk, chain: list[str]) -> None:
    session = uuid.UUID(session_of(chain[-1]))
    for generation in (3, 2**31 - 1, 9_999_999_999):
        token = desk.issuer.sessions._tokens.make(session, generation)
        assert problem_of(desk.refresh(token), 401) == "invalid_refresh_token"
    desk.renewed(chain[-1])


def test_a_token_is_bound_to_its_client(
    desk: Desk, chain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(desk.issuer.sessions, "_client_id", "another-client")
        for token in chain:
            assert problem_of(desk.refresh(token), 401) == "invalid_refresh_token"
    desk.renewed(chain[-1])


@pytest.mark.parametrize("body", [{}, {"refresh_token": 7}, {"refresh_token": None}, {"token": ""}])
def test_a_refresh_without_a_token_is_refused_by_field(desk: Desk, body: object) -> None:
    answer = desk.http.post("/v1/auth/refresh", json=body)
    assert problem_of(answer, 422) == "validation_failed"


@pytest.mark.parametrize("token", ["", "x", "apo_rt_", PASSWORD, "\x00", "ü" * 1_000])
def test_garbage_is_an_invalid_token(desk: Desk, token: str) -> None:
    assert problem_of(desk.refresh(token), 401) == "invalid_refresh_token"


def test_a_token_in_the_query_string_is_ignored(desk: Desk, chain: list[str]) -> None:
    answer = desk.http.post("/v1/auth/refresh", params={"refresh_token": chain[-1]})
    assert problem_of(answer, 422) == "validation_failed"
    desk.renewed(chain[-1])


def test_many_at_once_get_one_successor(desk: Desk) -> None:
    token = desk.tokens(desk.hire().login)["refresh_token"]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(desk.refresh, [token] * 32))
    assert [answer.status_code for answer in answers] == [200] * 32
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert len({answer.json()["access_token"] for answer in answers}) == 32


def test_many_sessions_at_once_do_not_mix(desk: Desk) -> None:
    people = [desk.hire() for _ in range(8)]
    tokens = [desk.tokens(person.login) for person in people]
    for _ in range(3):
        with ThreadPoolExecutor(8) as threads:
            tokens = list(threads.map(lambda held: desk.renewed(held["refresh_token"]), tokens))
    assert [desk.claims(held).sub for held in tokens] == [str(person.id) for person in people]


def test_use_and_reuse_at_once_leave_nobody_with_a_chain(desk: Desk, chain: list[str]) -> None:
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(desk.refresh, [chain[0], chain[2], chain[0], chain[2]]))
    assert {answer.status_code for answer in answers} <= {200, 401}
    for answer in answers:
        if answer.is_success:
            assert problem_of(desk.refresh(answer.json()["refresh_token"]), 401) == "session_ended"
    assert problem_of(desk.refresh(chain[2]), 401) == "session_ended"
