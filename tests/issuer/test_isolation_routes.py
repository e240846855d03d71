"""Every route and method, asked with another tenant's identifiers: nothing leaks or changes.

The walk is made from the OpenAPI document, so a route that comes later is
walked, too. Bob administers Bolt, with all rights a customer's administrator
has, and asks for what is Acme's: by Acme's identifiers alone, and mixed with
his own in every way, such as Acme's role in Bolt's organization.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import httpx
import pytest
from msgspec import Struct
from sqlalchemy import Column, Table, select

from apostille_issuer.db.metadata import METADATA
from apostille_issuer.db.reach import EVERY_TENANT
from support.desk import Desk, bearer

OF_TENANTS = {
    *("tenant_id", "organization_id", "user_id", "role", "account_id", "key_id"),
    *("domain_id", "invitation_id", "session_id"),
}
"""Parameters of paths that name what is a tenant's."""

OF_THE_PLATFORM = {"name": "inventory.read", "service": "apostille", "kid": "x", "list_id": "1"}
"""Those that name what is everybody's."""

GOING_ON = {
    *("audit_events", "outgoing_mail", "notifications", "signing_keys", "secrets"),
    *("status_lists", "status_entries", "used_assertions"),
}
"""Tables that change by themselves, or by a refusal."""

PUBLIC = {
    *("/v1/auth/login", "/v1/auth/logout", "/v1/auth/refresh", "/v1/auth/switch-organization"),
    *("/oauth/revoke", "/oauth/token", "/v1/invitations/accept", "/v1/invitations/show"),
}
"""Routes whose body is the proof of what one may do; they have tests of their own."""


class Customer(Struct):
    """A tenant with one of everything."""

    ids: dict[str, str]
    """By the parameter of a path that names it."""
    root: str
    """The organization at the top; ``ids`` name the one below."""
    admin: dict[str, str]
    """Headers of its administrator, who speaks for the root."""


def customer(desk: Desk, name: str) -> Customer:
    """Make a customer over HTTP, as the platform's superuser."""

    def made(path: str, **body: Any) -> Any:
        answer = desk.as_root("POST", path, json=body)
        assert answer.status_code == 201, f"{path}: {answer.text}"
        return answer.json()

    tenant = made("/v1/tenants", name=name)
    (root,) = desk.as_root("GET", "/v1/organizations", params={"tenant_id": tenant["id"]}).json()[
        "items"
    ]
    works = made("/v1/organizations", parent_id=root["id"], name=f"{name} Works")
    here = f"/v1/organizations/{works['id']}"
    role = made(f"{here}/roles", name=f"{name.lower()}-clerk", allow=["iam.users.read"])
    admin, clerk = desk.hire(), desk.hire()
    made(f"/v1/organizations/{root['id']}/members", user_id=str(admin.id), roles=["admin"])
    made(f"{here}/members", user_id=str(clerk.id), roles=[role["name"]])
    session = desk.tokens(clerk.login, organization=works["id"])
    invitation = made(f"{here}/invitations", email=f"new@{name.lower()}.example", roles=["member"])
    account = made("/v1/service-accounts", name=f"{name} job", organization_id=works["id"])
    key = made(f"/v1/service-accounts/{account['id']}/keys", name="first")
    domain = made(f"/v1/tenants/{tenant['id']}/domains", host=f"iam.{name.lower()}.example")
    ids = {
        "tenant_id": tenant["id"],
        "organization_id": works["id"],
        "user_id": str(clerk.id),
        "role": role["name"],
        "account_id": account["id"],
        "key_id": key["id"],
        "domain_id": domain["id"],
        "invitation_id": invitation["id"],
        "session_id": str(desk.claims(session).sid),
    }
    return Customer(ids, root["id"], bearer(desk.tokens(admin.login, organization=root["id"])))


class Walk(Struct):
    """Two customers, and the document that says what can be asked."""

    desk: Desk
    acme: Customer
    bolt: Customer
    document: dict[str, Any]

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                yield path, method.upper(), operation

    def body(self, operation: dict[str, Any], ids: dict[str, str]) -> Any:
        """Return a body that is well formed, and names what *ids* name wherever it can."""
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            return None
        return self._example(content["application/json"]["schema"], "", ids)

    def _example(self, schema: dict[str, Any], name: str, ids: dict[str, str]) -> Any:
        if "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        for choice in schema.get("oneOf", schema.get("anyOf", ())):
            if choice.get("type") != "null":
                return self._example(choice, name, ids)
        if name in ("parent_id", "organization", "organization_id"):
            return ids["organization_id"]
        if name in OF_TENANTS:
            return ids[name]
        if name == "roles":
            return [ids["role"]]
        if schema.get("type") == "object" or "properties" in schema:
            wanted = {*schema.get("required", ()), *OF_TENANTS, "parent_id", "name", "state"}
            held = {k: v for k, v in schema.get("properties", {}).items() if k in wanted}
            return {key: self._example(value, key, ids) for key, value in held.items()}
        return self._plain(schema, name)

    def _plain(self, schema: dict[str, Any], name: str) -> Any:
        for key in ("enum", "examples"):
            if schema.get(key):
                return schema[key][0]
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = kind[0]
        texts = {"email": "mallory@bolt.example", "host": "stolen.example", "login": "mallory"}
        return {
            "array": [],
            "boolean": True,
            "integer": 1,
            "number": 1,
            "string": texts.get(name, "stolen"),
        }.get(str(kind))

    def ask(
        self,
        path: str,
        method: str,
        operation: dict[str, Any],
        ids: dict[str, str],
        params: dict[str, Any] | None = None,
    ) -> httpx.Response:
        """Ask as Bolt's administrator, with these identifiers in path and body."""
        filled = filled_in(path, ids)
        body = self.body(operation, ids)
        options = {} if body is None else {"json": body}
        return self.desk.http.request(
            method, filled, headers=self.bolt.admin, params=params, **options
        )

    def state(self) -> dict[str, list[Any]]:
        """Return all rows that say who is there and what he may do.

        Not the audit trail, where refusals belong, nor what goes on in the
        background: keys, status lists, letters.
        """

        async def rows() -> dict[str, list[Any]]:
            found = {}
            async with self.desk.issuer.database.read(EVERY_TENANT) as session:
                for name, table in METADATA.tables.items():
                    if name not in GOING_ON:
                        held = await session.execute(select(*_lasting(table)))
                        found[name] = sorted(map(repr, held.all()))
            return found

        return self.desk.run(rows())


@pytest.fixture
def walk(desk: Desk) -> Walk:
    tag = f"{id(object()):x}"
    document = desk.http.get("/openapi.json").json()
    return Walk(desk, customer(desk, f"Acme{tag}"), customer(desk, f"Bolt{tag}"), document)


def _lasting(table: Table) -> list[Column[Any]]:
    """Return the columns but for those that the delivery of letters changes."""
    going_on = ("delivery", "sent_at", "queued_at") if table.name == "invitations" else ()
    return [column for column in table.columns if column.name not in going_on]


def filled_in(path: str, ids: dict[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: ids[found[1]], path)


def named_in(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def mixtures(path: str, acme: Customer, bolt: Customer) -> Iterator[dict[str, str]]:
    """Return identifiers for *path* in every mixture in which something is Acme's."""
    names = [name for name in named_in(path) if name in OF_TENANTS]
    for choice in product((acme, bolt), repeat=len(names)):
        if acme in choice:
            chosen = {name: who.ids[name] for name, who in zip(names, choice, strict=True)}
            yield {**OF_THE_PLATFORM, **acme.ids, **chosen}


def test_every_parameter_of_a_path_is_known(walk: Walk) -> None:
    names = {name for path, _, _ in walk.operations() for name in named_in(path)}
    unknown = names - OF_TENANTS - OF_THE_PLATFORM.keys()
    assert unknown == set(), "say whose it is, and have customer() make one"


def test_what_is_anothers_is_not_there(walk: Walk) -> None:
    before = walk.state()
    asked = 0
    for path, method, operation in walk.operations():
        if path in PUBLIC or not OF_TENANTS.intersection(named_in(path)):
            continue
        for ids in mixtures(path, walk.acme, walk.bolt):
            answer = walk.ask(path, method, operation, ids=ids)
            where = f"{method} {answer.request.url.path}: {answer.status_code} {answer.text}"
            assert answer.status_code in (403, 404), where
            # Refused before anything was looked up, or as if it were not there.
            wanted = "platform_only" if answer.status_code == 403 else "not_found"
            assert answer.json()["code"] == wanted, where
            asked += 1
    assert asked > 60
    assert walk.state() == before


def test_bodies_that_name_what_is_anothers_change_nothing_there(walk: Walk) -> None:
    """Paths are Bolt's own; what the body names is Acme's."""
    for path, method, operation in walk.operations():
        if path in PUBLIC or "requestBody" not in operation or path.startswith("/v1/me"):
            continue
        text = str(walk.body(operation, walk.acme.ids))
        if not any(ident in text for ident in walk.acme.ids.values()):
            continue
        own = {**OF_THE_PLATFORM, **walk.bolt.ids}
        filled = filled_in(path, own)
        body = walk.body(operation, walk.acme.ids)
        before = walk.state()
        answer = walk.desk.http.request(method, filled, headers=walk.bolt.admin, json=body)
        where = f"{method} {filled} {body}: {answer.status_code} {answer.text}"
        assert 400 <= answer.status_code < 500, where
        assert walk.state() == before, where


def test_lists_show_nothing_of_anothers(walk: Walk) -> None:
    secrets = [value for name, value in walk.acme.ids.items() if name != "role"] + [walk.acme.root]
    filters = [{}, *({key: value} for key, value in walk.acme.ids.items())]
    seen = 0
    for path, method, operation in walk.operations():
        if method != "GET" or not path.startswith("/v1/") or named_in(path):
            continue
        known = {given["name"] for given in operation.get("parameters", ())}
        for wanted in filters:
            if not wanted.keys() <= known:
                continue
            answer = walk.ask(path, method, operation, ids={}, params={**wanted, "limit": 200})
            seen += answer.status_code == 200
            asked = set(wanted.values())
            leaked = [value for value in secrets if value not in asked and value in answer.text]
            assert leaked == [], f"{path} {wanted}: {answer.text}"
    assert seen > 3


def test_who_is_below_does_not_see_what_is_above_or_beside(walk: Walk) -> None:
    """An administrator of a subsidiary is none of its parent, nor of its tenant."""
    desk, acme = walk.desk, walk.acme
    foreman = desk.hire()
    members = f"/v1/organizations/{acme.ids['organization_id']}/members"
    body = {"user_id": str(foreman.id), "roles": ["admin"]}
    assert desk.as_root("POST", members, json=body).status_code == 201
    tokens = desk.tokens(foreman.login, organization=acme.ids["organization_id"])
    for path, method, operation in walk.operations():
        names = named_in(path)
        if not {"organization_id", "tenant_id"}.intersection(names):
            continue
        ids = {**OF_THE_PLATFORM, **acme.ids, "organization_id": acme.root}
        filled = filled_in(path, ids)
        body = walk.body(operation, ids)
        options = {} if body is None else {"json": body}
        answer = desk.http.request(method, filled, headers=bearer(tokens), **options)
        where = f"{method} {filled}: {answer.status_code} {answer.text}"
        assert answer.status_code in (403, 404), where
