"""Who may change whose membership: nobody hands on more than he holds; on both databases."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, update

from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.tenancy.models import Membership, Tenant
from support.desk import Desk, Person, bearer, problem_of
from support.firm import Firm
from support.members import add, at, shown

MEMBERS = ("iam.members.read", "iam.members.write")


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return Firm(desk)


def clerk(firm: Firm, organization: uuid.UUID, *allow: str, **options: Any) -> dict[str, str]:
    """Return the headers of a new member who may change members, and *allow*."""
    role = firm.role(organization, *MEMBERS, *allow, **options)
    return bearer(firm.speak(firm.member(organization, role), organization))


def give(
    firm: Firm, where: uuid.UUID, who: Person, role: str, headers: dict[str, str] | None = None
) -> httpx.Response:
    return firm.ask("PUT", at(where, who, role), headers=headers)


def take(
    firm: Firm, where: uuid.UUID, who: Person, role: str, headers: dict[str, str] | None = None
) -> httpx.Response:
    return firm.ask("DELETE", at(where, who, role), headers=headers)


def turn(
    firm: Firm, where: uuid.UUID, who: Person, state: str, headers: dict[str, str] | None = None
) -> httpx.Response:
    return firm.ask("PATCH", at(where, who), json={"state": state}, headers=headers)


def exceeds(answer: httpx.Response, *missing: str) -> None:
    assert problem_of(answer, 403) == "grant_exceeds_own"
    assert answer.json()["missing"] == sorted(missing)


def run(firm: Firm, statement: Any) -> None:
    async def act() -> None:
        async with firm.desk.issuer.database.begin(EVERY_TENANT) as session:
            await session.execute(statement)

    firm.desk.run(act())


# The permission.


def test_reading_takes_a_permission_there_and_changing_another_one(firm: Firm) -> None:
    north = firm.put("North")
    bob, reader_role = firm.member(firm.root), firm.role(firm.root, "iam.members.read")
    reader = bearer(firm.speak(firm.member(firm.root, reader_role), firm.root))
    assert firm.ask("GET", at(firm.root, bob), headers=reader).status_code == 200
    for refused in (
        add(firm, firm.root, firm.desk.hire(), reader),
        turn(firm, firm.root, bob, "suspended", reader),
        give(firm, firm.root, bob, "member", reader),
    ):
        assert problem_of(refused, 403) == "permission_denied"
        assert refused.json()["missing"] == ["iam.members.write"]
    # A role that is not inherited says nothing of what is below.
    assert problem_of(firm.ask("GET", f"{north}/members", headers=reader), 404) == "not_found"


def test_rights_are_those_in_the_organization_acted_in(firm: Firm) -> None:
    """Whatever the token carries: it speaks for another one of the same tenant."""
    north, south = firm.put("North"), firm.put("South")
    eve = firm.member(north, "admin")
    firm.join(south, eve, firm.role(firm.root, "iam.members.read"))
    headers = bearer(firm.speak(eve, north))
    bob = firm.member(south)
    assert firm.ask("GET", at(south, bob), headers=headers).status_code == 200
    refused = give(firm, south, bob, "member", headers)
    assert problem_of(refused, 403) == "permission_denied"


def test_a_refusal_that_goes_around_a_control_is_in_the_tenants_trail(firm: Firm) -> None:
    headers, bob = clerk(firm, firm.root), firm.member(firm.root)
    exceeds(give(firm, firm.root, bob, "admin", headers), "iam.*")
    (event, *_) = firm.desk.events(target=f"user:{bob.id}", outcome="refused")
    assert event["after"] == {"code": "grant_exceeds_own", "missing": ["iam.*"]}
    assert firm.tenant in firm.trails(f"user:{bob.id}")


# What a role allows and denies.


def test_nobody_gives_or_takes_what_he_does_not_hold(firm: Firm) -> None:
    headers, bob = clerk(firm, firm.root, "iam.users.read"), firm.member(firm.root)
    may = firm.role(firm.root, "iam.users.read")
    may_not = firm.role(firm.root, "iam.users.read", "iam.keys.read")
    denies = firm.role(firm.root, deny=["iam.keys.read"])
    assert give(firm, firm.root, bob, may, headers).status_code == 204
    exceeds(give(firm, firm.root, bob, may_not, headers), "iam.keys.read")
    exceeds(give(firm, firm.root, bob, denies, headers), "iam.keys.read")
    stranger = firm.member(firm.put("North"))
    exceeds(add(firm, firm.root, stranger, headers, roles=[may, may_not]), "iam.keys.read")
    assert give(firm, firm.root, bob, denies).status_code == 204
    for refused in (
        take(firm, firm.root, bob, denies, headers),
        turn(firm, firm.root, bob, "suspended", headers),
        firm.ask("DELETE", at(firm.root, bob), headers=headers),
    ):
        exceeds(refused, "iam.keys.read")
    assert take(firm, firm.root, bob, may, headers).status_code == 204
    assert shown(firm, firm.root, bob)["roles"] == [denies]


def test_making_a_member_active_again_is_giving_him_his_roles(firm: Firm) -> None:
    headers = clerk(firm, firm.root, "iam.users.*")
    bob = firm.member(firm.root, firm.role(firm.root, "inventory.read"))
    assert turn(firm, firm.root, bob, "suspended", headers).status_code == 200
    exceeds(turn(firm, firm.root, bob, "active", headers), "inventory.read")
    assert problem_of(turn(firm, firm.root, bob, "active"), 403) == "grant_exceeds_own"
    assert turn(firm, firm.root, bob, "active", firm.desk.root()).status_code == 200


def test_what_is_inherited_must_be_held_all_the_way_down(firm: Firm) -> None:
    """Who may something here alone cannot hand it on, to himself even, for all below."""
    local = firm.member(firm.root, firm.role(firm.root, *MEMBERS, "iam.users.read"))
    headers = bearer(firm.speak(local, firm.root))
    below = firm.role(firm.root, *MEMBERS, inherited=True)
    exceeds(give(firm, firm.root, local, below, headers), *MEMBERS)
    assert give(firm, firm.root, local, below).status_code == 204
    headers = bearer(firm.speak(local, firm.root))
    further = firm.role(firm.root, "iam.users.read", inherited=True)
    exceeds(give(firm, firm.root, local, further, headers), "iam.users.read")


def test_what_is_denied_somewhere_below_is_not_held_all_the_way_down(firm: Firm) -> None:
    north = firm.put("North")
    eve = firm.member(firm.root, firm.role(firm.root, "iam.*", inherited=True))
    headers, bob = bearer(firm.speak(eve, firm.root)), firm.member(firm.root)
    role = firm.role(firm.root, "iam.users.read", inherited=True)
    assert give(firm, firm.root, bob, role, headers).status_code == 204
    assert take(firm, firm.root, bob, role, headers).status_code == 204
    firm.join(north, eve, firm.role(north, deny=["iam.users.*"]))
    exceeds(give(firm, firm.root, bob, role, headers), "iam.users.read")
    just_here = firm.role(firm.root, "iam.users.read")
    assert give(firm, firm.root, bob, just_here, headers).status_code == 204


def test_nobody_puts_somebody_out_of_office_by_a_role_that_denies(firm: Firm) -> None:
    north = firm.put("North")
    eve = firm.member(firm.root, firm.role(firm.root, *MEMBERS, inherited=True))
    headers, boss = bearer(firm.speak(eve, firm.root)), firm.member(north, "admin")
    firm.join(firm.root, boss)
    denies = firm.role(firm.root, deny=["iam.members.write"], inherited=True)
    here = firm.role(firm.root, deny=["iam.members.write"])
    exceeds(give(firm, firm.root, boss, denies, headers), "iam.*")
    assert give(firm, firm.root, boss, here, headers).status_code == 204
    assert give(firm, firm.root, boss, denies).status_code == 204


def test_who_administers_below_denies_nothing_to_who_administers_above(firm: Firm) -> None:
    """What Ada is denied below she could not hand on at the root any more."""
    north = firm.put("North")
    eve, deputy = firm.member(north, "admin"), firm.member(firm.root, "admin")
    headers = bearer(firm.speak(eve, north))
    made = f"role-{uuid.uuid4().hex}"
    draft = {"name": made, "deny": ["iam.*"]}
    roles = f"{north}/roles"
    assert firm.ask("POST", roles, json=draft, headers=headers).status_code == 201
    exceeds(add(firm, north, firm.ada, headers, roles=[made]), "iam.*")
    # Nor later: by another role, by what a role comes to deny, by a membership that rests.
    assert add(firm, north, firm.ada, headers).status_code == 201
    exceeds(give(firm, north, firm.ada, made, headers), "iam.*")
    harmless = firm.role(north)
    assert give(firm, north, firm.ada, harmless, headers).status_code == 204
    denies = {"deny": ["iam.keys.read"]}
    exceeds(firm.ask("PATCH", f"{roles}/{harmless}", json=denies, headers=headers), "iam.*")
    firm.join(north, deputy, made)
    assert turn(firm, north, deputy, "suspended", headers).status_code == 200
    exceeds(turn(firm, north, deputy, "active", headers), "iam.*")
    # Ada is in office, and who has no more rights above than Eve may be denied something.
    bob = firm.member(north, "admin")
    assert give(firm, north, bob, made, headers).status_code == 204
    assert give(firm, firm.root, firm.member(firm.root), "admin").status_code == 204
    assert give(firm, north, deputy, harmless).status_code == 204
    assert turn(firm, north, deputy, "active").status_code == 200


def test_rights_everywhere_are_rights_above(firm: Firm) -> None:
    north = firm.put("North")
    eve, denies = firm.member(north, "admin"), firm.role(north, deny=["iam.keys.read"])
    support = firm.desk.hire("admin")
    firm.join(north, support)
    headers = bearer(firm.speak(eve, north))
    exceeds(give(firm, north, support, denies, headers), "iam.*")
    assert give(firm, north, support, denies).status_code == 204
    assert take(firm, north, support, denies, firm.desk.root()).status_code == 204
    assert give(firm, north, support, denies, firm.desk.root()).status_code == 204


def test_a_superuser_is_denied_nothing_anywhere(firm: Firm) -> None:
    boss, denies = firm.desk.hire("superuser"), firm.role(firm.root, deny=["iam.users.read"])
    added = add(firm, firm.root, boss, firm.desk.root(), roles=[denies])
    assert problem_of(added, 409) == "protected"


# Whom.


def test_nobody_changes_the_membership_of_who_has_more_rights_there(firm: Firm) -> None:
    headers, boss = clerk(firm, firm.root, "iam.users.*"), firm.member(firm.root, "admin")
    for refused in (
        turn(firm, firm.root, boss, "suspended", headers),
        firm.ask("PATCH", at(firm.root, boss), json={"scopes": []}, headers=headers),
        give(firm, firm.root, boss, "member", headers),
        take(firm, firm.root, boss, "admin", headers),
        firm.ask("DELETE", at(firm.root, boss), headers=headers),
    ):
        exceeds(refused, "iam.*")
    assert turn(firm, firm.root, boss, "suspended").status_code == 200
    exceeds(turn(firm, firm.root, boss, "active", headers), "iam.*")


def test_rights_from_further_up_and_everywhere_count_as_rights_there(firm: Firm) -> None:
    north = firm.put("North")
    headers, boss = clerk(firm, north, "iam.users.*"), firm.member(north)
    assert give(firm, north, boss, "member", headers).status_code == 204
    firm.join(firm.root, boss, "admin")
    exceeds(take(firm, north, boss, "member", headers), "iam.*")
    root = firm.desk.hire("superuser")
    firm.join(north, root)
    exceeds(firm.ask("DELETE", at(north, root)), "*")
    assert firm.ask("DELETE", at(north, root), headers=firm.desk.root()).status_code == 204


def test_everybody_may_leave_who_may_remove(firm: Firm) -> None:
    eve = firm.member(firm.root, firm.role(firm.root, *MEMBERS))
    headers = bearer(firm.speak(eve, firm.root))
    assert firm.ask("DELETE", at(firm.root, eve), headers=headers).status_code == 204


# Plans and scopes.


def test_a_plan_of_ones_own_is_for_the_platform_to_decide(firm: Firm) -> None:
    bob = firm.member(firm.root)
    stranger = firm.member(firm.put("North"))
    for refused in (
        firm.ask("PATCH", at(firm.root, bob), json={"plan": "gold"}),
        add(firm, firm.root, stranger, plan="gold"),
    ):
        assert problem_of(refused, 403) == "platform_only"
        assert [error["field"] for error in refused.json()["errors"]] == ["plan"]
    for headers in (firm.desk.root(), None):  # what it is already may be said again
        answer = firm.ask("PATCH", at(firm.root, bob), json={"plan": "gold"}, headers=headers)
        assert answer.status_code == 200
    cleared = firm.ask("PATCH", at(firm.root, bob), json={"plan": None})
    assert problem_of(cleared, 403) == "platform_only"


def test_nobody_hands_on_a_scope_that_he_does_not_have_there(firm: Firm) -> None:
    root, bob = firm.desk.root(), firm.member(firm.root)

    def scopes(who: Person, *wanted: str, headers: dict[str, str] | None = None) -> httpx.Response:
        body = {"scopes": wanted}
        return firm.ask("PATCH", at(firm.root, who), json=body, headers=headers)

    exceeds(scopes(bob, "email", "export"), "email", "export")
    assert scopes(firm.ada, "email", headers=root).status_code == 200
    again = bearer(firm.speak(firm.ada, firm.root))
    exceeds(scopes(bob, "email", "export", headers=again), "export")
    assert scopes(bob, "email", headers=again).status_code == 200
    assert scopes(bob, "email", "export", headers=root).status_code == 200
    kept = scopes(bob, "export", headers=again)  # he had it
    assert kept.json()["scopes"] == ["export"]


# The last administrator.


def test_the_last_administrator_of_a_tenant_stays_one(firm: Firm) -> None:
    out = firm.role(firm.root, deny=["iam.keys.read"])
    for refused in (
        turn(firm, firm.root, firm.ada, "suspended"),
        take(firm, firm.root, firm.ada, "admin"),
        give(firm, firm.root, firm.ada, out),
        firm.ask("DELETE", at(firm.root, firm.ada)),
    ):
        assert problem_of(refused, 409) == "last_administrator"
    refusals = firm.events(firm.root, outcome="refused")
    assert {event["after"]["code"] for event in refusals} == {"last_administrator"}
    # Somebody below the root, in the root alone, suspended, or who is no person, administers
    # no tenant.
    firm.member(firm.put("North"), "admin")
    firm.member(firm.root, firm.role(firm.root, "iam.*"))
    away = firm.member(firm.root, "admin")
    assert turn(firm, firm.root, away, "suspended").status_code == 200
    assert problem_of(take(firm, firm.root, firm.ada, "admin"), 409) == "last_administrator"
    assert turn(firm, firm.root, away, "active").status_code == 200
    assert take(firm, firm.root, firm.ada, "admin").status_code == 204


def test_who_is_disabled_administers_nothing(firm: Firm) -> None:
    other = firm.member(firm.root, "admin")
    disabled = {"state": "disabled"}
    firm.desk.as_root("PATCH", f"/v1/users/{other.id}", json=disabled)
    assert problem_of(firm.ask("DELETE", at(firm.root, firm.ada)), 409) == "last_administrator"


def test_the_platform_may_take_the_last_administrator_away(firm: Firm) -> None:
    root = firm.desk.root()
    assert take(firm, firm.root, firm.ada, "admin", root).status_code == 204


def test_where_nobody_administers_the_root_nobody_has_to(firm: Firm) -> None:
    eve = firm.member(firm.root, firm.role(firm.root, *MEMBERS, "iam.users.read"))
    headers = bearer(firm.speak(eve, firm.root))
    assert take(firm, firm.root, firm.ada, "admin", firm.desk.root()).status_code == 204
    assert turn(firm, firm.root, eve, "suspended", headers).status_code == 200


def test_of_two_administrators_who_leave_at_once_one_stays(firm: Firm) -> None:
    eve = firm.member(firm.root, "admin")
    headers = bearer(firm.speak(eve, firm.root))

    def leave(who: tuple[Person, dict[str, str]]) -> int:
        url = f"{firm.desk.url}/v1/organizations/{at(firm.root, who[0])}"
        return httpx.delete(url, headers=who[1], timeout=30).status_code

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(leave, [(firm.ada, firm.above), (eve, headers)]))
    assert sorted(answers) == [204, 409]


# Seats.


def test_a_person_takes_one_seat_in_however_many_organizations(firm: Firm) -> None:
    north, root = firm.put("North"), firm.desk.root()
    run(firm, update(Tenant).where(Tenant.id == firm.tenant).values(seats=2))
    bob, eve = firm.desk.hire(), firm.desk.hire()
    assert add(firm, firm.root, bob, root).status_code == 201
    assert add(firm, north, bob, root).status_code == 201
    assert problem_of(add(firm, north, eve, root), 409) == "seats_exhausted"
    for place in (firm.root, north):
        assert turn(firm, place, bob, "suspended").status_code == 200
    assert add(firm, north, eve, root).status_code == 201
    assert problem_of(turn(firm, north, bob, "active"), 409) == "seats_exhausted"
    assert firm.ask("DELETE", at(north, eve)).status_code == 204
    assert turn(firm, north, bob, "active").status_code == 200


def test_a_service_account_takes_no_seat(firm: Firm) -> None:
    run(firm, update(Tenant).where(Tenant.id == firm.tenant).values(seats=1))
    draft = {"name": "Nightly job", "organization_id": str(firm.root)}
    created = firm.desk.as_root("POST", "/v1/service-accounts", json=draft)
    assert created.status_code == 201, created.text
    account = Person(uuid.UUID(created.json()["id"]), "", "")
    run(firm, delete(Membership).where(Membership.user_id == account.id))
    added = add(firm, firm.root, account, firm.desk.root(), roles=["staff"])
    assert (added.status_code, added.json()["kind"]) == (201, "service")
    for state in ("suspended", "active"):
        assert turn(firm, firm.root, account, state).status_code == 200


def test_of_two_who_want_the_last_seat_one_gets_it(firm: Firm) -> None:
    run(firm, update(Tenant).where(Tenant.id == firm.tenant).values(seats=2))
    root = firm.desk.root()

    def join(person: Person) -> int:
        url = f"{firm.desk.url}/v1/organizations/{firm.root}/members"
        body = {"user_id": str(person.id)}
        return httpx.post(url, json=body, headers=root, timeout=30).status_code

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(join, [firm.desk.hire() for _ in range(4)]))
    assert sorted(answers) == [201, 409, 409, 409]
