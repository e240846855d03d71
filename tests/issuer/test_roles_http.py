"""Roles, catalogue, services and assignments over real HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import httpx
import pytest

from support.desk import Desk, bearer, problem_of

_numbers = count(1)


@pytest.fixture
def name() -> str:
    """A name that nothing on the shared desk has."""
    return f"thing{next(_numbers)}"


def fields_of(answer: httpx.Response) -> list[str]:
    return [error["field"] for error in answer.json().get("errors", [])]


def register(desk: Desk, service: str, *acts: str, **fields: Any) -> httpx.Response:
    """Push the manifest of *service*, with a permission for each of *acts*."""
    permissions = {f"{service}.{act}": f"May {act}" for act in acts or ("read", "write")}
    body = {"service": service, "version": "1.0.0", "permissions": permissions, **fields}
    return desk.as_root("PUT", f"/v1/services/{service}", json=body)


def test_a_granted_role_is_in_the_next_token(desk: Desk, name: str) -> None:
    assert register(desk, name).status_code == 201
    person = desk.hire("member")
    tokens = desk.tokens(person.login)
    assert desk.claims(tokens, name).permissions == ()
    body = {"name": f"{name}-clerk", "description": "At the counter", "allow": [f"{name}.read"]}
    made = desk.as_root("POST", "/v1/roles", json=body)
    assert made.status_code == 201
    assert made.headers["location"] == f"/v1/roles/{name}-clerk"
    path = f"/v1/users/{person.id}/roles/{name}-clerk"
    for _ in range(2):
        given = desk.as_root("PUT", path)
        assert (given.status_code, given.content) == (204, b"")
    claims = desk.claims(desk.renewed(tokens["refresh_token"]), name)
    assert claims.permissions == (f"{name}.read",)
    assert claims.roles == ("member", f"{name}-clerk")
    held = desk.as_root("GET", f"/v1/users/{person.id}/roles").json()
    assert [item["role"] for item in held["items"]] == ["member", f"{name}-clerk"]
    for _ in range(2):
        assert desk.as_root("DELETE", path).status_code == 204


def test_effective_permissions_are_what_the_token_says(desk: Desk, name: str) -> None:
    register(desk, name)
    desk.as_root("POST", "/v1/roles", json={"name": name, "allow": [f"{name}.*"]})
    person = desk.hire("staff", name)
    path = f"/v1/users/{person.id}/effective-permissions"
    for audience in ([], [name], ["apostille"], [name, "apostille"]):
        shown = desk.as_root("GET", path, params={"audience": audience}).json()
        tokens = desk.tokens(person.login, audience=audience or None)
        claims = desk.claims(tokens, shown["audience"][0])
        assert shown["permissions"] == list(claims.permissions)
        assert shown["roles"] == list(claims.roles) == ["staff", name]
    unknown = desk.as_root("GET", path, params={"audience": "absent"})
    assert problem_of(unknown, 422) == "unknown_audience"
    assert unknown.json()["errors"] == [
        {"field": "audience", "detail": "'absent' is not registered"}
    ]


def test_a_role_is_changed_and_deleted(desk: Desk, name: str) -> None:
    register(desk, name)
    role = desk.as_root("POST", "/v1/roles", json={"name": name}).json()
    patched = desk.as_root("PATCH", f"/v1/roles/{role['id']}", json={"allow": [f"{name}.read"]})
    assert patched.status_code == 200
    assert patched.json()["allow"] == [f"{name}.read"]
    assert desk.as_root("GET", f"/v1/roles/{name}").json() == patched.json()
    assert desk.as_root("DELETE", f"/v1/roles/{name}").status_code == 204
    assert problem_of(desk.as_root("GET", f"/v1/roles/{name}"), 404) == "not_found"


def test_an_admin_grants_what_he_holds_and_no_more(desk: Desk, name: str) -> None:
    register(desk, name)
    admin = bearer(desk.tokens(desk.hire("admin").login))

    def post(**body: Any) -> httpx.Response:
        return desk.http.post("/v1/roles", json={"name": name, **body}, headers=admin)

    refused = post(allow=[f"{name}.read", "iam.users.read"])
    assert problem_of(refused, 403) == "grant_exceeds_own"
    assert refused.json()["missing"] == [f"{name}.read"]
    assert post(allow=["iam.users.read"]).status_code == 201
    person = desk.hire()
    raised = desk.http.put(f"/v1/users/{person.id}/roles/superuser", headers=admin)
    assert problem_of(raised, 403) == "grant_exceeds_own"
    assert raised.json()["missing"] == ["*"]


def test_rights_lost_since_the_token_was_made_cannot_be_handed_on(desk: Desk, name: str) -> None:
    register(desk, name)
    person = desk.hire("superuser")
    tokens = desk.tokens(person.login)
    desk.as_root("DELETE", f"/v1/users/{person.id}/roles/superuser")
    body = {"name": name, "allow": [f"{name}.read"]}
    stale = desk.http.post("/v1/roles", json=body, headers=bearer(tokens))
    assert problem_of(stale, 401) == "revoked_token"
    renewed = bearer(desk.renewed(tokens["refresh_token"]))
    assert problem_of(desk.http.post("/v1/roles", json=body, headers=renewed), 403)


def test_the_last_superuser_stays_one(desk: Desk) -> None:
    desk.leave_one_superuser()
    me = desk.as_root("GET", "/v1/me").json()["id"]
    resigned = desk.as_root("DELETE", f"/v1/users/{me}/roles/superuser")
    assert problem_of(resigned, 409) == "last_superuser"
    disabled = desk.as_root("PATCH", f"/v1/users/{me}", json={"state": "disabled"})
    assert problem_of(disabled, 409) == "last_superuser"
    assert problem_of(desk.as_root("DELETE", f"/v1/users/{me}"), 409) == "last_superuser"


def test_an_admin_does_not_take_over_a_superuser(desk: Desk) -> None:
    admin = bearer(desk.tokens(desk.hire("admin").login))
    target = desk.hire("superuser")
    changed = desk.http.patch(
        f"/v1/users/{target.id}", json={"login": "mine-now@example.com"}, headers=admin
    )
    assert problem_of(changed, 403) == "grant_exceeds_own"
    removed = desk.http.delete(f"/v1/users/{target.id}/roles/superuser", headers=admin)
    assert problem_of(removed, 403) == "grant_exceeds_own"
    desk.as_root("DELETE", f"/v1/users/{target.id}")


def test_of_requests_for_one_name_at_once_one_is_answered_with_201(desk: Desk, name: str) -> None:
    register(desk, name)
    root = desk.root()

    def post(path: str, body: dict[str, Any]) -> list[int]:
        def once(_: int) -> int:
            return desk.http.post(path, json=body, headers=root).status_code

        with ThreadPoolExecutor(6) as pool:
            return sorted(pool.map(once, range(6)))

    only_one = [201, 409, 409, 409, 409, 409]
    assert post("/v1/roles", {"name": name}) == only_one
    assert post("/v1/permissions", {"name": f"{name}.count", "service": name}) == only_one


def test_a_manifest_is_registered_planned_and_updated(desk: Desk, name: str) -> None:
    first = register(desk, name)
    assert first.status_code == 201
    assert first.json() == {
        "service": name,
        "audience": name,
        "version": "1.0.0",
        "applied": True,
        "changes": {
            "created": True,
            "updated": [],
            "added": [f"{name}.read", f"{name}.write"],
            "changed": [],
            "deprecated": {},
            "removed": [],
        },
    }
    again = register(desk, name)
    assert again.status_code == 200
    assert not any(again.json()["changes"].values())
    body = {"service": name, "version": "2", "permissions": {f"{name}.read": "See"}}
    planned = desk.as_root("PUT", f"/v1/services/{name}", params={"dry_run": True}, json=body)
    assert planned.status_code == 200
    assert not planned.json()["applied"]
    assert planned.json()["changes"]["removed"] == [f"{name}.write"]
    shown = desk.as_root("GET", f"/v1/services/{name}").json()
    assert (shown["version"], len(shown["permissions"])) == ("1.0.0", 2)
    assert desk.as_root("PUT", f"/v1/services/{name}", json=body).status_code == 200
    assert desk.as_root("GET", f"/v1/services/{name}").json()["version"] == "2"
    assert desk.as_root("DELETE", f"/v1/services/{name}").status_code == 204
    assert problem_of(desk.as_root("GET", f"/v1/services/{name}"), 404) == "not_found"
    unknown = desk.login("root@example.com", audience=name)
    assert problem_of(unknown, 422) == "unknown_audience"


def test_a_planned_new_service_is_answered_with_200(desk: Desk, name: str) -> None:
    body = {"service": name, "version": "1", "permissions": {}}
    planned = desk.as_root("PUT", f"/v1/services/{name}", params={"dry_run": "true"}, json=body)
    assert (planned.status_code, planned.json()["changes"]["created"]) == (200, True)


def test_a_manifest_that_says_what_it_may_not_is_refused_by_field(desk: Desk, name: str) -> None:
    elsewhere = {"service": "elsewhere", "version": "1", "permissions": {}}
    answer = desk.as_root("PUT", f"/v1/services/{name}", json=elsewhere)
    assert (problem_of(answer, 422), fields_of(answer)) == ("validation_failed", ["service"])
    for field, fields in (
        ("permissions", {"permissions": {"inventory.*": ""}}),
        ("roles.clerk", {"roles": {"clerk": {"allow": ["iam.users.write"]}}}),
        ("surprise", {"surprise": 1}),
        ("version", {"version": ""}),
        ("audience", {"audience": "a\u0000b"}),
    ):
        answer = register(desk, name, **fields)
        assert (problem_of(answer, 422), fields_of(answer)) == ("validation_failed", [field])
    for field, fields in (
        ("permissions.iam.users.write", {"permissions": {"iam.users.write": "Mine"}}),
        ("audience", {"audience": "apostille"}),
    ):
        answer = register(desk, name, **fields)
        assert answer.status_code == 409
        assert fields_of(answer) == [field]
    ours = {"service": "apostille", "version": "9", "permissions": {}}
    answer = desk.as_root("PUT", "/v1/services/apostille", json=ours)
    assert problem_of(answer, 409) == "protected"


def test_the_catalogue_is_extended_and_pruned(desk: Desk, name: str) -> None:
    made = desk.as_root("POST", "/v1/permissions", json={"name": f"{name}.read"})
    assert made.status_code == 201
    assert made.headers["location"] == f"/v1/permissions/{name}.read"
    path = f"/v1/permissions/{name}.read"
    assert desk.as_root("PATCH", path, json={"description": "See"}).json()["description"] == "See"
    desk.as_root("POST", "/v1/roles", json={"name": name, "deny": [f"{name}.read"]})
    used = desk.as_root("DELETE", path)
    assert problem_of(used, 409) == "in_use"
    assert used.json()["errors"] == [
        {"field": f"{name}.read", "detail": f"the role {name} grants or denies it"}
    ]
    desk.as_root("DELETE", f"/v1/roles/{name}")
    assert desk.as_root("DELETE", path).status_code == 204
    assert problem_of(desk.as_root("GET", path), 404) == "not_found"


LISTS = ["/v1/roles", "/v1/permissions", "/v1/services", "/v1/audit/events"]


@pytest.mark.parametrize("path", LISTS)
def test_lists_are_paged_and_bounded(desk: Desk, path: str, name: str) -> None:
    register(desk, name)
    everything = desk.as_root("GET", path, params={"limit": 200}).json()["items"]
    first = desk.as_root("GET", path, params={"limit": 1}).json()
    second = desk.as_root("GET", path, params={"limit": 1, "cursor": first["next_cursor"]})
    assert len(first["items"]) == 1
    assert [*first["items"], *second.json()["items"]] == everything[:2]
    for limit in (0, 201, -1, "many"):
        answer = desk.as_root("GET", path, params={"limit": limit})
        assert problem_of(answer, 422) == "validation_failed"
        assert fields_of(answer) == ["limit"]
    bad = desk.as_root("GET", path, params={"cursor": "%%%"})
    assert (problem_of(bad, 422), fields_of(bad)) == ("validation_failed", ["cursor"])


@pytest.mark.parametrize("path", [*(f"{path}/" for path in LISTS[:3])])
@pytest.mark.parametrize("segment", ["%00", "%ff", "a" * 3000, "..%2f", "%F0%9F%98%80", "NULL"])
def test_strange_names_in_paths_are_not_found(desk: Desk, path: str, segment: str) -> None:
    for method in ("GET", "DELETE"):
        answer = desk.as_root(method, path + segment)
        assert problem_of(answer, 404) == "not_found"


def test_strange_identifiers_in_paths_are_not_found(desk: Desk) -> None:
    unknown = "01890000-0000-7000-8000-000000000000"
    for user in ("1", "%00", "root", unknown):
        for path in ("roles", "effective-permissions"):
            answer = desk.as_root("GET", f"/v1/users/{user}/{path}")
            assert problem_of(answer, 404) == "not_found"


BODIES: list[tuple[Any, list[str]]] = [
    ({}, ["name"]),
    ({"name": "clerk", "grants": []}, ["grants"]),
    ({"name": 1}, ["name"]),
    ({"name": "Clerk"}, ["name"]),
    ({"name": "clerk", "allow": "inventory.read"}, ["allow"]),
    ({"name": "clerk", "allow": ["x"]}, ["allow[0]"]),
    ({"name": "clerk", "description": "a\u0000"}, ["description"]),
    ({"name": "clerk", "description": "x" * 501}, ["description"]),
]


@pytest.mark.parametrize(("body", "fields"), BODIES)
def test_a_bad_role_is_refused_by_field(desk: Desk, body: Any, fields: list[str]) -> None:
    answer = desk.as_root("POST", "/v1/roles", json=body)
    assert (problem_of(answer, 422), fields_of(answer)) == ("validation_failed", fields)


def test_what_was_done_over_http_says_from_where(desk: Desk, name: str) -> None:
    headers = {**desk.root(), "user-agent": "curl/8.5"}
    answer = desk.http.post("/v1/roles", json={"name": name}, headers=headers)
    (event,) = desk.events(target=f"role:{name}")
    assert (event["tag"], event["outcome"]) == ("access:role:created", "success")
    assert (event["address"], event["user_agent"]) == ("127.0.0.1", "curl/8.5")
    assert event["request_id"] == answer.headers["x-request-id"]
    assert event["actor_id"] == desk.as_root("GET", "/v1/me").json()["id"]
    assert event["after"]["name"] == name


def test_the_audit_trail_is_filtered_over_http(desk: Desk, name: str) -> None:
    desk.as_root("POST", "/v1/roles", json={"name": name})
    desk.as_root("DELETE", f"/v1/roles/{name}")
    target = f"role:{name}"
    (deleted,) = desk.events(target=target, tag="access:role:deleted")
    assert deleted["tag"] == "access:role:deleted"
    assert len(desk.events(target=target, since="2026-01-01T00:00:00Z", outcome="success")) == 2
    assert desk.events(target=target, until="2026-01-01T00:00:00Z") == []
    for wanted in ({"tag": "nonsense"}, {"since": "2026-01-01T00:00:00"}, {"actor_id": "me"}):
        answer = desk.as_root("GET", "/v1/audit/events", params=wanted)
        assert problem_of(answer, 422) == "validation_failed"


@pytest.mark.parametrize(
    "moment",
    [
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
        *("253402300800", "-1", "nan", "yesterday", "\x00", ""),
    ],
)
def test_a_time_that_is_none_is_named(desk: Desk, moment: str) -> None:
    for field in ("since", "until"):
        answer = desk.as_root("GET", "/v1/audit/events", params={field: moment})
        assert (problem_of(answer, 422), fields_of(answer)) == ("validation_failed", [field])
