"""Sessions follow memberships: just those concerned, at once; on both databases."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from msgspec import UNSET

from support.desk import Desk, Person, bearer, problem_of
from support.firm import Firm
from support.members import add, at


class Logins:
    """Somebody's sessions: for each of some organizations, for none, and at another customer."""

    def __init__(self, firm: Firm, person: Person, *organizations: uuid.UUID) -> None:
        self.firm = firm
        other = Firm(firm.desk)
        other.join(other.root, person, "admin")
        self.tokens: dict[Any, Any] = {
            **{place: firm.speak(person, place) for place in organizations},
            "none": firm.desk.tokens(person.login),
            "elsewhere": other.speak(person, other.root),
        }

    def voided(self) -> set[Any]:
        """Return where access tokens are void by now."""
        return {place for place, tokens in self.tokens.items() if self.firm.voided(tokens)}

    def ended(self) -> set[Any]:
        """Return which sessions have ended; the others go on, with new tokens."""
        found = set()
        for place, tokens in self.tokens.items():
            answer = self.firm.desk.refresh(tokens["refresh_token"])
            if answer.is_success:
                self.tokens[place] = answer.json()
            else:
                assert problem_of(answer, 401) == "session_ended"
                found.add(place)
        return found


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return Firm(desk)


@pytest.mark.parametrize("inherited", [False, True])
def test_a_role_given_or_taken_voids_tokens_where_it_counts(
    firm: Firm,
    inherited: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    north, south = firm.put("North"), firm.put("South")
    works = firm.put("Works", north)
    bob, eve = firm.member(north, "member"), firm.member(north, "member")
    for place in (works, south, firm.root):
        firm.join(place, bob, "member")
    role = firm.role(north, "iam.users.read", inherited=inherited)
    his, hers = Logins(firm, bob, north, works, south, firm.root), Logins(firm, eve, north)
    concerned = {north, works} if inherited else {north}
    for method in ("PUT", "DELETE"):
        assert firm.ask(method, at(north, bob, role)).status_code == 204
        assert his.voided() == concerned
        assert his.ended() == set()
        assert his.voided() == set()
        granted = "iam.users.read" in firm.desk.claims(his.tokens[north]).permissions
        assert granted is (method == "PUT")
        # Doing it again changes nothing, and voids nothing.
        assert firm.ask(method, at(north, bob, role)).status_code == 204
        assert his.voided() == set()
    assert hers.voided() == set()


@pytest.mark.parametrize("act", ["suspend", "remove", "take"])
def test_sessions_end_where_he_does_not_stand_any_more(firm: Firm, act: str) -> None:
    """That is there, and below where he stood by inheritance alone."""
    north, south = firm.put("North"), firm.put("South")
    works, store = firm.put("Works", north), firm.put("Store", north)
    bob, eve = firm.member(north, "admin"), firm.member(north, "admin")
    for place in (works, south):
        firm.join(place, bob, "member")
    his, hers = Logins(firm, bob, north, works, store, south), Logins(firm, eve, north, store)
    if act == "suspend":
        answer = firm.ask("PATCH", at(north, bob), json={"state": "suspended"})
    elif act == "remove":
        answer = firm.ask("DELETE", at(north, bob))
    else:
        answer = firm.ask("DELETE", at(north, bob, "admin"))
    assert answer.is_success
    # At the works he is a member himself: he stays, with fewer rights.
    assert his.voided() == {north, works, store}
    assert his.ended() == ({store} if act == "take" else {north, store})
    assert firm.desk.claims(his.tokens[works]).roles == ("member",)
    assert hers.voided() | hers.ended() == set()
    (event, *_) = firm.desk.events(target=f"user:{bob.id}", tag="session:session:ended")
    ended = 1 if act == "take" else 2
    assert event["after"] == {"reason": "membership_ended", "sessions": ended}
    assert event["actor_id"] == str(firm.ada.id)


def test_who_stands_there_by_a_membership_further_up_keeps_his_sessions(firm: Firm) -> None:
    north = firm.put("North")
    bob = firm.member(firm.root, "admin")
    firm.join(north, bob, "staff")
    his = Logins(firm, bob, north, firm.root)
    assert firm.ask("DELETE", at(north, bob)).status_code == 204
    assert his.voided() == {north}
    assert his.ended() == set()
    assert firm.desk.claims(his.tokens[north]).roles == ("admin",)


def test_who_becomes_a_member_where_he_stood_already_gets_new_tokens(firm: Firm) -> None:
    north = firm.put("North")
    bob = firm.member(firm.root, "admin")
    his = Logins(firm, bob, north, firm.root)
    assert add(firm, north, bob, roles=["staff"]).status_code == 201
    assert his.voided() == {north}
    assert his.ended() == set()
    assert firm.desk.claims(his.tokens[north]).roles == ("admin", "staff")


def test_a_plan_and_scopes_of_his_own_are_in_new_tokens_at_once(firm: Firm) -> None:
    north = firm.put("North")
    bob = firm.member(firm.root, "admin")
    firm.join(north, bob, "member")
    his = Logins(firm, bob, north, firm.root)
    body = {"plan": "gold", "scopes": ["email"]}
    answer = firm.ask("PATCH", at(firm.root, bob), json=body, headers=firm.desk.root())
    assert answer.status_code == 200
    assert his.voided() == {north, firm.root}
    assert his.ended() == set()
    for place in (north, firm.root):
        claims = firm.desk.claims(his.tokens[place])
        assert (claims.plan, claims.scope) == ("gold", "email")


def test_what_he_is_everywhere_is_none_of_it(firm: Firm) -> None:
    bob = firm.desk.hire("staff")
    firm.join(firm.root, bob, "staff")
    his = Logins(firm, bob, firm.root)
    assert firm.ask("DELETE", at(firm.root, bob)).status_code == 204
    assert his.ended() == {firm.root}
    claims = firm.desk.claims(his.tokens["none"])
    assert (claims.org, claims.roles) == (UNSET, ("staff",))


def test_no_session_survives_a_removal_at_the_same_moment(firm: Firm) -> None:
    """Whoever logs in or refreshes meanwhile is before it, and ended, or after it, and refused."""
    bob = firm.member(firm.root, "staff")
    begun = [firm.speak(bob, firm.root) for _ in range(3)]
    url, place = firm.desk.url, str(firm.root)

    def log_in(_: int) -> httpx.Response:
        body = {"login": bob.login, "password": bob.password, "organization": place}
        return httpx.post(f"{url}/v1/auth/login", json=body, timeout=30)

    def refresh(tokens: dict[str, Any]) -> httpx.Response:
        body = {"refresh_token": tokens["refresh_token"]}
        return httpx.post(f"{url}/v1/auth/refresh", json=body, timeout=30)

    def remove() -> httpx.Response:
        path = f"{url}/v1/organizations/{at(firm.root, bob)}"
        return httpx.delete(path, headers=firm.above, timeout=30)

    with ThreadPoolExecutor(7) as pool:
        logins = [pool.submit(log_in, number) for number in range(3)]
        removal = pool.submit(remove)
        refreshes = [pool.submit(refresh, tokens) for tokens in begun]
        answers = [each.result() for each in (*logins, *refreshes)]
    assert removal.result().status_code == 204
    assert {answer.status_code for answer in answers} <= {200, 401, 403}
    for tokens in [*begun, *(answer.json() for answer in answers if answer.is_success)]:
        assert firm.voided(tokens)
        assert problem_of(firm.desk.refresh(tokens["refresh_token"]), 401) == "session_ended"
    assert problem_of(log_in(0), 403) == "not_a_member"


# What one may switch to.


def mine(firm: Firm, headers: dict[str, str], limit: int = 50) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    wanted: dict[str, Any] = {"limit": limit}
    while True:
        answer = firm.desk.http.get("/v1/me/memberships", headers=headers, params=wanted)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next_cursor"] is None:
            return found
        wanted["cursor"] = answer.json()["next_cursor"]


def test_everybody_sees_what_he_may_speak_for_and_can(firm: Firm) -> None:
    other, bob = Firm(firm.desk), firm.desk.hire("staff")
    north = firm.put("B North")
    works, south = firm.put("C Works", north), firm.put("D South")
    firm.join(north, bob, "admin", "member")
    firm.join(works, bob)
    firm.join(other.root, bob, "member")
    headers = bearer(firm.desk.tokens(bob.login))
    found = mine(firm, headers)
    assert found == [
        {
            "organization_id": str(place),
            "organization": name,
            "tenant_id": str(tenant),
            "tenant": "Acme",
            "direct": True,
            "roles": roles,
        }
        for place, name, tenant, roles in (
            (other.root, "Acme", other.tenant, ["member"]),
            (north, "B North", firm.tenant, ["admin", "member"]),
            (works, "C Works", firm.tenant, ["admin"]),
        )
    ]
    assert str(south) not in {item["organization_id"] for item in found}
    store = firm.put("A Store", works)
    first, *_ = mine(firm, headers)
    assert (first["organization"], first["direct"]) == ("A Store", False)
    assert first["roles"] == ["admin"]
    speaking = bearer(firm.speak(bob, store))
    assert mine(firm, speaking, limit=1) == mine(firm, headers)
    for item in mine(firm, headers):
        assert firm.desk.login(bob.login, organization=item["organization_id"]).is_success


def test_what_is_not_active_cannot_be_switched_to(firm: Firm) -> None:
    north = firm.put("North")
    works, south = firm.put("Works", north), firm.put("South")
    bob = firm.member(firm.root, "admin")
    for place in (works, south):
        firm.join(place, bob)
    headers = bearer(firm.desk.tokens(bob.login))

    def names() -> list[str]:
        return [item["organization"] for item in mine(firm, headers)]

    assert names() == ["Acme", "North", "South", "Works"]
    assert firm.patch(north, state="deactivated").status_code == 200
    assert names() == ["Acme", "South"]
    suspended = {"state": "suspended"}
    assert firm.ask("PATCH", at(firm.root, bob), json=suspended).status_code == 200
    assert names() == ["South"]
    firm.desk.as_root("PATCH", f"/v1/tenants/{firm.tenant}", json=suspended)
    assert names() == []


def test_a_cursor_that_is_not_ours_is_refused(firm: Firm) -> None:
    wanted = {"cursor": "x"}
    answer = firm.desk.http.get("/v1/me/memberships", headers=firm.above, params=wanted)
    assert problem_of(answer, 422) == "validation_failed"
