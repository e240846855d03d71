"""What is deleted takes along what was its own: seats, memberships, roles, service accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from apostille_issuer.access.models import Role
from apostille_issuer.db.reach import EVERY_TENANT
from support.desk import Desk, bearer, open_desk, problem_of
from support.firm import Firm
from support.machines import Machines


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return Firm(desk)


def limit(firm: Firm, seats: int) -> None:
    answer = firm.desk.as_root("PATCH", f"/v1/tenants/{firm.tenant}", json={"seats": seats})
    assert answer.status_code == 200, answer.text


def deleted(firm: Firm, organization: Any, **params: Any) -> None:
    answer = firm.ask("DELETE", str(organization), params=params)
    assert answer.status_code == 204, answer.text


def reopen(firm: Firm, desk: Desk) -> None:
    """Go on at the *desk* of an issuer that was started again."""
    firm.desk = desk
    firm.above = bearer(firm.speak(firm.ada, firm.root))


def trail(firm: Firm, target: str) -> list[dict[str, Any]]:
    """Return what the tenant reads of *target* in its own trail, newest first."""
    answer = firm.desk.http.get(
        "/v1/audit/events", headers=firm.above, params={"target": target, "limit": 200}
    )
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def make_role(firm: Firm, organization: Any, name: str, *allow: str) -> Any:
    body = {"name": name, "allow": list(allow)}
    return firm.ask("POST", f"{organization}/roles", json=body)


def test_a_deleted_organization_leaves_its_seats(firm: Firm) -> None:
    north = firm.put("North")
    firm.member(north)
    invited = {"email": "eve@example.com"}
    assert firm.ask("POST", f"{north}/invitations", json=invited).status_code == 201
    limit(firm, 3)  # Ada, the member, Eve
    dora = {"login": firm.desk.hire().login}
    full = firm.ask("POST", f"{firm.root}/invitations", json={"email": "dan@example.com"})
    assert problem_of(full, 409) == "seats_exhausted"
    deleted(firm, north)
    limit(firm, 2)
    path = f"/v1/organizations/{firm.root}/members"
    assert firm.desk.as_root("POST", path, json=dora).status_code == 201
    full = firm.ask("POST", f"{firm.root}/invitations", json={"email": "dan@example.com"})
    assert problem_of(full, 409) == "seats_exhausted"


def test_tenants_read_of_the_members_they_lose_with_a_user(firm: Firm) -> None:
    other = Firm(firm.desk)
    north, role = firm.put("North"), firm.role(firm.root, "iam.members.read")
    bob = firm.member(firm.root, role)
    firm.join(north, bob)
    other.join(other.root, bob)
    assert firm.desk.as_root("DELETE", f"/v1/users/{bob.id}").status_code == 204
    for each, organization, roles in (
        (firm, firm.root, [role]),
        (firm, north, []),
        (other, other.root, []),
    ):
        event = each.events(organization)[0]
        assert event["tag"] == "tenancy:membership:deleted"
        assert event["before"] == {
            "user_id": str(bob.id),
            "state": "active",
            "roles": roles,
            "plan": None,
            "scopes": [],
        }
        assert each.trails(organization) == {each.tenant}


def test_roles_of_a_deleted_organization_leave_their_names(firm: Firm) -> None:
    north = firm.put("North")
    works = firm.put("Works", north)
    for place, name in ((north, "keeper"), (works, "smith")):
        assert make_role(firm, place, name, "iam.members.read").status_code == 201
    bob = firm.member(works, "smith")
    tokens = firm.speak(bob, works)
    assert problem_of(make_role(firm, firm.root, "smith"), 409) == "name_taken"
    deleted(firm, north, subtree=True)
    assert firm.voided(tokens)
    for name in ("keeper", "smith"):
        events = trail(firm, f"role:{name}")
        assert events[0]["tag"] == "access:role:deleted"
        assert events[0]["before"]["allow"] == ["iam.members.read"]
        assert make_role(firm, firm.root, name).status_code == 201


def test_service_accounts_go_with_their_organization(firm: Firm) -> None:
    machines, north = Machines(firm.desk), firm.put("North")
    works = firm.put("Works", north)
    gone = machines.machine(organization=north), machines.machine(organization=works)
    stays = machines.machine(organization=firm.root)
    tokens = [machines.token(machine) for machine in (*gone, stays)]
    deleted(firm, north, subtree=True)
    assert [machines.voided(each) for each in tokens] == [True, True, False]
    for machine in gone:
        assert machines.refused(machine)
        assert problem_of(machines.ask("GET", f"/{machine.id}"), 404) == "not_found"
        target = f"service_account:{machine.id}"
        assert firm.desk.events(target=target)[0]["tag"] == "clients:account:deleted"
        assert firm.trails(target) == {firm.tenant}
    assert machines.token(stays)


def test_a_start_renames_what_tenants_named_as_the_configuration_does(
    database_url: str, tmp_path: Path
) -> None:
    with open_desk(database_url) as desk:
        firms = [Firm(desk), Firm(desk)]
        long = "x" * 63
        for name in ("auditor", "auditor-2", long):
            assert make_role(firms[0], firms[0].root, name, "iam.members.read").status_code == 201
        assert make_role(firms[1], firms[1].root, "auditor").status_code == 201
        bob = firms[0].member(firms[0].root)
        path = f"{firms[0].root}/members/{bob.id}/roles/auditor"
        assert firms[0].ask("PUT", path).status_code == 204
        tokens = firms[0].speak(bob, firms[0].root)
    file = tmp_path / "roles.toml"
    file.write_text(f"[roles.auditor]\n[roles.{long}]")
    with open_desk(database_url, system_roles_file=file) as desk:
        first, second = firms
        for each in firms:
            reopen(each, desk)
        roles = first.ask("GET", f"{first.root}/roles").json()["items"]
        assert {role["name"]: role["allow"] for role in roles if not role["system"]} == {
            "auditor-2": ["iam.members.read"],
            "auditor-3": ["iam.members.read"],
            "x" * 61 + "-2": ["iam.members.read"],
        }
        assert {role["name"] for role in roles if role["system"]} >= {"auditor", long}
        assert first.voided(tokens)
        claims = desk.claims(first.speak(bob, first.root))
        assert claims.roles == ("auditor-3",)
        for each, name in ((first, "auditor-3"), (second, "auditor-2")):
            event = trail(each, "role:auditor")[0]
            assert event["tag"] == "access:role:updated"
            assert (event["before"]["name"], event["after"]["name"]) == ("auditor", name)


def test_a_start_renames_what_tenants_named_as_a_new_system_role(
    database_url: str, tmp_path: Path
) -> None:
    async def forget(desk: Desk) -> None:
        """Make it a release that does not know the role yet."""
        async with desk.issuer.database.begin(EVERY_TENANT) as session:
            await session.execute(delete(Role).where(Role.name == "member"))

    with open_desk(database_url, data=tmp_path / "first") as desk:
        firm = Firm(desk)
        desk.run(forget(desk))
        assert make_role(firm, firm.root, "member").status_code == 201
    with open_desk(database_url, data=tmp_path / "second") as desk:
        reopen(firm, desk)
        event = trail(firm, "role:member")[0]
        assert event["tag"] == "access:role:updated"
        assert (event["before"]["name"], event["after"]["name"]) == ("member", "member-2")
        assert desk.as_root("GET", "/v1/roles/member").json()["system"]
