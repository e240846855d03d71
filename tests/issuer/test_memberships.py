"""Members of organizations over HTTP: added, listed, changed, removed; on both databases."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from apostille_issuer.tenancy import members
from support.desk import Desk, problem_of
from support.firm import Firm
from support.members import add, at, listed, shown


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return Firm(desk)


def fields_of(answer: httpx.Response) -> list[str]:
    return [error["field"] for error in answer.json()["errors"]]


# Adding.


def test_a_member_is_added_shown_and_recorded(firm: Firm) -> None:
    bob, root = firm.desk.hire(), firm.desk.root()
    scopes = ["reports:export", "email", "email"]
    answer = add(firm, firm.root, bob, root, roles=["staff", "member"], plan="gold", scopes=scopes)
    assert answer.status_code == 201
    added = answer.json()
    assert answer.headers["location"] == f"/v1/organizations/{at(firm.root, bob)}"
    assert added == shown(firm, firm.root, bob)
    assert added | {"created_at": "", "updated_at": ""} == {
        "user_id": str(bob.id),
        "login": bob.login,
        "kind": "person",
        "organization_id": str(firm.root),
        "state": "active",
        "roles": ["member", "staff"],
        "plan": "gold",
        "scopes": ["email", "reports:export"],
        "created_at": "",
        "updated_at": "",
    }
    claims = firm.desk.claims(firm.speak(bob, firm.root))
    assert (claims.plan, claims.scope) == ("gold", "email reports:export")
    (event,) = firm.events(firm.root, tag="tenancy:membership:created")
    assert event["before"] is None
    assert firm.trails(firm.root) == {firm.tenant}
    assert event["after"] == {
        "user_id": str(bob.id),
        "state": "active",
        "roles": ["member", "staff"],
        "plan": "gold",
        "scopes": ["email", "reports:export"],
    }


def test_a_login_name_will_do_in_whatever_case_and_an_identifier_for_a_role(firm: Firm) -> None:
    bob = firm.desk.hire()
    staff = firm.desk.as_root("GET", "/v1/roles/staff").json()["id"]
    login = bob.login.upper()
    answer = add(firm, firm.root, None, firm.desk.root(), login=login, roles=[staff, "staff"])
    assert (answer.status_code, answer.json()["roles"]) == (201, ["staff"])
    assert answer.json()["user_id"] == str(bob.id)


def test_nobody_is_added_twice(firm: Firm) -> None:
    assert problem_of(add(firm, firm.root, firm.ada), 409) == "already_a_member"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, ["user_id"]),
        ({"login": "x", "user_id": str(uuid.UUID(int=1))}, ["user_id"]),
        ({"login": "two words"}, ["login"]),
        ({"login": "x", "scopes": ["ok", "not ok", 'a"b', "a\\b", "ü", "a\n"]}, None),
        ({"login": "x", "scopes": [""]}, ["scopes[0]"]),
        ({"login": "x", "scopes": ["x" * 64]}, ["scopes[0]"]),
        ({"login": "x", "scopes": ["x"] * 51}, ["scopes"]),
        ({"login": "x", "roles": ["x"] * 51}, ["roles"]),
        ({"login": "x", "plan": ""}, ["plan"]),
        ({"login": "x", "plan": "a\u0000"}, ["plan"]),
        ({"login": "x", "admin": True}, ["admin"]),
    ],
)
def test_what_cannot_be_kept_is_refused_by_field(
    firm: Firm, fields: dict[str, Any], named: list[str] | None
) -> None:
    refused = add(firm, firm.root, None, firm.desk.root(), **fields)
    assert problem_of(refused, 422) == "validation_failed"
    assert fields_of(refused) == (named or [f"scopes[{index}]" for index in range(1, 6)])


def test_roles_that_cannot_be_given_there_are_named(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    mine, above = firm.role(north, "iam.users.read"), firm.role(firm.root, "iam.users.read")
    theirs, strange = firm.role(south), Firm(firm.desk).role(Firm(firm.desk).root)
    bob = firm.member(firm.root)
    roles = [mine, theirs, "staff", strange, above, "NO", str(uuid.uuid4())]
    refused = add(firm, north, bob, roles=roles)
    assert problem_of(refused, 422) == "validation_failed"
    assert fields_of(refused) == ["roles[1]", "roles[3]", "roles[5]", "roles[6]"]
    for role in (theirs, strange, "NO", str(uuid.uuid4())):
        firm.join(north, bob) if not listed(firm, north) else None
        assert problem_of(firm.ask("PUT", at(north, bob, role)), 404) == "not_found"
    for role in (mine, above):
        assert firm.ask("PUT", at(north, bob, role)).status_code == 204
    assert shown(firm, north, bob)["roles"] == sorted([mine, above])


def test_nobody_becomes_a_member_of_what_is_not_active(firm: Firm) -> None:
    north = firm.put("North")
    works, bob = firm.put("Works", north), firm.member(firm.root)
    assert firm.patch(north, state="deactivated").status_code == 200
    for organization in (north, works):
        assert problem_of(add(firm, organization, bob), 409) == "organization_inactive"


def test_a_tenants_administrator_adds_who_is_in_the_tenant_and_learns_of_nobody_else(
    firm: Firm,
) -> None:
    north, bob, stranger = firm.put("North"), firm.member(firm.root), firm.desk.hire()
    assert add(firm, north, bob, roles=["staff"]).status_code == 201
    for field, value in (
        ("user_id", str(stranger.id)),
        ("login", stranger.login),
        ("user_id", str(uuid.uuid4())),
        ("login", "nobody@example.com"),
    ):
        body = {field: value}
        unknown = firm.ask("POST", f"{north}/members", json=body)
        assert problem_of(unknown, 404) == "not_found"
    assert add(firm, north, stranger, firm.desk.root()).status_code == 201
    unknown = add(firm, north, None, firm.desk.root(), login="nobody@example.com")
    assert problem_of(unknown, 404) == "not_found"


# Reading.


def test_members_are_listed_page_by_page_as_their_accounts_were_made(firm: Firm) -> None:
    people = [firm.desk.hire() for _ in range(5)]
    for person in reversed(people):
        firm.join(firm.root, person, "member")
    logins = [login for login, _ in listed(firm, firm.root, limit=2)]
    assert logins == [firm.ada.login, *(person.login for person in people)]


@pytest.fixture(params=[members.FEW, 1], ids=["few", "many"])
def amount(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is listed in a statement, and what is looked up since it is too much for that."""
    monkeypatch.setattr(members, "FEW", request.param)


@pytest.mark.usefixtures("amount")
def test_lists_are_narrowed_by_role_state_and_login(firm: Firm) -> None:
    role = firm.role(firm.root)
    bob, eve = firm.member(firm.root, "staff"), firm.member(firm.root, role, "staff")
    firm.ask("PATCH", at(firm.root, bob), json={"state": "suspended"})

    def logins(**wanted: Any) -> list[str]:
        return [login for login, _ in listed(firm, firm.root, **wanted)]

    assert logins(role="staff") == [bob.login, eve.login]
    assert logins(role=role) == [eve.login]
    assert logins(role="nothing") == []
    assert logins(state="suspended") == [bob.login]
    assert logins(state="active", role="staff") == [eve.login]
    assert logins(login=eve.login.upper()[:-4]) == [eve.login]
    assert logins(login="nobody") == []


@pytest.mark.usefixtures("amount")
def test_a_subtree_lists_somebody_for_each_organization_he_is_in(firm: Firm) -> None:
    north = firm.put("North")
    works, south = firm.put("Works", north), firm.put("South")
    bob, eve = firm.member(works, "member"), firm.member(north, "member")
    firm.join(north, bob)
    firm.join(south, bob)
    assert listed(firm, north, subtree=True, limit=1) == [
        (bob.login, str(place)) for place in sorted([works, north])
    ] + [(eve.login, str(north))]
    assert len(listed(firm, firm.root, subtree=True, limit=2)) == 5
    assert listed(firm, north) == [(bob.login, str(north)), (eve.login, str(north))]
    assert listed(firm, north, subtree=True, login=eve.login) == [(eve.login, str(north))]


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"state": "gone"}, 422),
        ({"cursor": "x"}, 422),
        ({"cursor": "YWJj"}, 422),
        ({"login": "\u0000"}, 422),
        ({"limit": 0}, 422),
        ({"role": "NO"}, 404),
    ],
)
def test_filters_that_mean_nothing_are_refused(
    firm: Firm, wanted: dict[str, Any], status: int
) -> None:
    answer = firm.ask("GET", f"{firm.root}/members", params=wanted)
    problem_of(answer, status)


def test_who_is_a_member_further_up_alone_is_none_here(firm: Firm) -> None:
    north = firm.put("North")
    for method, path in (
        ("GET", at(north, firm.ada)),
        ("PATCH", at(north, firm.ada)),
        ("DELETE", at(north, firm.ada)),
        ("PUT", at(north, firm.ada, "staff")),
        ("DELETE", at(north, firm.ada, "staff")),
    ):
        body: dict[str, Any] | None = {} if method == "PATCH" else None
        assert problem_of(firm.ask(method, path, json=body), 404) == "not_found"


# Changing.


def test_what_a_patch_names_is_replaced_and_recorded_once(firm: Firm) -> None:
    bob, root = firm.member(firm.root, "staff"), firm.desk.root()
    before = shown(firm, firm.root, bob)
    fields = {"plan": "gold", "scopes": ["b", "a"], "state": "suspended"}
    for _ in range(2):
        answer = firm.ask("PATCH", at(firm.root, bob), json=fields, headers=root)
        assert answer.status_code == 200
        changed = {"plan": "gold", "scopes": ["a", "b"], "state": "suspended"}
        assert answer.json() == before | changed | {"updated_at": answer.json()["updated_at"]}
        assert answer.json() == shown(firm, firm.root, bob)
    answer = firm.ask("PATCH", at(firm.root, bob), json={"plan": None}, headers=root)
    assert answer.json()["plan"] is None
    back, forth = firm.events(firm.root, tag="tenancy:membership:updated")
    assert forth["after"] | {"roles": []} == {
        "user_id": str(bob.id),
        "state": "suspended",
        "roles": [],
        "plan": "gold",
        "scopes": ["a", "b"],
    }
    assert (forth["before"]["plan"], forth["before"]["scopes"]) == (None, [])
    assert (back["before"]["plan"], back["after"]["plan"]) == ("gold", None)
    assert firm.trails(firm.root) == {firm.tenant}


def test_a_suspended_member_has_nothing_by_it_until_he_is_active_again(firm: Firm) -> None:
    bob = firm.member(firm.root, "staff")
    path = at(firm.root, bob)
    assert firm.ask("PATCH", path, json={"state": "suspended"}).status_code == 200
    login = firm.desk.login(bob.login, organization=str(firm.root))
    assert problem_of(login, 403) == "not_a_member"
    assert firm.ask("PATCH", path, json={"state": "active"}).status_code == 200
    assert firm.desk.claims(firm.speak(bob, firm.root)).roles == ("staff",)


def test_a_removed_member_is_gone_with_his_roles(firm: Firm) -> None:
    bob = firm.member(firm.root, "staff")
    assert firm.ask("DELETE", at(firm.root, bob)).status_code == 204
    assert problem_of(firm.ask("DELETE", at(firm.root, bob)), 404) == "not_found"
    (event,) = firm.events(firm.root, tag="tenancy:membership:deleted")
    assert (event["before"]["roles"], event["after"]) == (["staff"], None)
    assert add(firm, firm.root, bob, firm.desk.root()).json()["roles"] == []


def test_giving_and_taking_a_role_twice_is_the_same_as_once(firm: Firm) -> None:
    bob, headers = firm.member(firm.root), firm.desk.root()
    for method in ("PUT", "DELETE"):
        for _ in range(2):
            answer = firm.ask(method, at(firm.root, bob, "staff"), headers=headers)
            assert (answer.status_code, answer.content) == (204, b"")
    taken, given, *_ = firm.desk.events(target=f"user:{bob.id}")
    where = {"role": "staff", "organization": str(firm.root)}
    assert (given["tag"], given["after"]) == ("access:role:assigned", where)
    assert (taken["tag"], taken["before"]) == ("access:role:unassigned", where)
    assert taken["after"] is None
    assert firm.trails(f"user:{bob.id}") == {None, firm.tenant}  # he was hired by the platform


def test_a_role_is_inherited_downwards_if_it_says_so(firm: Firm) -> None:
    north, bob = firm.put("North"), firm.desk.hire()
    assert add(firm, firm.root, bob, firm.desk.root(), roles=["staff"]).status_code == 201
    refused = firm.desk.login(bob.login, organization=str(north))
    assert problem_of(refused, 403) == "not_a_member"
    assert firm.ask("PUT", at(firm.root, bob, "admin")).status_code == 204
    assert firm.desk.claims(firm.speak(bob, north)).roles == ("admin",)
    assert firm.desk.claims(firm.speak(bob, firm.root)).roles == ("admin", "staff")


def test_superuser_is_given_to_nobody_in_an_organization(firm: Firm) -> None:
    bob, root = firm.member(firm.root), firm.desk.root()
    given = firm.ask("PUT", at(firm.root, bob, "superuser"), headers=root)
    assert problem_of(given, 409) == "protected"
    added = add(firm, firm.root, firm.desk.hire(), root, roles=["superuser"])
    assert problem_of(added, 409) == "protected"


def test_a_token_that_speaks_for_another_tenant_finds_nothing(firm: Firm) -> None:
    bob, other = firm.member(firm.root), Firm(firm.desk)
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"{firm.root}/members", {}),
        ("POST", f"{firm.root}/members", {"json": {"user_id": str(other.ada.id)}}),
        ("GET", at(firm.root, bob), {}),
        ("PATCH", at(firm.root, bob), {"json": {"state": "suspended"}}),
        ("DELETE", at(firm.root, bob), {}),
        ("PUT", at(firm.root, bob, "staff"), {}),
        ("DELETE", at(firm.root, bob, "staff"), {}),
    ]
    for method, path, options in requests:
        answer = firm.ask(method, path, headers=other.above, **options)
        assert problem_of(answer, 404) == "not_found"
