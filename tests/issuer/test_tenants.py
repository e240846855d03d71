"""Tenants over real HTTP: by the platform's administrators, and by their own; both databases."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import httpx
import pytest
from msgspec import Struct

from support.desk import Desk, Person, bearer, problem_of
from support.lists import bit_in, place_of
from support.tenants import insert_membership, insert_organization

TENANTS = "/v1/tenants"
BRANDING = {
    "display_name": "Acme & Söhne",
    "logo_url": "https://cdn.example.com/logo.svg?v=2",
    "icon_url": None,
    "primary_color": "#0B5FFF",
    "background_color": None,
    "text_color": None,
    "support_email": "help@example.com",
    "support_url": None,
    "privacy_url": None,
    "terms_url": "https://example.com/terms",
}

_numbers = count(1)


def new_name() -> str:
    """Return a name that no tenant of the shared desk has."""
    return f"Tenant {next(_numbers):04}"


def create(desk: Desk, **fields: Any) -> dict[str, Any]:
    answer = desk.as_root("POST", TENANTS, json={"name": new_name(), **fields})
    assert answer.status_code == 201, answer.text
    tenant: dict[str, Any] = answer.json()
    return tenant


def change(desk: Desk, tenant: dict[str, Any], **fields: Any) -> httpx.Response:
    return desk.as_root("PATCH", f"{TENANTS}/{tenant['id']}", json=fields)


def _body(body: Any) -> dict[str, Any]:
    return {} if body is None else {"json": body}


def fields_of(answer: httpx.Response) -> list[str]:
    return [error["field"] for error in answer.json().get("errors", [])]


class Firm(Struct):
    """A tenant with people in it."""

    desk: Desk
    tenant: dict[str, Any]
    works: uuid.UUID
    """A subsidiary of the root."""
    admin: Person
    """Administers the root, and so the tenant."""
    foreman: Person
    """Administers the subsidiary alone."""
    clerk: Person
    """Staff in the root."""

    @property
    def root(self) -> uuid.UUID:
        return uuid.UUID(self.tenant["root_organization_id"])

    @property
    def path(self) -> str:
        return f"{TENANTS}/{self.tenant['id']}"

    def tokens(self, person: Person, organization: uuid.UUID | None = None) -> dict[str, Any]:
        return self.desk.tokens(person.login, organization=str(organization or self.root))

    def ask(
        self, person: Person, method: str, path: str, at: uuid.UUID | None = None, **options: Any
    ) -> httpx.Response:
        """Make a request as *person*, who speaks for the root or another organization."""
        headers = bearer(self.tokens(person, at))
        return self.desk.http.request(method, path, headers=headers, **options)

    def revoked(self, tokens: dict[str, Any]) -> bool:
        self.desk.wait(timedelta(seconds=1))
        list_id, idx = place_of(tokens["access_token"])
        return bit_in(self.desk.http.get(f"/status-lists/{list_id}").text, idx) == 1


def found_firm(desk: Desk) -> Firm:
    tenant = create(desk, plan="basic")
    root = uuid.UUID(tenant["root_organization_id"])
    works = desk.run(insert_organization(desk.issuer, uuid.UUID(tenant["id"]), "Works", root))
    admin, foreman, clerk = desk.hire(), desk.hire(), desk.hire()
    desk.run(insert_membership(desk.issuer, root, admin.id, "admin"))
    desk.run(insert_membership(desk.issuer, works, foreman.id, "admin"))
    desk.run(insert_membership(desk.issuer, root, clerk.id, "staff"))
    return Firm(desk, tenant, works, admin, foreman, clerk)


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return found_firm(desk)


# The platform's administrators.


def test_a_tenant_is_created_with_its_root(desk: Desk) -> None:
    name = new_name()
    body = {
        "name": name,
        "root_name": "Acme Holding",
        "plan": "gold",
        "seats": 3,
        "entitlements": {"modules": ["stock"], "limit": 5},
        "settings": {"locale": "de"},
        "branding": {key: value for key, value in BRANDING.items() if value is not None},
    }
    answer = desk.as_root("POST", TENANTS, json=body)
    assert answer.status_code == 201
    tenant = answer.json()
    assert answer.headers["location"] == f"{TENANTS}/{tenant['id']}"
    wanted = body | {"branding": BRANDING | {"primary_color": "#0b5fff"}, "state": "active"}
    del wanted["root_name"]
    assert tenant.items() >= wanted.items()
    assert (tenant["deleted_at"], tenant["purge_at"]) == (None, None)
    assert desk.as_root("GET", answer.headers["location"]).json() == tenant
    (event,) = desk.events(tag="tenancy:tenant:created", target=f"tenant:{tenant['id']}")
    assert event["after"].items() >= {"name": name, "plan": "gold", "seats": 3}.items()

    ada = desk.hire()
    root = uuid.UUID(tenant["root_organization_id"])
    desk.run(insert_membership(desk.issuer, root, ada.id, "member"))
    claims = desk.claims(desk.tokens(ada.login, organization=str(root)))
    assert (claims.tid, claims.org, claims.plan) == (tenant["id"], str(root), "gold")


def test_what_is_not_said_has_a_default(desk: Desk) -> None:
    tenant = create(desk)
    assert (tenant["plan"], tenant["seats"]) == (None, None)
    assert (tenant["entitlements"], tenant["settings"]) == ({}, {})
    assert set(tenant["branding"].values()) == {None}


BAD = {
    "no name": ({"name": ""}, "name"),
    "a space at an end": ({"name": " Acme"}, "name"),
    "two lines": ({"name": "Ac\nme"}, "name"),
    "a long name": ({"name": "a" * 101}, "name"),
    "a name that is long once folded": ({"name": "\ufdfa" * 100}, "name"),
    "a root without name": ({"name": "Acme", "root_name": " "}, "root_name"),
    "an empty plan": ({"name": "Acme", "plan": ""}, "plan"),
    "a plan of two lines": ({"name": "Acme", "plan": "a\nb"}, "plan"),
    "negative seats": ({"name": "Acme", "seats": -1}, "seats"),
    "more seats than there are people": ({"name": "Acme", "seats": 2**31}, "seats"),
    "half a seat": ({"name": "Acme", "seats": 1.5}, "seats"),
    "settings that are none": ({"name": "Acme", "settings": []}, "settings"),
    "deep settings": ({"name": "Acme", "settings": {"a": [[[[[]]]]]}}, "settings"),
    "large settings": ({"name": "Acme", "settings": {"a": "x" * 16_384}}, "settings"),
    "a NUL": ({"name": "Acme", "settings": {"a": ["\0"]}}, "settings"),
    "a name of nothing": ({"name": "Acme", "settings": {"": 1}}, "settings"),
    "a long name inside": ({"name": "Acme", "settings": {"a": {"b" * 64: 1}}}, "settings"),
    "a number of 300 digits": ({"name": "Acme", "entitlements": {"a": 10**300}}, "entitlements"),
    "a float as large": ({"name": "Acme", "entitlements": {"a": -1e300}}, "entitlements"),
    "unknown branding": ({"name": "Acme", "branding": {"css": "*"}}, "branding.css"),
    "plain http": ({"name": "Acme", "branding": {"logo_url": "http://a.b/c"}}, "branding.logo_url"),
    "a script": ({"name": "Acme", "branding": {"logo_url": "javascript:x"}}, "branding.logo_url"),
    "a quote": ({"name": "Acme", "branding": {"icon_url": 'https://a/"'}}, "branding.icon_url"),
    "a user": ({"name": "Acme", "branding": {"terms_url": "https://u@a"}}, "branding.terms_url"),
    "no port": ({"name": "Acme", "branding": {"terms_url": "https://a:x"}}, "branding.terms_url"),
    "no host": ({"name": "Acme", "branding": {"terms_url": "https:///a"}}, "branding.terms_url"),
    "a colour by name": (
        {"name": "Acme", "branding": {"text_color": "red"}},
        "branding.text_color",
    ),
    "a colour and a line": (
        {"name": "Acme", "branding": {"text_color": "#aabbcc\n"}},
        "branding.text_color",
    ),
    "no address": (
        {"name": "Acme", "branding": {"support_email": "a@b@c"}},
        "branding.support_email",
    ),
    "an address with more": (
        {"name": "Acme", "branding": {"support_email": "a@b?c=\u200b"}},
        "branding.support_email",
    ),
    "a display name of two lines": (
        {"name": "Acme", "branding": {"display_name": "a\tb"}},
        "branding.display_name",
    ),
}


@pytest.mark.parametrize(("body", "field"), BAD.values(), ids=BAD)
def test_what_cannot_be_stored_or_shown_is_refused(
    desk: Desk, body: dict[str, Any], field: str
) -> None:
    refused = desk.as_root("POST", TENANTS, json=body)
    assert problem_of(refused, 422) == "validation_failed"
    assert fields_of(refused) == [field]


def test_fields_are_replaced_one_by_one(desk: Desk) -> None:
    tenant = create(desk, plan="basic", seats=5, settings={"a": 1, "b": 2})
    name = new_name()
    changed = change(desk, tenant, name=name, settings={"b": 3}, seats=None, branding={})
    assert changed.status_code == 200
    after = changed.json()
    assert after["updated_at"] >= tenant["updated_at"]
    wanted = tenant | {"name": name, "settings": {"b": 3}, "seats": None}
    assert after == wanted | {"updated_at": after["updated_at"]}
    (event,) = desk.events(tag="tenancy:tenant:updated", target=f"tenant:{tenant['id']}")
    assert event["before"] == {"name": tenant["name"], "settings": {"a": 1, "b": 2}, "seats": 5}
    assert event["after"] == {"name": name, "settings": {"b": 3}, "seats": None}
    assert change(desk, tenant, name=name).json() == after
    assert len(desk.events(tag="tenancy:tenant:updated", target=f"tenant:{tenant['id']}")) == 1


@pytest.mark.parametrize("fields", [{"state": "deleted"}, {"id": "x"}, {"plan": 1}], ids=str)
def test_what_cannot_be_changed_is_refused(desk: Desk, fields: dict[str, Any]) -> None:
    tenant = create(desk)
    assert problem_of(change(desk, tenant, **fields), 422) == "validation_failed"


def test_tenants_are_listed_by_name_and_found_by_its_beginning(desk: Desk) -> None:
    stem = new_name()
    names = [f"{stem} {end}" for end in ("beta", "Alpha", "gamma", "ALPHA", "Öl", "oil")]
    made = {create(desk, name=name)["id"]: name for name in names}
    wanted = [f"{stem} {end}" for end in ("Alpha", "ALPHA", "beta", "gamma", "oil", "Öl")]
    shown: list[dict[str, Any]] = []
    params: dict[str, Any] = {"name": stem.upper(), "limit": 2}
    while True:
        answer = desk.as_root("GET", TENANTS, params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= 2
        shown += page["items"]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert sorted(each["name"] for each in shown) == sorted(wanted)
    assert [each["name"].casefold() for each in shown] == [name.casefold() for name in wanted]
    assert {each["id"]: each["name"] for each in shown} == made
    found = desk.as_root("GET", TENANTS, params={"name": f"{stem} a"}).json()["items"]
    assert [each["name"].casefold() for each in found] == [f"{stem} alpha".casefold()] * 2


def test_tenants_are_listed_by_state(desk: Desk) -> None:
    stem = new_name()
    states = ("active", "suspended", "deleted")
    made = {state: create(desk, name=f"{stem} {state}") for state in states}
    change(desk, made["suspended"], state="suspended")
    desk.as_root("DELETE", f"{TENANTS}/{made['deleted']['id']}")
    for state in states:
        params = {"name": stem, "state": state}
        (found,) = desk.as_root("GET", TENANTS, params=params).json()["items"]
        assert (found["id"], found["state"]) == (made[state]["id"], state)
    assert len(desk.as_root("GET", TENANTS, params={"name": stem}).json()["items"]) == 3


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"state": "gone"}, "state"),
        ({"cursor": "!"}, "cursor"),
        ({"cursor": "YWJj"}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"name": "a\0"}, "name"),
        ({"name": "a" * 101}, "name"),
    ],
    ids=str,
)
def test_a_list_that_cannot_be_is_refused(desk: Desk, params: dict[str, Any], field: str) -> None:
    refused = desk.as_root("GET", TENANTS, params=params)
    assert problem_of(refused, 422) == "validation_failed"
    assert fields_of(refused) == [field]


def test_what_is_not_there_is_not_found(desk: Desk) -> None:
    path = f"{TENANTS}/{uuid.uuid4()}"
    for method, where, body in (
        ("GET", path, None),
        ("PATCH", path, {"name": "x"}),
        ("DELETE", path, None),
        ("POST", f"{path}/restore", None),
    ):
        answer = desk.as_root(method, where, **_body(body))
        assert problem_of(answer, 404) == "not_found"


def test_who_only_reads_changes_nothing(desk: Desk) -> None:
    tenant = create(desk)
    desk.as_root("POST", "/v1/roles", json={"name": "looker", "allow": ["iam.tenants.read"]})
    headers = bearer(desk.tokens(desk.hire("looker").login))
    assert desk.http.get(f"{TENANTS}/{tenant['id']}", headers=headers).status_code == 200
    for method, path in (("PATCH", ""), ("DELETE", ""), ("POST", "/restore")):
        answer = desk.http.request(
            method, f"{TENANTS}/{tenant['id']}{path}", headers=headers, json={}
        )
        assert problem_of(answer, 403) == "permission_denied"
        assert answer.json()["missing"] == ["iam.tenants.write"]


# What follows for those who are in it.


def test_suspending_ends_the_sessions_that_speak_for_it(firm: Firm) -> None:
    desk = firm.desk
    inside = [firm.tokens(firm.admin), firm.tokens(firm.foreman, firm.works)]
    other = found_firm(desk)
    outside = [desk.tokens(firm.admin.login), other.tokens(other.admin)]
    assert change(desk, firm.tenant, state="suspended").json()["state"] == "suspended"
    for tokens in inside:
        assert firm.revoked(tokens)
        assert problem_of(desk.refresh(tokens["refresh_token"]), 401) == "session_ended"
    for tokens in outside:
        assert not firm.revoked(tokens)
    refused = desk.login(firm.admin.login, organization=str(firm.root))
    assert problem_of(refused, 403) == "not_a_member"
    (ended,) = desk.events(tag="session:session:ended", target=f"tenant:{firm.tenant['id']}")
    assert ended["after"] == {"reason": "organization_inactive", "sessions": 2}

    assert change(desk, firm.tenant, state="active").json()["state"] == "active"
    assert firm.tokens(firm.admin)
    assert problem_of(desk.refresh(inside[0]["refresh_token"]), 401) == "session_ended"


def test_a_new_plan_is_in_tokens_within_seconds(firm: Firm) -> None:
    desk, vip = firm.desk, firm.desk.hire()
    desk.run(insert_membership(desk.issuer, firm.root, vip.id, "member", plan="own"))
    mine, his = firm.tokens(firm.admin), firm.tokens(vip)
    assert desk.claims(mine).plan == "basic"
    change(desk, firm.tenant, plan="gold")
    assert firm.revoked(mine)
    renewed = desk.renewed(mine["refresh_token"])
    assert desk.claims(renewed).plan == "gold"
    assert not firm.revoked(his)
    assert desk.claims(desk.renewed(his["refresh_token"])).plan == "own"


def test_seats_cannot_be_fewer_than_are_taken(firm: Firm) -> None:
    refused = change(firm.desk, firm.tenant, seats=2)
    assert problem_of(refused, 409) == "seats_exhausted"
    assert refused.json()["errors"] == [{"field": "seats", "detail": "3 are taken"}]
    assert change(firm.desk, firm.tenant, seats=3).json()["seats"] == 3
    firm.desk.run(insert_membership(firm.desk.issuer, firm.root, firm.desk.hire().id, "member"))
    # It is over its seats already, past every rule; more of them is no loss.
    assert problem_of(change(firm.desk, firm.tenant, seats=2), 409) == "seats_exhausted"
    assert change(firm.desk, firm.tenant, seats=4).status_code == 200


def test_seats_are_told_to_who_administers_the_tenant(firm: Firm) -> None:
    change(firm.desk, firm.tenant, seats=7)
    shown = {"seats": 7, "used": 3}
    assert firm.desk.as_root("GET", f"{firm.path}/seats").json() == shown
    assert firm.ask(firm.admin, "GET", f"{firm.path}/seats").json() == shown
    refused = firm.ask(firm.foreman, "GET", f"{firm.path}/seats", at=firm.works)
    assert problem_of(refused, 404) == "not_found"


def test_seats_are_taken_and_taken_away_in_turns(firm: Firm) -> None:
    """Whoever comes first wins: a fourth member, or a limit of three."""
    desk, headers = firm.desk, firm.desk.root()
    members = f"/v1/organizations/{firm.root}/members"
    for _ in range(3):
        person = desk.hire()
        calls: list[tuple[str, str, dict[str, Any]]] = [
            ("PATCH", firm.path, {"seats": 3}),
            ("POST", members, {"user_id": str(person.id)}),
        ]
        with ThreadPoolExecutor(2) as pool:
            limited, joined = pool.map(
                lambda call: desk.http.request(call[0], call[1], json=call[2], headers=headers),
                calls,
            )
        assert {limited.status_code, joined.status_code} in ({200, 409}, {201, 409})
        refused = limited if limited.status_code == 409 else joined
        assert problem_of(refused, 409) == "seats_exhausted"
        seats = desk.as_root("GET", f"{firm.path}/seats").json()
        assert seats["used"] <= (seats["seats"] or 4)
        change(desk, firm.tenant, seats=None)
        desk.as_root("DELETE", f"{members}/{person.id}")


# Deleting, and what may come after.


def test_a_deleted_tenant_can_be_restored_within_the_grace(firm: Firm) -> None:
    desk = firm.desk
    inside = firm.tokens(firm.admin)
    assert desk.as_root("DELETE", firm.path).status_code == 204
    shown = desk.as_root("GET", firm.path).json()
    assert shown["state"] == "deleted"
    deleted, purged = (datetime.fromisoformat(shown[key]) for key in ("deleted_at", "purge_at"))
    assert purged - deleted == timedelta(days=30)
    assert firm.revoked(inside)
    assert problem_of(desk.login(firm.admin.login, organization=str(firm.root)), 403)
    assert problem_of(desk.as_root("DELETE", firm.path), 409) == "conflict"
    assert problem_of(change(desk, firm.tenant, name="x"), 409) == "conflict"

    restored = desk.as_root("POST", f"{firm.path}/restore")
    assert restored.status_code == 200
    assert restored.json() == firm.tenant | {"updated_at": restored.json()["updated_at"]}
    assert problem_of(desk.refresh(inside["refresh_token"]), 401) == "session_ended"
    assert firm.tokens(firm.admin)
    assert problem_of(desk.as_root("POST", f"{firm.path}/restore"), 409) == "conflict"
    tags = [event["tag"] for event in desk.events(target=f"tenant:{firm.tenant['id']}")]
    assert tags[::-1] == [
        *("tenancy:tenant:created", "tenancy:tenant:deleted", "session:session:ended"),
        "tenancy:tenant:updated",
    ]


def test_a_suspended_tenant_can_be_deleted(firm: Firm) -> None:
    change(firm.desk, firm.tenant, state="suspended")
    assert firm.desk.as_root("DELETE", firm.path).status_code == 204


# A tenant's own administrators.


def test_a_tenants_administrator_sees_his_own_and_no_other(firm: Firm) -> None:
    other = found_firm(firm.desk)
    assert firm.ask(firm.admin, "GET", TENANTS).json() == {
        "items": [firm.tenant],
        "next_cursor": None,
    }
    assert firm.ask(firm.admin, "GET", TENANTS, params={"name": "zzz"}).json()["items"] == []
    assert firm.ask(firm.admin, "GET", firm.path).json() == firm.tenant
    # From a subsidiary he acts with the rights that he has in the root.
    assert firm.ask(firm.admin, "GET", firm.path, at=firm.works).json() == firm.tenant
    for method, body in (("GET", None), ("PATCH", {"name": "Mine now"})):
        answer = firm.ask(firm.admin, method, other.path, **_body(body))
        assert problem_of(answer, 404) == "not_found"
    assert firm.desk.as_root("GET", other.path).json() == other.tenant


def test_who_administers_a_subsidiary_does_not_administer_the_tenant(firm: Firm) -> None:
    assert firm.ask(firm.foreman, "GET", TENANTS, at=firm.works).json()["items"] == []
    for method in ("GET", "PATCH"):
        body = None if method == "GET" else {"name": "x"}
        answer = firm.ask(firm.foreman, method, firm.path, at=firm.works, **_body(body))
        assert problem_of(answer, 404) == "not_found"


def test_a_tenants_staff_learns_that_it_lacks_the_right(firm: Firm) -> None:
    desk = firm.desk
    role = f"works-admin-{next(_numbers)}"
    desk.as_root("POST", "/v1/roles", json={"name": role, "allow": ["iam.tenants.*"]})
    desk.run(insert_membership(desk.issuer, firm.works, firm.clerk.id, role))
    for path in (TENANTS, firm.path):
        answer = firm.ask(firm.clerk, "GET", path, at=firm.works)
        assert problem_of(answer, 403) == "permission_denied"
        assert answer.json()["missing"] == ["iam.tenants.read"]


def test_a_tenants_administrator_changes_what_is_his(firm: Firm) -> None:
    body = {"name": new_name(), "settings": {"a": 1}, "branding": {"display_name": "We"}}
    changed = firm.ask(firm.admin, "PATCH", firm.path, json=body)
    assert changed.status_code == 200
    assert changed.json()["settings"] == {"a": 1}
    (event,) = firm.desk.events(tag="tenancy:tenant:updated", target=f"tenant:{firm.tenant['id']}")
    assert event["actor_id"] == str(firm.admin.id)


def test_what_the_tenant_pays_for_is_the_platforms_to_change(firm: Firm) -> None:
    body: dict[str, Any] = {
        "name": new_name(),
        "plan": "gold",
        "seats": None,
        "entitlements": {},
        "state": "active",
    }
    refused = firm.ask(firm.admin, "PATCH", firm.path, json=body)
    assert problem_of(refused, 403) == "platform_only"
    assert sorted(fields_of(refused)) == ["entitlements", "plan", "seats", "state"]
    for method, path in (
        ("POST", TENANTS),
        ("DELETE", firm.path),
        ("POST", f"{firm.path}/restore"),
    ):
        answer = firm.ask(firm.admin, method, path, json={"name": "x"})
        assert problem_of(answer, 403) == "platform_only"
    assert firm.desk.as_root("GET", firm.path).json() == firm.tenant


def test_two_changes_at_once_take_turns(firm: Firm) -> None:
    headers = firm.desk.root()

    def patch(number: int) -> int:
        body = {"settings": {"n": number}} if number % 2 else {"seats": number + 10}
        return firm.desk.http.patch(firm.path, json=body, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(patch, range(8))) == {200}
    events = firm.desk.events(tag="tenancy:tenant:updated", target=f"tenant:{firm.tenant['id']}")
    before: dict[str, Any] = {"settings": {}, "seats": None}
    for event in reversed(events):
        assert event["before"].items() <= before.items()
        before |= event["after"]
    shown = firm.desk.as_root("GET", firm.path).json()
    assert before == {name: shown[name] for name in before}
