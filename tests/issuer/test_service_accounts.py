"""Service accounts: who may have them, and that nobody takes them for people."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from apostille_issuer.accounts.models import User
from apostille_issuer.accounts.names import InvalidLogin, parse_login
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.tenancy.models import Tenant
from support.desk import PASSWORD, Desk, bearer, problem_of
from support.firm import Firm
from support.machines import Machines, basic, oauth_error

UNKNOWN = uuid.UUID("01890000-0000-7000-8000-00000000ffff")


@pytest.fixture
def machines(desk: Desk) -> Machines:
    return Machines(desk)


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return Firm(desk)


def named(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


def test_one_of_the_platform_is_made_shown_changed_and_deleted(machines: Machines) -> None:
    answer = machines.ask("POST", json={"name": "Nightly import", "description": "On host 7"})
    assert answer.status_code == 201
    account = answer.json()
    assert answer.headers["location"] == f"/v1/service-accounts/{account['id']}"
    assert account == {
        "id": account["id"],
        "tenant_id": None,
        "organization_id": None,
        "name": "Nightly import",
        "description": "On host 7",
        "state": "active",
        "created_at": account["created_at"],
        "updated_at": account["created_at"],
    }
    path = f"/{account['id']}"
    assert machines.ask("GET", path).json() == account
    same = machines.ask("PATCH", path, json={"name": "Nightly import"})
    assert same.json() == account
    changed = machines.ask("PATCH", path, json={"name": "Import", "state": "disabled"}).json()
    assert (changed["name"], changed["state"]) == ("Import", "disabled")
    assert machines.ask("PATCH", path, json={"description": ""}).json()["state"] == "disabled"
    assert machines.ask("DELETE", path).status_code == 204
    assert problem_of(machines.ask("GET", path), 404) == "not_found"
    assert problem_of(machines.ask("DELETE", path), 404) == "not_found"
    tags = [event["tag"] for event in machines.desk.events(target=f"service_account:{path[1:]}")]
    assert tags == [f"clients:account:{act}" for act in ("deleted", *["updated"] * 2, "created")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", " Import"),
        ("name", "Im\u200bport"),
        ("name", "x" * 101),
        ("description", "two\nlines"),
        ("description", "x" * 501),
        ("organization_id", "mill"),
        ("password", PASSWORD),
    ],
    ids=["empty", "space", "invisible", "long", "lines", "long-text", "no-uuid", "password"],
)
def test_what_cannot_be_kept_is_refused_by_field(
    field: str, value: str, machines: Machines
) -> None:
    answer = machines.ask("POST", json={"name": "Import", field: value})
    assert problem_of(answer, 422) == "validation_failed"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_lists_come_in_pages_in_the_order_of_creation(machines: Machines, firm: Firm) -> None:
    mill = firm.put("Mill")
    wanted = [f"Robot {number}" for number in range(5)]
    for name in wanted:
        machines.account(organization=mill, name=name)
    found: list[str] = []
    page: dict[str, Any] = {}
    while page.get("next_cursor", "") is not None:
        params = {"organization": str(mill), "limit": 2}
        if page:
            params["cursor"] = page["next_cursor"]
        answer = machines.ask("GET", params=params)
        found += named(answer)
        page = answer.json()
    assert found == wanted
    everybody = named(machines.ask("GET", params={"limit": 200}))
    assert set(wanted) <= set(everybody)
    bad = machines.ask("GET", params={"cursor": "?"})
    assert problem_of(bad, 422) == "validation_failed"
    unknown = machines.ask("GET", params={"organization": str(UNKNOWN)})
    assert problem_of(unknown, 404) == "not_found"
    nowhere = machines.ask("POST", json={"name": "x", "organization_id": str(UNKNOWN)})
    assert problem_of(nowhere, 404) == "not_found"


class TestPeople:
    """What is for people does not know of service accounts."""

    def test_the_users_do_not_include_it(self, machines: Machines) -> None:
        desk, account = machines.desk, machines.account()
        items: list[dict[str, Any]] = []
        cursor = None
        while True:
            params: dict[str, Any] = {"limit": 200} | ({} if cursor is None else {"cursor": cursor})
            page = desk.as_root("GET", "/v1/users", params=params).json()
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert account not in {item["id"] for item in items}
        path = f"/v1/users/{account}"
        for answer in (
            desk.as_root("GET", path),
            desk.as_root("PATCH", path, json={"login": "ada@example.com"}),
            desk.as_root("PATCH", path, json={"state": "disabled"}),
            desk.as_root("DELETE", path),
        ):
            assert problem_of(answer, 404) == "not_found"

    def test_nobody_can_type_its_login_name(self, machines: Machines) -> None:
        desk, account = machines.desk, machines.account()

        async def login() -> str:
            async with desk.issuer.database.read(EVERY_TENANT) as session:
                return (await session.get_one(User, uuid.UUID(account))).login

        name = desk.run(login())
        with pytest.raises(InvalidLogin):
            parse_login(name)
        assert problem_of(desk.login(name), 401) == "invalid_credentials"
        taken = desk.as_root("POST", "/v1/users", json={"login": name, "password": PASSWORD})
        assert problem_of(taken, 422) == "validation_failed"

    def test_it_cannot_have_a_password(self, machines: Machines) -> None:
        desk, machine = machines.desk, machines.machine("staff")
        tokens = machines.token(machine)
        body = {"current_password": "x", "new_password": PASSWORD}
        answer = desk.http.post("/v1/me/password", json=body, headers=bearer(tokens))
        assert problem_of(answer, 401) == "invalid_credentials"

    def test_it_sees_itself_and_its_keys_among_its_sessions(self, machines: Machines) -> None:
        desk, machine = machines.desk, machines.machine("staff")
        headers = bearer(machines.token(machine))
        me = desk.http.get("/v1/me", headers=headers)
        assert (me.json()["id"], me.json()["roles"]) == (machine.id, ["staff"])
        (session,) = desk.http.get("/v1/me/sessions", headers=headers).json()["items"]
        assert (session["id"], session["client_id"]) == (machine.key_id, machine.id)
        assert session["current"]

    def test_no_refresh_token_is_one_of_its(self, machines: Machines) -> None:
        desk, machine = machines.desk, machines.machine()
        forged = desk.issuer.sessions._tokens.make(uuid.UUID(machine.key_id), 0)
        assert problem_of(desk.refresh(forged), 401) == "invalid_refresh_token"
        assert not machines.refused(machine)

    def test_it_is_not_the_superuser_who_must_stay(self, machines: Machines) -> None:
        desk = machines.desk
        desk.leave_one_superuser()
        machine = machines.machine("superuser")
        claims = desk.claims(machines.token(machine))
        assert claims.permissions == ("*",)
        # With its rights it may try; there would be nobody left who can log in.
        (root,) = desk.as_root("GET", "/v1/users", params={"login": "root@"}).json()["items"]
        headers = bearer(machines.token(machine))
        answer = desk.http.patch(
            f"/v1/users/{root['id']}", json={"state": "disabled"}, headers=headers
        )
        assert problem_of(answer, 409) == "last_superuser"
        assert machines.ask("DELETE", f"/{machine.id}").status_code == 204

    def test_it_takes_no_seat(self, machines: Machines, firm: Firm) -> None:
        desk = machines.desk

        async def one_seat() -> None:
            async with desk.issuer.database.begin(EVERY_TENANT) as session:
                await session.execute(
                    update(Tenant).where(Tenant.id == firm.tenant).values(seats=1)
                )

        desk.run(one_seat())
        for _ in range(2):
            machines.account(organization=firm.root)


class TestRights:
    """Who may do what to an account."""

    @pytest.fixture
    def clerk(self, desk: Desk) -> dict[str, str]:
        """Headers of somebody who may manage clients, and nothing else."""
        name = f"keeper-{uuid.uuid4().hex[:8]}"
        body = {"name": name, "allow": ["iam.clients.*"]}
        assert desk.as_root("POST", "/v1/roles", json=body).status_code == 201
        return bearer(desk.tokens(desk.hire(name).login))

    def test_nobody_changes_one_with_more_rights_over_the_issuer(
        self, machines: Machines, clerk: dict[str, str]
    ) -> None:
        account = machines.account("staff")
        for answer in (
            machines.ask("PATCH", f"/{account}", headers=clerk, json={"state": "disabled"}),
            machines.ask("DELETE", f"/{account}", headers=clerk),
        ):
            assert problem_of(answer, 403) == "grant_exceeds_own"
            assert "iam.users.read" in answer.json()["missing"]
        (event, *_) = machines.desk.events(target=f"service_account:{account}", outcome="refused")
        assert event["tag"] == "clients:account:deleted"
        assert machines.ask("GET", f"/{account}", headers=clerk).status_code == 200

    def test_who_makes_one_has_not_given_it_anything(
        self, machines: Machines, clerk: dict[str, str]
    ) -> None:
        account = machines.ask("POST", headers=clerk, json={"name": "x"}).json()["id"]
        held = machines.desk.as_root("GET", f"/v1/users/{account}/roles").json()
        assert held["items"] == []
        path = f"/v1/users/{account}/roles/staff"
        given = machines.desk.http.put(path, headers=clerk)
        assert problem_of(given, 403) == "permission_denied"

    def test_in_a_tenant_its_administrator_sees_his_own_alone(
        self, machines: Machines, firm: Firm
    ) -> None:
        desk, other = machines.desk, Firm(machines.desk)
        mill = firm.put("Mill")
        answer = machines.ask("POST", headers=firm.above, json={"name": "Here"})
        assert answer.status_code == 201, answer.text
        here = answer.json()
        assert (here["tenant_id"], here["organization_id"]) == (str(firm.tenant), str(firm.root))
        body = {"name": "Below", "organization_id": str(mill)}
        below = machines.ask("POST", headers=firm.above, json=body).json()
        assert named(machines.ask("GET", headers=firm.above)) == ["Here"]
        params = {"organization": str(mill)}
        assert named(machines.ask("GET", headers=firm.above, params=params)) == ["Below"]
        of_platform, abroad = machines.account(), machines.account(organization=other.root)
        for account in (of_platform, abroad, str(UNKNOWN)):
            for method, path, options in (
                ("GET", "", {}),
                ("PATCH", "", {"json": {"name": "Mine"}}),
                ("DELETE", "", {}),
                ("GET", "/keys", {}),
                ("POST", "/keys", {"json": {"name": "mine"}}),
                ("DELETE", f"/keys/{UNKNOWN}", {}),
                ("POST", f"/keys/{UNKNOWN}/rotate", {"json": {}}),
            ):
                answer = machines.ask(method, f"/{account}{path}", headers=firm.above, **options)
                assert problem_of(answer, 404) == "not_found", (method, path)
        params = {"organization": str(other.root)}
        listed = machines.ask("GET", headers=firm.above, params=params)
        assert problem_of(listed, 404) == "not_found"
        body = {"name": "x", "organization_id": str(other.root)}
        made = machines.ask("POST", headers=firm.above, json=body)
        assert problem_of(made, 404) == "not_found"
        patched = machines.ask("PATCH", f"/{below['id']}", headers=firm.above, json={"name": "B"})
        assert patched.json()["name"] == "B"
        assert machines.ask("DELETE", f"/{below['id']}", headers=firm.above).status_code == 204
        trail = desk.events(target=f"service_account:{below['id']}")
        assert {event["actor_id"] for event in trail} == {str(firm.ada.id)}

    def test_one_that_is_no_member_any_more_is_its_tenants_and_can_be_one_again(
        self, machines: Machines, firm: Firm
    ) -> None:
        mill, other = firm.put("Mill"), Firm(machines.desk)
        machine = machines.machine("staff", organization=mill)
        tokens, header = machines.token(machine), basic(machine.id, machine.secret)
        member = f"{mill}/members/{machine.id}"
        assert firm.ask("DELETE", member).status_code == 204
        assert machines.voided(tokens)
        assert oauth_error(machines.request({}, header)) == "unauthorized_client"
        shown = machines.ask("GET", f"/{machine.id}", headers=firm.above)
        assert shown.json()["organization_id"] == str(mill)

        body = {"user_id": machine.id, "roles": ["staff"]}
        abroad = other.ask("POST", f"{other.root}/members", json=body)
        assert problem_of(abroad, 404) == "not_found"
        of_platform = {"user_id": machines.account()}
        stranger = firm.ask("POST", f"{mill}/members", json=of_platform)
        assert problem_of(stranger, 404) == "not_found"
        added = firm.ask("POST", f"{mill}/members", json=body)
        assert added.status_code == 201, added.text
        assert (added.json()["user_id"], added.json()["roles"]) == (machine.id, ["staff"])
        claims = machines.desk.claims(machines.token(machine))
        assert (claims.org, claims.roles) == (str(mill), ("staff",))
        again = firm.ask("POST", f"{mill}/members", json=body)
        assert problem_of(again, 409) == "already_a_member"

    def test_who_is_no_administrator_there_is_told_what_is_missing(
        self, machines: Machines, firm: Firm
    ) -> None:
        mill = firm.put("Mill")
        reader = firm.role(mill, "iam.clients.read")
        bob = firm.member(mill, reader)
        headers = bearer(firm.speak(bob, mill))
        account = machines.account(organization=mill)
        assert named(machines.ask("GET", headers=headers)) == ["Nightly import"]
        assert machines.ask("GET", f"/{account}/keys", headers=headers).status_code == 200
        denied = machines.ask("POST", headers=headers, json={"name": "x"})
        assert problem_of(denied, 403) == "permission_denied"
        assert denied.json()["missing"] == ["iam.clients.write"]
        above = machines.account(organization=firm.root)
        assert problem_of(machines.ask("GET", f"/{above}", headers=headers), 404) == "not_found"

    def test_changes_by_the_platform_are_in_the_tenants_trail(
        self, machines: Machines, firm: Firm
    ) -> None:
        from apostille_issuer.audit.models import AuditEvent

        machine = machines.machine("staff", organization=firm.root)
        machines.token(machine)
        targets = [f"service_account:{machine.id}", f"api_key:{machine.key_id}"]
        about = select(AuditEvent.tag, AuditEvent.tenant_id).where(AuditEvent.target.in_(targets))

        async def look() -> dict[str, uuid.UUID | None]:
            async with machines.desk.issuer.database.read(firm.tenant) as session:
                return {row.tag: row.tenant_id for row in await session.execute(about)}

        found = machines.desk.run(look())
        assert found == dict.fromkeys(
            ("clients:account:created", "clients:key:created", "clients:key:used"), firm.tenant
        )

    def test_a_machine_administers_its_organization_and_itself(
        self, machines: Machines, firm: Firm
    ) -> None:
        machine = machines.machine("admin", organization=firm.root)
        headers = bearer(machines.token(machine))
        made = machines.ask("POST", headers=headers, json={"name": "Made by a machine"})
        assert made.status_code == 201, made.text
        key = machines.ask("POST", f"/{machine.id}/keys", headers=headers, json={"name": "next"})
        assert key.status_code == 201, key.text


def test_purging_its_organizations_leaves_no_user_behind(machines: Machines, firm: Firm) -> None:
    desk = machines.desk
    account = uuid.UUID(machines.account(organization=firm.root))
    assert desk.as_root("DELETE", f"/v1/tenants/{firm.tenant}").is_success
    desk.run(_purged(desk, firm.tenant))

    async def gone() -> bool:
        async with desk.issuer.database.read(EVERY_TENANT) as session:
            return await session.get(User, account) is None

    assert desk.run(gone())


async def _purged(desk: Desk, tenant_id: uuid.UUID) -> None:
    from apostille_issuer.http.context import COMMAND_LINE

    await desk.issuer.tenancy.purge.purge(tenant_id, COMMAND_LINE)
