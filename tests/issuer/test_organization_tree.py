"""Organizations move about in the tree: where they may go, and whose rights follow them."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from support.desk import Desk, bearer, problem_of
from support.firm import Firm


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return Firm(desk)


def test_an_organization_moves_with_all_below_it(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    works = firm.put("Works", north)
    office = firm.put("Office", works)
    answer = firm.move(works, south)
    assert answer.status_code == 200
    assert answer.json() == firm.show(works)
    assert (answer.json()["parent_id"], answer.json()["depth"]) == (str(south), 3)
    assert firm.show(office)["depth"] == 4
    assert firm.names(subtree_of=south) == ["Office", "South", "Works"]
    assert firm.names(subtree_of=north) == ["North"]
    (event,) = firm.events(works)
    assert event["tag"] == "tenancy:organization:moved"
    assert (event["before"]["parent_id"], event["after"]["parent_id"]) == (str(north), str(south))
    # It is there already.
    assert firm.move(works, south).status_code == 200
    assert len(firm.events(works)) == 1


def test_nothing_comes_to_be_below_itself(firm: Firm) -> None:
    north = firm.put("North")
    works = firm.put("Works", north)
    for parent in (north, works):
        assert problem_of(firm.move(north, parent), 409) == "organization_cycle"
    assert problem_of(firm.move(firm.root, works), 409) == "organization_cycle"


def test_the_depth_that_counts_is_that_of_the_deepest(firm: Firm) -> None:
    first, *_, last = firm.chain(5)
    place = firm.put("South")
    below = firm.put("Below", place)
    assert problem_of(firm.move(first, firm.put("Bottom", below)), 409) == "organization_too_deep"
    assert firm.move(first, below).status_code == 200
    assert firm.show(last)["depth"] == 8


def test_what_is_deleted_hinders_no_move(firm: Firm) -> None:
    first, *_, last = firm.chain(5)
    assert firm.ask("DELETE", str(last)).status_code == 204
    *_, deep = firm.chain(3, firm.put("South"))
    assert problem_of(firm.move(first, deep), 409) == "organization_too_deep"
    *_, fits = firm.chain(2, firm.put("West"))
    assert firm.move(first, fits).status_code == 200


def test_a_name_that_is_taken_there_keeps_it_where_it_is(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    works, other = firm.put("Works", north), firm.put("WORKS", south)
    assert problem_of(firm.move(works, south), 409) == "name_taken"
    assert firm.ask("DELETE", str(other)).status_code == 204
    assert firm.move(works, south).status_code == 200


def test_nothing_moves_to_what_is_not_active_or_to_another_tenant(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    firm.patch(south, state="deactivated")
    other = Firm(firm.desk)
    for headers in (firm.above, firm.desk.root()):
        assert problem_of(firm.move(north, south, headers), 409) == "organization_inactive"
        assert problem_of(firm.move(north, other.root, headers), 404) == "not_found"
        assert problem_of(firm.move(north, uuid.uuid4(), headers), 404) == "not_found"


def test_what_is_deactivated_can_be_moved_out(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    works = firm.put("Works", north)
    firm.patch(north, state="deactivated")
    assert firm.move(works, south).json()["active"]


def test_it_takes_the_right_in_all_three(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    works = firm.put("Works", north)
    writes = firm.role(firm.root, "iam.organizations.*")
    for places in ((works, south), (works, north), (north, south)):
        person = firm.desk.hire()
        for place in places:
            firm.join(place, person, writes)
        headers = bearer(firm.speak(person, places[0]))
        assert problem_of(firm.move(works, south, headers), 404) == "not_found"
    person = firm.member(works, writes)
    for place in (north, south):
        firm.join(place, person, writes)
    assert firm.move(works, south, bearer(firm.speak(person, works))).status_code == 200


# Whose rights follow.


def test_tokens_are_voided_of_who_had_rights_from_above_and_of_who_has_them_now(
    firm: Firm,
) -> None:
    north, south = firm.put("North"), firm.put("South")
    works = firm.put("Works", north)
    office = firm.put("Office", works)
    before, after, own = (
        firm.member(north, "admin"),
        firm.member(south, "admin"),
        firm.member(office, "member"),
    )
    firm.join(works, after, "member")
    tokens = {
        "loses": firm.speak(before, office),
        "gains": firm.speak(after, works),
        "elsewhere": firm.speak(before, north),
        "own": firm.speak(own, office),
        "far above": firm.speak(firm.ada, office),
    }
    assert firm.move(works, south).status_code == 200
    assert {name for name, held in tokens.items() if firm.voided(held)} == {"loses", "gains"}
    lost = firm.desk.refresh(tokens["loses"]["refresh_token"])
    assert problem_of(lost, 403) == "not_a_member"
    gained = firm.desk.claims(firm.desk.renewed(tokens["gains"]["refresh_token"]))
    assert gained.permissions == ("iam.*",)


def test_nobody_hands_over_what_he_does_not_hold(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    works = firm.put("Works", north)
    writes = firm.role(firm.root, "iam.organizations.*", inherited=True)
    mover = firm.member(firm.root, writes)
    headers = bearer(firm.speak(mover, firm.root))
    # Who administers the south would administer the works: the mover, as it happens.
    firm.join(south, mover, "admin")
    refused = firm.move(works, south, headers)
    assert problem_of(refused, 403) == "grant_exceeds_own"
    assert refused.json()["missing"] == ["iam.*"]
    (event,) = firm.events(works, outcome="refused")
    assert event["tag"] == "tenancy:organization:moved"
    assert firm.move(works, south).status_code == 200


def test_nobody_lifts_a_denial_by_moving_out_of_it(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    works = firm.put("Works", north)
    denied = firm.role(north, deny=["inventory.write"], inherited=True)
    firm.member(north, denied)
    refused = firm.move(works, south)
    assert problem_of(refused, 403) == "grant_exceeds_own"
    assert refused.json()["missing"] == ["inventory.write"]
    assert firm.move(works, south, firm.desk.root()).status_code == 200


def test_nobody_puts_who_administers_where_it_goes_out_of_office_by_moving(firm: Firm) -> None:
    """What the boss is denied in the works he could not hand on in the south any more."""
    north, south = firm.put("North"), firm.put("South")
    works = firm.put("Works", north)
    writes = firm.role(firm.root, "iam.organizations.*")
    eve, boss = firm.member(works, "admin"), firm.member(south, "admin")
    for place in (north, south):
        firm.join(place, eve, writes)
    firm.join(works, boss, firm.role(works, deny=["iam.members.write"]))
    headers = bearer(firm.speak(eve, works))
    refused = firm.move(works, south, headers)
    assert problem_of(refused, 403) == "grant_exceeds_own"
    assert refused.json()["missing"] == ["iam.*"]
    # What is denied to who has no more rights above than she hinders nobody.
    yard = firm.put("Yard", north)
    firm.join(yard, eve, "admin")
    firm.member(yard, firm.role(yard, deny=["iam.members.write"]))
    assert firm.move(yard, south, bearer(firm.speak(eve, yard))).status_code == 200
    assert firm.move(works, south).status_code == 200


def test_a_role_of_what_it_leaves_keeps_it_there_while_members_have_it(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    works = firm.put("Works", north)
    office = firm.put("Office", works)
    local = firm.role(works, "iam.users.read")
    firm.member(office, local)
    stuck = firm.role(north, "iam.users.read")
    firm.member(office, stuck)
    refused = firm.move(works, south)
    assert problem_of(refused, 409) == "in_use"
    (error,) = refused.json()["errors"]
    assert stuck in error["detail"]
    # What belongs to it, or to what is above both, comes along.
    assert firm.move(office, firm.put("Yard", works)).status_code == 200


# At the same moment.


def at_once(*acts: Any) -> list[httpx.Response]:
    """Do all *acts* at the same moment, each on a thread of its own."""
    start = threading.Barrier(len(acts))

    def run(act: Any) -> httpx.Response:
        start.wait(30)
        answer: httpx.Response = act()
        return answer

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@pytest.mark.parametrize("attempt", range(3))
def test_of_two_moves_that_together_make_a_cycle_one_is_refused(firm: Firm, attempt: int) -> None:
    assert attempt >= 0
    north, south = firm.put("North"), firm.put("South")
    one = firm.put("One", north)
    two = firm.put("Two", south)
    answers = at_once(lambda: firm.move(north, two), lambda: firm.move(south, one))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    (refused,) = [answer for answer in answers if answer.status_code == 409]
    assert problem_of(refused, 409) == "organization_cycle"
    assert firm.names(subtree_of=firm.root) == ["Acme", "North", "One", "South", "Two"]


@pytest.mark.parametrize("attempt", range(3))
def test_nothing_is_left_below_what_was_deleted_meanwhile(firm: Firm, attempt: int) -> None:
    assert attempt >= 0
    north = firm.put("North")
    created, deleted = at_once(
        lambda: firm.create("New", north), lambda: firm.ask("DELETE", str(north))
    )
    if created.status_code == 201:
        assert problem_of(deleted, 409) == "in_use"
        assert firm.names() == ["Acme", "New", "North"]
    else:
        assert problem_of(created, 404) == "not_found"
        assert deleted.status_code == 204
        assert firm.names() == ["Acme"]


@pytest.mark.parametrize("attempt", range(3))
def test_of_twins_at_the_same_moment_one_gets_the_name(firm: Firm, attempt: int) -> None:
    assert attempt >= 0
    answers = at_once(*[lambda: firm.create("Twin")] * 3)
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert firm.names(search="twin") == ["Twin"]


def test_a_login_at_the_same_moment_finds_the_organization_active_or_is_ended(firm: Firm) -> None:
    north = firm.put("North")
    people = [firm.member(north) for _ in range(4)]

    def login(person: Any) -> Any:
        return lambda: firm.desk.login(person.login, organization=str(north))

    deactivated, *logins = at_once(
        lambda: firm.patch(north, state="deactivated"), *map(login, people)
    )
    assert deactivated.status_code == 200
    for answer in logins:
        if answer.status_code == 200:
            refused = firm.desk.refresh(answer.json()["refresh_token"])
            assert problem_of(refused, 401) == "session_ended"
        else:
            assert problem_of(answer, 403) == "not_a_member"
