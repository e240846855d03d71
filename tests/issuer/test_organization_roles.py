"""Roles of organizations over real HTTP, on both databases."""

from __future__ import annotations

import uuid
from itertools import count
from typing import Any

import httpx
import pytest
from msgspec import Struct

from support.desk import Desk, Person, bearer, problem_of
from support.tenants import insert_membership, insert_organization, insert_tenant

_numbers = count(1)


class Acme(Struct):
    """A customer: its root, the works below it, a shop below the works; and somebody else's."""

    desk: Desk
    tag: str
    """Nothing else on the shared desk is called like this."""
    tenant: uuid.UUID
    root: uuid.UUID
    works: uuid.UUID
    shop: uuid.UUID
    stranger: uuid.UUID
    """The root of another tenant."""
    admin: Person
    headers: dict[str, str]
    """Of the administrator of the root."""

    def member(self, organization: uuid.UUID, *roles: str, person: Person | None = None) -> Person:
        """Return somebody who has *roles* in the organization."""
        hired = person or self.desk.hire()
        issuer = self.desk.issuer
        self.desk.run(insert_membership(issuer, organization, hired.id, *roles))
        return hired

    def tokens(self, person: Person, organization: uuid.UUID | None) -> dict[str, Any]:
        """Log in to an organization, or to none."""
        named = None if organization is None else str(organization)
        return self.desk.tokens(person.login, organization=named)

    def sign_in(self, person: Person, organization: uuid.UUID) -> dict[str, str]:
        return bearer(self.tokens(person, organization))

    def ask(
        self,
        method: str,
        organization: uuid.UUID,
        role: str = "",
        *,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """Make a request about roles in an organization; as its administrator, by default."""
        path = f"/v1/organizations/{organization}/roles{role and f'/{role}'}"
        return self.desk.http.request(method, path, headers=headers or self.headers, **options)

    def make(self, organization: uuid.UUID, name: str, **fields: Any) -> dict[str, Any]:
        """Create a role as the administrator."""
        answer = self.ask("POST", organization, json={"name": name, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def works_for(self, tokens: dict[str, Any]) -> bool:
        """Say whether a token is still good."""
        answer = self.desk.http.get("/v1/me", headers=bearer(tokens))
        if answer.status_code == 200:
            return True
        assert problem_of(answer, 401) == "revoked_token"
        return False


@pytest.fixture
def acme(desk: Desk) -> Acme:
    issuer, run, tag = desk.issuer, desk.run, f"acme{next(_numbers)}"
    permissions = {f"{tag}.read": "See", f"{tag}.write": "Change"}
    body = {"service": tag, "version": "1", "permissions": permissions}
    assert desk.as_root("PUT", f"/v1/services/{tag}", json=body).status_code == 201
    everything = {"name": f"{tag}-all", "allow": [f"{tag}.*"], "inherited": True}
    assert desk.as_root("POST", "/v1/roles", json=everything).status_code == 201
    tenant, root = run(insert_tenant(issuer, tag))
    works = run(insert_organization(issuer, tenant, "Works", root))
    shop = run(insert_organization(issuer, tenant, "Shop", works))
    _, stranger = run(insert_tenant(issuer, f"{tag} stranger"))
    admin = desk.hire()
    run(insert_membership(issuer, root, admin.id, "admin", f"{tag}-all"))
    headers = bearer(desk.tokens(admin.login, organization=str(root)))
    return Acme(desk, tag, tenant, root, works, shop, stranger, admin, headers)


def fields_of(answer: httpx.Response) -> list[str]:
    return [error["field"] for error in answer.json().get("errors", [])]


def everything(desk: Desk, path: str, *, limit: int) -> list[dict[str, Any]]:
    """Return a whole list of the platform's, page by page."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = desk.as_root("GET", path, params={"limit": limit, **cursor}).json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


def test_a_role_of_an_organization_is_made_shown_changed_and_deleted(acme: Acme) -> None:
    name = f"{acme.tag}-clerk"
    body = {"name": name, "description": "At the counter", "allow": [f"{acme.tag}.read"]}
    made = acme.ask("POST", acme.works, json=body)
    assert made.status_code == 201
    assert made.headers["location"] == f"/v1/organizations/{acme.works}/roles/{name}"
    role = made.json()
    assert (role["organization_id"], role["inherited"]) == (str(acme.works), False)
    assert (role["system"], role["allow"], role["deny"]) == (False, [f"{acme.tag}.read"], [])
    for reference in (name, role["id"]):
        assert acme.ask("GET", acme.works, reference).json() == role
    clerk = acme.member(acme.works, name)
    tokens = acme.tokens(clerk, acme.works)
    assert acme.desk.claims(tokens, acme.tag).permissions == (f"{acme.tag}.read",)
    patch = {"allow": [f"{acme.tag}.*"], "description": "All of it"}
    patched = acme.ask("PATCH", acme.works, name, json=patch)
    assert patched.status_code == 200
    assert (patched.json()["allow"], patched.json()["description"]) == (
        [f"{acme.tag}.*"],
        "All of it",
    )
    renewed = acme.desk.renewed(tokens["refresh_token"])
    assert acme.desk.claims(renewed, acme.tag).permissions == (f"{acme.tag}.*",)
    deleted = acme.ask("DELETE", acme.works, name)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert problem_of(acme.ask("GET", acme.works, name), 404) == "not_found"
    renewed = acme.desk.renewed(renewed["refresh_token"])
    assert acme.desk.claims(renewed, acme.tag).roles == ()


def test_the_list_shows_what_can_be_given_there(acme: Acme) -> None:
    made = {
        place: acme.make(organization, f"{acme.tag}-{place}")["id"]
        for place, organization in (("r", acme.root), ("w", acme.works), ("s", acme.shop))
    }
    other = acme.desk.as_root(
        "POST", f"/v1/organizations/{acme.stranger}/roles", json={"name": f"{acme.tag}-x"}
    )
    assert other.status_code == 201
    listed = acme.ask("GET", acme.works, params={"limit": 200}).json()["items"]
    of_organizations = {item["id"] for item in listed if item["organization_id"] is not None}
    assert of_organizations == {made["r"], made["w"]}
    for_all = {item["name"] for item in listed if item["organization_id"] is None}
    assert {"admin", "staff", "member", f"{acme.tag}-all"} <= for_all
    assert "superuser" not in for_all
    assert [item["name"] for item in listed] == sorted(item["name"] for item in listed)
    for hidden in ("superuser", made["s"], f"{acme.tag}-x", other.json()["id"]):
        assert problem_of(acme.ask("GET", acme.works, hidden), 404) == "not_found"
    first = acme.ask("GET", acme.works, params={"limit": 1}).json()
    second = acme.ask("GET", acme.works, params={"limit": 1, "cursor": first["next_cursor"]})
    assert [*first["items"], *second.json()["items"]] == listed[:2]


def test_the_platforms_routes_know_nothing_of_them(acme: Acme) -> None:
    desk, role = acme.desk, acme.make(acme.works, f"{acme.tag}-clerk")
    for reference in (role["id"], role["name"]):
        for method, path in (
            ("GET", f"/v1/roles/{reference}"),
            ("GET", f"/v1/roles/{reference}/members"),
            ("DELETE", f"/v1/roles/{reference}"),
            ("PUT", f"/v1/users/{acme.admin.id}/roles/{reference}"),
            ("DELETE", f"/v1/users/{acme.admin.id}/roles/{reference}"),
        ):
            assert problem_of(desk.as_root(method, path), 404) == "not_found", path
    names = [item["name"] for item in everything(desk, "/v1/roles", limit=200)]
    assert role["name"] not in names
    assert f"{acme.tag}-all" in names


def test_the_platforms_administrators_may_do_the_same(acme: Acme) -> None:
    path = f"/v1/organizations/{acme.works}/roles"
    body = {"name": f"{acme.tag}-clerk", "allow": [f"{acme.tag}.read"]}
    made = acme.desk.as_root("POST", path, json=body)
    assert made.status_code == 201
    assert acme.ask("GET", acme.works, made.json()["id"]).json() == made.json()
    target = f"role:{acme.tag}-clerk"
    (event,) = acme.desk.events(target=target)
    assert event["after"]["organization_id"] == str(acme.works)
    unknown = f"/v1/organizations/{uuid.uuid4()}/roles"
    assert problem_of(acme.desk.as_root("GET", unknown), 404) == "not_found"
    assert problem_of(acme.desk.as_root("POST", unknown, json=body), 404) == "not_found"


ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("POST", "", {"name": "foreign"}),
    ("GET", "{role}", None),
    ("PATCH", "{role}", {"description": "Mine"}),
    ("DELETE", "{role}", None),
    ("POST", "{role}/clone", {"name": "foreign"}),
    ("GET", "{role}/members", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_who_has_no_rights_there_does_not_learn_that_it_exists(
    acme: Acme, method: str, path: str, body: Any
) -> None:
    role = acme.make(acme.works, f"{acme.tag}-clerk", allow=[f"{acme.tag}.read"])
    stranger = acme.member(acme.stranger, "admin")
    sister = acme.desk.run(insert_organization(acme.desk.issuer, acme.tenant, "Sister", acme.root))
    neighbour = acme.member(sister, "admin")
    for headers in (acme.sign_in(stranger, acme.stranger), acme.sign_in(neighbour, sister)):
        answer = acme.ask(
            method, acme.works, path.format(role=role["id"]), headers=headers, json=body
        )
        assert problem_of(answer, 404) == "not_found"
    # One who is in it, and may look elsewhere, is told what is missing.
    clerk = acme.member(acme.works, role["name"])
    acme.member(sister, "admin", person=clerk)
    headers = acme.sign_in(clerk, sister)
    answer = acme.ask(method, acme.works, path.format(role=role["id"]), headers=headers, json=body)
    assert problem_of(answer, 403) == "permission_denied"
    assert answer.json()["missing"] == ["iam.roles.read" if method == "GET" else "iam.roles.write"]
    assert acme.ask("GET", acme.works, role["id"]).json() == role


def test_nobody_grants_what_he_does_not_hold_there(acme: Acme) -> None:
    local = acme.sign_in(acme.member(acme.works, "admin"), acme.works)
    name = f"{acme.tag}-clerk"
    body = {"name": name, "allow": [f"{acme.tag}.read", "iam.users.read"]}
    refused = acme.ask("POST", acme.works, headers=local, json=body)
    assert problem_of(refused, 403) == "grant_exceeds_own"
    assert refused.json()["missing"] == [f"{acme.tag}.read"]
    (event,) = acme.desk.events(target=f"role:{name}", outcome="refused")
    assert event["after"] == {"code": "grant_exceeds_own", "missing": [f"{acme.tag}.read"]}
    body["allow"] = ["iam.users.read"]
    assert acme.ask("POST", acme.works, headers=local, json=body).status_code == 201
    more = {"allow": ["iam.users.read", f"{acme.tag}.write"]}
    refused = acme.ask("PATCH", acme.works, name, headers=local, json=more)
    assert problem_of(refused, 403) == "grant_exceeds_own"
    denied = {"deny": [f"{acme.tag}.write"]}
    refused = acme.ask("PATCH", acme.works, name, headers=local, json=denied)
    assert problem_of(refused, 403) == "grant_exceeds_own"
    cloned = {"name": f"{acme.tag}-copy"}
    refused = acme.ask("POST", acme.works, f"{acme.tag}-all/clone", headers=local, json=cloned)
    assert problem_of(refused, 403) == "grant_exceeds_own"


def test_who_administers_one_organization_alone_makes_nothing_that_counts_below(
    acme: Acme,
) -> None:
    desk, own = acme.desk, f"{acme.tag}-own"
    desk.as_root("POST", "/v1/roles/admin/clone", json={"name": own, "inherited": False})
    local = acme.sign_in(acme.member(acme.works, own), acme.works)
    body = {"name": f"{acme.tag}-a", "allow": ["iam.users.read"], "inherited": True}
    refused = acme.ask("POST", acme.works, headers=local, json=body)
    assert problem_of(refused, 403) == "grant_exceeds_own"
    body["inherited"] = False
    assert acme.ask("POST", acme.works, headers=local, json=body).status_code == 201
    path = f"{acme.tag}-a"
    inherited = acme.ask("PATCH", acme.works, path, headers=local, json={"inherited": True})
    assert problem_of(inherited, 403) == "grant_exceeds_own"
    more = {"allow": ["iam.users.read", "iam.users.write"]}
    assert acme.ask("PATCH", acme.works, path, headers=local, json=more).status_code == 200
    # Given to somebody further down, it counts there.
    holder = acme.member(acme.shop, path)
    less: dict[str, Any] = {"allow": []}
    for change in ({"allow": ["iam.audit.read"]}, less):
        refused = acme.ask("PATCH", acme.works, path, headers=local, json=change)
        assert problem_of(refused, 403) == "grant_exceeds_own"
    shown = acme.ask("GET", acme.works, f"{path}/members", headers=local).json()["items"]
    assert shown == []
    (seen,) = acme.ask("GET", acme.works, f"{path}/members").json()["items"]
    assert (seen["user_id"], seen["login"]) == (str(holder.id), holder.login)
    assert (seen["organization_id"], seen["granted_by"]) == (str(acme.shop), None)
    assert acme.ask("PATCH", acme.works, path, json=less).status_code == 200


def test_everything_belongs_to_superusers_and_a_grant_is_in_the_catalogue(acme: Acme) -> None:
    for body, code, fields in (
        ({"allow": ["*"]}, "validation_failed", ["allow[0]"]),
        ({"deny": ["*"]}, "validation_failed", ["deny[0]"]),
        ({"allow": ["absent.read"]}, "unknown_permission", ["allow"]),
        ({"organization_id": str(acme.root)}, "validation_failed", ["organization_id"]),
        ({"inherited": "yes"}, "validation_failed", ["inherited"]),
    ):
        answer = acme.ask("POST", acme.works, json={"name": f"{acme.tag}-clerk", **body})
        assert (problem_of(answer, 422), fields_of(answer)) == (code, fields)
    cloned = {"name": f"{acme.tag}-copy"}
    answer = acme.ask("POST", acme.works, "superuser/clone", json=cloned)
    assert problem_of(answer, 404) == "not_found"
    answer = acme.desk.as_root("POST", "/v1/roles/superuser/clone", json=cloned)
    assert problem_of(answer, 409) == "protected"


def test_a_name_is_one_roles_in_a_tenant_and_nobodys_of_those_for_all(acme: Acme) -> None:
    desk, name = acme.desk, f"{acme.tag}-clerk"
    acme.make(acme.shop, name)
    again = acme.ask("POST", acme.root, json={"name": name})
    assert (problem_of(again, 409), fields_of(again)) == ("name_taken", ["name"])
    for_all = acme.ask("POST", acme.root, json={"name": f"{acme.tag}-all"})
    assert problem_of(for_all, 409) == "name_taken"
    acme.make(acme.shop, f"{acme.tag}-other")
    renamed = acme.ask("PATCH", acme.shop, f"{acme.tag}-other", json={"name": name})
    assert problem_of(renamed, 409) == "name_taken"
    elsewhere = f"/v1/organizations/{acme.stranger}/roles"
    assert desk.as_root("POST", elsewhere, json={"name": name}).status_code == 201
    assert problem_of(desk.as_root("POST", "/v1/roles", json={"name": name}), 409) == "name_taken"
    free = {"name": f"{acme.tag}-free"}
    assert desk.as_root("POST", "/v1/roles", json=free).status_code == 201
    taken = desk.as_root("PATCH", f"/v1/roles/{acme.tag}-free", json={"name": name})
    assert problem_of(taken, 409) == "name_taken"
    moved = acme.ask("PATCH", acme.shop, f"{acme.tag}-other", json={"name": f"{acme.tag}-new"})
    assert moved.json()["name"] == f"{acme.tag}-new"


def test_only_the_organizations_own_are_changed_there(acme: Acme) -> None:
    name = f"{acme.tag}-clerk"
    acme.make(acme.root, name)
    for role in (name, "staff", f"{acme.tag}-all"):
        changed = acme.ask("PATCH", acme.works, role, json={"description": "Mine"})
        assert problem_of(changed, 409) == "protected"
        assert problem_of(acme.ask("DELETE", acme.works, role), 409) == "protected"
    assert problem_of(acme.ask("DELETE", acme.works, "superuser"), 404) == "not_found"


def test_only_the_sessions_concerned_lose_their_tokens(acme: Acme) -> None:
    name = f"{acme.tag}-clerk"
    acme.make(acme.root, name, allow=[f"{acme.tag}.read"])
    clerk, colleague = acme.member(acme.works, name), acme.member(acme.works)
    acme.member(acme.root, person=clerk)
    acme.member(acme.shop, name, person=colleague)
    concerned = [acme.tokens(clerk, acme.works), acme.tokens(colleague, acme.shop)]
    others = [
        *(acme.tokens(clerk, acme.root), acme.tokens(clerk, None)),
        acme.tokens(colleague, acme.works),
    ]

    def good() -> list[bool]:
        return [acme.works_for(tokens) for tokens in (*concerned, *others)]

    described = acme.ask("PATCH", acme.root, name, json={"description": "Only words"})
    assert described.status_code == 200
    assert good() == [True, True, True, True, True]
    acme.ask("PATCH", acme.root, name, json={"allow": [f"{acme.tag}.*"]})
    assert good() == [False, False, True, True, True]
    concerned = [acme.desk.renewed(tokens["refresh_token"]) for tokens in concerned]
    # Nothing changed, nobody notices.
    acme.ask("PATCH", acme.root, name, json={"allow": [f"{acme.tag}.*"]})
    assert good() == [True, True, True, True, True]
    acme.ask("PATCH", acme.root, name, json={"name": f"{name}s"})
    assert good() == [False, False, True, True, True]
    concerned = [acme.desk.renewed(tokens["refresh_token"]) for tokens in concerned]
    assert acme.ask("DELETE", acme.root, f"{name}s").status_code == 204
    assert good() == [False, False, True, True, True]
    (event, *_) = acme.desk.events(target=f"role:{name}s", tag="access:role:deleted")
    assert event["before"]["members"] == 2


def test_being_inherited_or_not_concerns_those_below_alone(acme: Acme) -> None:
    name = f"{acme.tag}-clerk"
    acme.make(acme.root, name, allow=[f"{acme.tag}.read"])
    clerk = acme.member(acme.works, name)
    acme.member(acme.shop, person=clerk)
    here, below = acme.tokens(clerk, acme.works), acme.tokens(clerk, acme.shop)
    assert acme.desk.claims(below, acme.tag).permissions == ()
    for inherited, permissions in ((True, (f"{acme.tag}.read",)), (False, ())):
        answer = acme.ask("PATCH", acme.root, name, json={"inherited": inherited})
        assert answer.json()["inherited"] is inherited
        assert (acme.works_for(here), acme.works_for(below)) == (True, False)
        below = acme.desk.renewed(below["refresh_token"])
        assert acme.desk.claims(below, acme.tag).permissions == permissions
    acme.ask("PATCH", acme.root, name, json={"inherited": True})
    below = acme.desk.renewed(below["refresh_token"])
    acme.ask("PATCH", acme.root, name, json={"allow": []})
    assert (acme.works_for(here), acme.works_for(below)) == (False, False)


@pytest.mark.parametrize("act", ["patch", "delete"])
def test_who_stood_below_by_a_role_alone_stands_there_no_longer(acme: Acme, act: str) -> None:
    name = f"{acme.tag}-visitor"
    acme.make(acme.root, name, inherited=True)
    visitor = acme.member(acme.root, name)
    here, below = acme.tokens(visitor, acme.root), acme.tokens(visitor, acme.shop)
    if act == "patch":
        acme.ask("PATCH", acme.root, name, json={"inherited": False})
    else:
        acme.ask("DELETE", acme.root, name)
    assert (acme.works_for(here), acme.works_for(below)) == (act == "patch", False)
    refreshed = acme.desk.refresh(below["refresh_token"])
    assert problem_of(refreshed, 403) == "not_a_member"


def test_a_role_for_all_changes_for_its_members_too(acme: Acme) -> None:
    desk, name = acme.desk, f"{acme.tag}-clerk"
    body = {"name": name, "allow": [f"{acme.tag}.read"]}
    desk.as_root("POST", "/v1/roles", json=body)
    everywhere, member = desk.hire(name), acme.member(acme.works, name)
    acme.member(acme.root, person=member)
    acme.member(acme.root, person=everywhere)
    concerned = [
        *(acme.tokens(everywhere, None), acme.tokens(everywhere, acme.root)),
        acme.tokens(member, acme.works),
    ]
    spared = [acme.tokens(member, acme.root), acme.tokens(member, None)]
    desk.as_root("PATCH", f"/v1/roles/{name}", json={"inherited": True})
    assert all(map(acme.works_for, concerned))
    desk.as_root("PATCH", f"/v1/roles/{name}", json={"inherited": False})
    desk.as_root("PATCH", f"/v1/roles/{name}", json={"allow": []})
    assert not any(map(acme.works_for, concerned))
    assert all(map(acme.works_for, spared))
    shown = desk.as_root("GET", f"/v1/roles/{name}/members").json()["items"]
    assert [(item["user_id"], item["organization_id"]) for item in shown] == [
        (str(everywhere.id), None),
        (str(member.id), str(acme.works)),
    ]
    assert desk.as_root("DELETE", f"/v1/roles/{name}").status_code == 204
    (event,) = desk.events(target=f"role:{name}", tag="access:role:deleted")
    assert event["before"]["members"] == 2


def test_members_of_a_role_come_in_pages(acme: Acme) -> None:
    desk, name = acme.desk, f"{acme.tag}-clerk"
    desk.as_root("POST", "/v1/roles", json={"name": name})
    people = [desk.hire(name), desk.hire(name)]
    for organization in (acme.root, acme.works, acme.stranger):
        acme.member(organization, name, person=people[0])
    acme.member(acme.shop, name, person=people[1])
    listed = everything(desk, f"/v1/roles/{name}/members", limit=1)
    found = [(item["user_id"], item["organization_id"]) for item in listed]
    ada, bob = (str(person.id) for person in people)
    places = sorted(map(str, (acme.root, acme.works, acme.stranger)))
    assert found == [
        (ada, None),
        *((ada, place) for place in places),
        (bob, None),
        (bob, str(acme.shop)),
    ]
    here = acme.ask("GET", acme.works, f"{name}/members").json()["items"]
    assert [(item["user_id"], item["organization_id"]) for item in here] == [
        (ada, str(acme.works)),
        (bob, str(acme.shop)),
    ]
    for bad in ("bm9uc2Vuc2U", "YS9i"):  # nonsense, a/b
        refused = acme.ask("GET", acme.works, f"{name}/members", params={"cursor": bad})
        assert (problem_of(refused, 422), fields_of(refused)) == ("validation_failed", ["cursor"])


def test_a_clone_grants_the_same_and_goes_its_own_way(acme: Acme) -> None:
    name = f"{acme.tag}-clerk"
    grants = {"allow": [f"{acme.tag}.*"], "deny": [f"{acme.tag}.write"]}
    acme.make(acme.root, name, description="At the counter", inherited=True, **grants)
    cloned = acme.ask("POST", acme.shop, f"{name}/clone", json={"name": f"{name}-2"})
    assert cloned.status_code == 201
    assert cloned.headers["location"] == f"/v1/organizations/{acme.shop}/roles/{name}-2"
    copy = cloned.json()
    assert (copy["allow"], copy["deny"]) == (grants["allow"], grants["deny"])
    assert (copy["description"], copy["inherited"]) == ("At the counter", True)
    assert copy["organization_id"] == str(acme.shop)
    other = {"name": f"{name}-3", "description": "Mine", "inherited": False}
    copy = acme.ask("POST", acme.works, "staff/clone", json=other).json()
    assert (copy["description"], copy["inherited"], copy["system"]) == ("Mine", False, False)
    assert acme.ask("DELETE", acme.root, name).status_code == 204
    assert acme.ask("GET", acme.shop, f"{name}-2").status_code == 200
    taken = acme.ask("POST", acme.shop, f"{name}-2/clone", json={"name": f"{name}-3"})
    assert problem_of(taken, 409) == "name_taken"
    bad = acme.ask("POST", acme.shop, f"{name}-2/clone", json={"name": "Ä", "description": "\n"})
    assert (problem_of(bad, 422), fields_of(bad)) == ("validation_failed", ["name"])
    missing = acme.ask("POST", acme.shop, "absent/clone", json={"name": f"{name}-4"})
    assert problem_of(missing, 404) == "not_found"


def test_a_role_for_all_is_cloned(acme: Acme) -> None:
    desk, name = acme.desk, f"{acme.tag}-admins"
    body = {"name": name, "description": "Ours"}
    cloned = desk.as_root("POST", "/v1/roles/admin/clone", json=body)
    assert cloned.status_code == 201
    assert cloned.headers["location"] == f"/v1/roles/{name}"
    copy = cloned.json()
    assert (copy["allow"], copy["inherited"], copy["system"]) == (["iam.*"], True, False)
    assert (copy["organization_id"], copy["description"]) == (None, "Ours")
    bad = desk.as_root(
        "POST", "/v1/roles/admin/clone", json={"name": f"{name}-2", "description": "a\u0000"}
    )
    assert (problem_of(bad, 422), fields_of(bad)) == ("validation_failed", ["description"])


def test_who_holds_more_is_not_put_out_of_office_by_changing_a_role(acme: Acme) -> None:
    desk = acme.desk
    keeper = acme.make(acme.works, f"{acme.tag}-keeper", allow=["iam.roles.*"], inherited=True)
    name = f"{acme.tag}-auditor"
    acme.make(acme.works, name, allow=["iam.audit.read", "iam.roles.read"])
    acme.member(acme.works, name, "admin")
    headers = acme.sign_in(acme.member(acme.works, keeper["name"]), acme.works)
    less = {"allow": ["iam.audit.read"]}
    refused = acme.ask("PATCH", acme.works, name, headers=headers, json=less)
    assert problem_of(refused, 403) == "grant_exceeds_own"
    assert refused.json()["missing"] == ["iam.*", "iam.audit.read"]
    refused = acme.ask("DELETE", acme.works, name, headers=headers)
    assert problem_of(refused, 403) == "grant_exceeds_own"
    described = acme.ask("PATCH", acme.works, name, headers=headers, json={"description": "x"})
    assert described.status_code == 200
    assert acme.ask("DELETE", acme.works, name).status_code == 204
    # Nor is his account taken over by an administrator of the platform who holds less.
    helper = f"{acme.tag}-helper"
    desk.as_root("POST", "/v1/roles", json={"name": helper, "allow": ["iam.users.write"]})
    reset = desk.http.patch(
        f"/v1/users/{acme.admin.id}",
        json={"login": f"{acme.tag}-mine-now@example.com"},
        headers=bearer(desk.tokens(desk.hire(helper).login)),
    )
    assert problem_of(reset, 403) == "grant_exceeds_own"
    assert reset.json()["missing"] == ["iam.*"]


def test_a_superuser_is_denied_nothing_in_an_organization_either(acme: Acme) -> None:
    desk, name = acme.desk, f"{acme.tag}-clerk"
    acme.make(acme.works, name, allow=[f"{acme.tag}.read"])
    boss = acme.member(acme.works, name, person=desk.hire("superuser"))
    refused = acme.ask("PATCH", acme.works, name, json={"deny": [f"{acme.tag}.write"]})
    assert (problem_of(refused, 409), fields_of(refused)) == ("protected", ["deny"])
    assert desk.as_root("DELETE", f"/v1/users/{boss.id}/roles/superuser").status_code == 204
    answer = acme.ask("PATCH", acme.works, name, json={"deny": [f"{acme.tag}.write"]})
    assert answer.status_code == 200
    raised = desk.as_root("PUT", f"/v1/users/{boss.id}/roles/superuser")
    assert (problem_of(raised, 409), fields_of(raised)) == ("protected", ["role"])


def test_somebody_administers_the_tenant(acme: Acme) -> None:
    desk, name = acme.desk, f"{acme.tag}-owner"
    acme.make(acme.root, f"{name}-2", allow=["iam.*"], inherited=True)
    _, root = desk.run(insert_tenant(desk.issuer, f"{acme.tag} two"))
    made = desk.as_root(
        "POST",
        f"/v1/organizations/{root}/roles",
        json={"name": name, "allow": ["iam.*"], "inherited": True},
    )
    assert made.status_code == 201
    owner = desk.hire()
    desk.run(insert_membership(desk.issuer, root, owner.id, name))
    headers = acme.sign_in(owner, root)
    less = acme.ask("PATCH", root, name, headers=headers, json={"allow": ["iam.roles.*"]})
    assert problem_of(less, 409) == "last_administrator"
    assert problem_of(acme.ask("DELETE", root, name, headers=headers), 409) == "last_administrator"
    assert acme.ask("GET", root, name, headers=headers).json()["allow"] == ["iam.*"]
    # In the other tenant there is another administrator.
    assert acme.ask("DELETE", acme.root, f"{name}-2").status_code == 204


def test_what_tenants_roles_name_stays_in_the_catalogue(acme: Acme) -> None:
    desk, name = acme.desk, f"{acme.tag}-clerk"
    acme.make(acme.works, name, allow=[f"{acme.tag}.read"])
    used = desk.as_root("DELETE", f"/v1/permissions/{acme.tag}.read")
    assert problem_of(used, 409) == "in_use"
    body = {"service": acme.tag, "version": "2", "permissions": {f"{acme.tag}.write": "Change"}}
    path = f"/v1/services/{acme.tag}"
    planned = desk.as_root("PUT", path, params={"dry_run": True}, json=body)
    assert planned.json()["changes"]["deprecated"] == {f"{acme.tag}.read": [name]}
    holder, other = acme.member(acme.works, name), acme.member(acme.works)
    acme.member(acme.root, person=holder)
    mine = [acme.tokens(holder, acme.works), acme.tokens(holder, acme.root)]
    assert desk.as_root("PUT", path, json=body).json()["changes"] == planned.json()["changes"]
    assert [acme.works_for(tokens) for tokens in mine] == [False, True]
    assert acme.works_for(acme.tokens(other, acme.works))
    assert problem_of(desk.as_root("DELETE", path), 409) == "in_use"


def test_a_wildcard_that_is_broken_up_somewhere_is_read_again_there(acme: Acme) -> None:
    desk, tag = acme.desk, acme.tag
    spare = {"name": f"{tag}.spare", "service": tag}
    desk.as_root("POST", "/v1/permissions", json=spare)
    acme.make(acme.works, f"{tag}-not", deny=[f"{tag}.write"])
    acme.make(acme.works, f"{tag}-most", allow=[f"{tag}.*"], deny=[f"{tag}.write"])
    anywhere, here = desk.hire(f"{tag}-all"), acme.member(acme.works, f"{tag}-most")
    acme.member(acme.works, f"{tag}-not", person=anywhere)
    acme.member(acme.root, f"{tag}-all", person=anywhere)
    broken = [acme.tokens(anywhere, acme.works), acme.tokens(here, acme.works)]
    whole = [
        *(acme.tokens(anywhere, acme.root), acme.tokens(anywhere, None)),
        acme.tokens(acme.admin, acme.works),
    ]
    for tokens in broken:
        assert f"{tag}.spare" in desk.claims(tokens, tag).permissions
    assert desk.as_root("DELETE", f"/v1/permissions/{tag}.spare").status_code == 204
    assert [acme.works_for(tokens) for tokens in broken] == [False, False]
    assert [acme.works_for(tokens) for tokens in whole] == [True, True, True]


def test_the_catalogue_is_read_within_an_organization(acme: Acme) -> None:
    http = acme.desk.http
    listed = http.get("/v1/permissions", headers=acme.headers, params={"limit": 200})
    assert listed.status_code == 200
    one = http.get(f"/v1/permissions/{acme.tag}.read", headers=acme.headers)
    assert one.json()["description"] == "See"
    body = {"name": f"{acme.tag}.more"}
    assert problem_of(http.post("/v1/permissions", headers=acme.headers, json=body), 403) == (
        "platform_only"
    )
    assert problem_of(http.get("/v1/roles", headers=acme.headers), 403) == "platform_only"


def test_what_was_done_is_in_the_tenants_trail(acme: Acme) -> None:
    name = f"{acme.tag}-clerk"
    made = acme.make(acme.works, name, allow=[f"{acme.tag}.read"])
    acme.ask("PATCH", acme.works, made["id"], json={"allow": []})
    acme.ask("DELETE", acme.works, name)
    deleted, updated, created = acme.desk.events(target=f"role:{name}")
    assert created["after"] == updated["before"]
    assert created["after"] == {
        "name": name,
        "description": "",
        "allow": [f"{acme.tag}.read"],
        "deny": [],
        "inherited": False,
        "organization_id": str(acme.works),
    }
    assert updated["after"]["allow"] == []
    assert deleted["before"] == {**updated["after"], "members": 0}
    assert {event["actor_id"] for event in (created, updated, deleted)} == {str(acme.admin.id)}
