"""Organizations of a tenant over HTTP: who may create, change and end what; on both databases."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from support.desk import Desk, bearer, problem_of
from support.firm import Firm


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return Firm(desk)


def fields_of(answer: Any) -> list[str]:
    return [error["field"] for error in answer.json()["errors"]]


# Creating.


def test_a_subsidiary_is_created_shown_and_recorded(firm: Firm) -> None:
    answer = firm.create("Acme Nordic", settings={"locale": "nb"})
    assert answer.status_code == 201
    created = answer.json()
    assert answer.headers["location"] == f"/v1/organizations/{created['id']}"
    assert created == firm.show(uuid.UUID(created["id"]))
    assert created | {"id": "", "created_at": "", "updated_at": ""} == {
        "id": "",
        "tenant_id": str(firm.tenant),
        "parent_id": str(firm.root),
        "name": "Acme Nordic",
        "state": "active",
        "active": True,
        "depth": 2,
        "settings": {"locale": "nb"},
        "created_at": "",
        "updated_at": "",
        "deleted_at": None,
    }
    (event,) = firm.events(uuid.UUID(created["id"]))
    assert (event["tag"], event["actor_id"]) == (
        "tenancy:organization:created",
        str(firm.ada.id),
    )
    assert event["before"] is None
    assert event["after"] == {
        "name": "Acme Nordic",
        "parent_id": str(firm.root),
        "state": "active",
        "settings": {"locale": "nb"},
    }


def test_the_platform_creates_in_any_tenant_and_the_trail_is_the_tenants(firm: Firm) -> None:
    answer = firm.create("Acme South", headers=firm.desk.root())
    assert answer.status_code == 201
    assert firm.trails(uuid.UUID(answer.json()["id"])) == {firm.tenant}


def test_siblings_have_different_names_in_whatever_case(firm: Firm) -> None:
    north = uuid.UUID(firm.create("Straße Nord").json()["id"])
    for name in ("Straße Nord", "STRASSE NORD"):
        refused = firm.create(name)
        assert problem_of(refused, 409) == "name_taken"
        assert fields_of(refused) == ["name"]
    assert firm.create("Straße Nord", north).status_code == 201
    assert firm.ask("DELETE", str(north), params={"subtree": True}).status_code == 204
    assert firm.create("strasse nord").status_code == 201


@pytest.mark.parametrize("name", ["", " ", " Acme", "A\u0000", "A\nB", "A" * 101, "\u202eevil"])
def test_a_name_that_nobody_can_read_is_refused(firm: Firm, name: str) -> None:
    refused = firm.create(name)
    assert problem_of(refused, 422) == "validation_failed"
    assert fields_of(refused) == ["name"]
    assert problem_of(firm.patch(firm.root, name=name), 422) == "validation_failed"


@pytest.mark.parametrize("settings", [{"": 1}, {"a": "\u0000"}, {"a": "x" * 20_000}])
def test_settings_that_cannot_be_kept_are_refused(firm: Firm, settings: dict[str, Any]) -> None:
    assert fields_of(firm.create("Acme Works", settings=settings)) == ["settings"]
    assert fields_of(firm.patch(firm.root, settings=settings)) == ["settings"]


def test_the_ninth_level_is_refused(firm: Firm) -> None:
    *_, eighth = firm.chain(7)
    assert firm.show(eighth)["depth"] == 8
    assert problem_of(firm.create("Level 9", eighth), 409) == "organization_too_deep"


def test_nothing_is_created_below_what_is_not_active(firm: Firm) -> None:
    north = firm.put("North")
    works = firm.put("Works", north)
    assert firm.patch(north, state="deactivated").status_code == 200
    for parent in (north, works):
        assert problem_of(firm.create("New", parent), 409) == "organization_inactive"


def test_a_parent_of_another_tenant_is_not_there(firm: Firm) -> None:
    other = Firm(firm.desk)
    assert problem_of(firm.create("New", other.root), 404) == "not_found"
    assert problem_of(firm.create("New", uuid.uuid4()), 404) == "not_found"


# Who may.


def test_each_acts_where_he_has_the_right_and_knows_of_nothing_else(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    works = firm.put("Works", north)
    local = bearer(firm.speak(firm.member(north, "admin"), north))
    assert firm.show(works, local)["name"] == "Works"
    assert firm.patch(works, local, name="The Works").status_code == 200
    for stranger in (firm.root, south, Firm(firm.desk).root, uuid.uuid4()):
        for answer in (
            firm.ask("GET", str(stranger), headers=local),
            firm.ask("GET", f"{stranger}/settings", headers=local),
            firm.patch(stranger, local, name="Mine"),
            firm.create("Mine", stranger, headers=local),
            firm.ask("DELETE", str(stranger), headers=local),
            firm.ask("DELETE", f"{stranger}/sessions", headers=local),
            firm.move(stranger, north, local),
            firm.move(works, stranger, local),
        ):
            assert problem_of(answer, 404) == "not_found"


def test_a_right_that_lacks_is_named_where_one_may_know(firm: Firm) -> None:
    north = firm.put("North")
    works = firm.put("Works", north)
    reader = firm.role(north, "iam.organizations.read", inherited=True)
    writer = firm.role(firm.root, "iam.organizations.write", "iam.organizations.read")
    person = firm.member(firm.root, writer)
    firm.join(north, person, reader)
    headers = bearer(firm.speak(person, firm.root))
    assert firm.show(works, headers)["id"] == str(works)
    for answer in (
        firm.patch(works, headers, name="Mine"),
        firm.create("Mine", works, headers=headers),
        firm.ask("DELETE", str(works), headers=headers),
        firm.move(works, firm.root, headers),
    ):
        assert problem_of(answer, 403) == "permission_denied"
        assert answer.json()["missing"] == ["iam.organizations.write"]


def test_rights_of_yesterday_are_no_rights(firm: Firm) -> None:
    north = firm.put("North")
    person = firm.member(north, "admin")
    headers = bearer(firm.speak(person, north))
    body = {"state": "disabled"}
    assert firm.desk.as_root("PATCH", f"/v1/users/{person.id}", json=body).status_code == 200
    assert firm.ask("GET", str(north), headers=headers).status_code == 401


# Changing.


def test_a_change_is_recorded_with_what_was_before(firm: Firm) -> None:
    north = firm.put("North")
    answer = firm.patch(north, name="Far North", settings={"locale": "nb"})
    assert (answer.status_code, answer.json()) == (200, firm.show(north))
    assert answer.json()["name"] == "Far North"
    assert answer.json()["settings"] == {"locale": "nb"}
    (event,) = firm.events(north)
    assert event["tag"] == "tenancy:organization:updated"
    assert event["before"]["name"] == "North"
    assert event["after"]["settings"] == {"locale": "nb"}
    # What is so already is no change.
    assert firm.patch(north, name="Far North", state="active").status_code == 200
    assert firm.patch(north).status_code == 200
    assert len(firm.events(north)) == 1


def test_a_name_may_change_its_case_and_not_into_a_siblings(firm: Firm) -> None:
    north, _ = firm.put("North"), firm.put("South")
    assert firm.patch(north, name="NORTH").json()["name"] == "NORTH"
    assert problem_of(firm.patch(north, name="south"), 409) == "name_taken"


def test_the_root_can_be_renamed_like_another_tenants(firm: Firm) -> None:
    other = Firm(firm.desk)
    assert firm.patch(firm.root, firm.desk.root(), name="Holding").status_code == 200
    assert firm.patch(other.root, firm.desk.root(), name="Holding").status_code == 200


def test_the_root_stays_what_it_is(firm: Firm) -> None:
    for headers in (firm.above, firm.desk.root()):
        answer = firm.patch(firm.root, headers, state="deactivated")
        assert problem_of(answer, 409) == "protected"
        answer = firm.ask("DELETE", str(firm.root), params={"subtree": True}, headers=headers)
        assert problem_of(answer, 409) == "protected"
    assert firm.show(firm.root)["active"]
    assert {event["outcome"] for event in firm.events(firm.root)} == {"refused"}


# Deactivating and activating.


def test_deactivating_ends_the_sessions_that_speak_for_it_or_for_one_below(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    works = firm.put("Works", north)
    ended = [firm.speak(firm.ada, north), firm.speak(firm.member(works), works)]
    untouched = [firm.speak(firm.ada, south), firm.speak(firm.ada, firm.root)]
    answer = firm.patch(north, state="deactivated")
    assert (answer.json()["state"], answer.json()["active"]) == ("deactivated", False)
    assert firm.show(works) | {"state": "active", "active": False} == firm.show(works)
    for tokens in ended:
        assert firm.voided(tokens)
        refused = firm.desk.refresh(tokens["refresh_token"])
        assert problem_of(refused, 401) == "session_ended"
    for tokens in untouched:
        assert not firm.voided(tokens)
        assert firm.desk.refresh(tokens["refresh_token"]).status_code == 200
    (event,) = firm.events(north, tag="session:session:ended")
    assert event["after"] == {"reason": "organization_inactive", "sessions": 2}


def test_what_the_platform_ends_is_in_the_tenants_trail(firm: Firm) -> None:
    north = firm.put("North")
    firm.speak(firm.ada, north)
    root = firm.desk.root()
    assert firm.patch(north, root, state="deactivated").status_code == 200
    assert firm.ask("DELETE", f"{north}/sessions", headers=root).status_code == 204
    assert firm.ask("DELETE", str(north), headers=root).status_code == 204
    assert len(firm.events(north)) == 3
    assert firm.trails(north) == {firm.tenant}


def test_while_it_is_deactivated_nobody_speaks_for_it(firm: Firm) -> None:
    north = firm.put("North")
    works = firm.put("Works", north)
    tokens = firm.speak(firm.ada, works)
    firm.patch(north, state="deactivated")
    refused = firm.desk.login(firm.ada.login, organization=str(works))
    assert problem_of(refused, 403) == "not_a_member"
    assert firm.patch(north, state="active").json()["active"]
    # No session comes back; a new one can begin.
    assert problem_of(firm.desk.refresh(tokens["refresh_token"]), 401) == "session_ended"
    assert not firm.voided(firm.speak(firm.ada, works))


def test_who_was_put_out_does_not_let_himself_in_again(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    works = firm.put("Works", north)
    local = firm.member(north, "admin")
    firm.join(south, local, "admin")
    headers = bearer(firm.speak(local, south))
    assert firm.show(works, headers)["active"]
    firm.patch(north, state="deactivated")
    for place in (north, works):
        assert problem_of(firm.patch(place, headers, state="active"), 404) == "not_found"
    # From further up it can still be seen, and changed.
    assert not firm.show(works)["active"]
    assert firm.patch(works, name="Old works").status_code == 200
    assert firm.patch(north, state="active").status_code == 200
    assert firm.show(works, headers)["active"]


def test_with_its_tenant_everything_is_inactive(firm: Firm) -> None:
    north = firm.put("North")
    body = {"state": "suspended"}
    path = f"/v1/tenants/{firm.tenant}"
    assert firm.desk.as_root("PATCH", path, json=body).status_code == 200
    seen = firm.show(north, firm.desk.root())
    assert (seen["state"], seen["active"]) == ("active", False)
    answer = firm.create("New", headers=firm.desk.root())
    assert problem_of(answer, 409) == "organization_inactive"


# Deleting.


def test_a_deleted_one_is_only_in_lists(firm: Firm) -> None:
    north = firm.put("North")
    tokens = firm.speak(firm.ada, north)
    assert firm.ask("DELETE", str(north)).status_code == 204
    assert firm.voided(tokens)
    assert problem_of(firm.ask("GET", str(north)), 404) == "not_found"
    assert problem_of(firm.patch(north, state="active"), 404) == "not_found"
    assert problem_of(firm.ask("DELETE", str(north)), 404) == "not_found"
    assert firm.names() == ["Acme"]
    assert firm.names(state="deleted") == ["North"]
    deleted = [event for event in firm.events(north) if event["tag"].endswith("deleted")]
    assert [(event["before"]["state"], event["after"]["state"]) for event in deleted] == [
        ("active", "deleted")
    ]


def test_one_with_subsidiaries_goes_with_all_of_them_or_not_at_all(firm: Firm) -> None:
    north = firm.put("North")
    works, office = firm.put("Works", north), firm.put("Office", north)
    assert firm.ask("DELETE", str(office)).status_code == 204
    firm.patch(works, state="deactivated")
    assert problem_of(firm.ask("DELETE", str(north)), 409) == "in_use"
    assert firm.names() == ["Acme", "North", "Works"]
    assert firm.ask("DELETE", str(north), params={"subtree": True}).status_code == 204
    assert firm.names() == ["Acme"]
    for gone in (north, works):
        assert firm.events(gone)[0]["after"]["state"] == "deleted"
    # That one was deleted before.
    assert len(firm.events(office)) == 1


# Settings.


def test_settings_are_inherited_from_parent_and_tenant(firm: Firm) -> None:
    north = firm.put("North")
    works = firm.put("Works", north)
    path = f"/v1/tenants/{firm.tenant}"
    body = {"settings": {"locale": "en", "logo": "acme", "theme": {"dark": True}}}
    assert firm.desk.as_root("PATCH", path, json=body).status_code == 200
    firm.patch(firm.root, settings={"logo": "root", "fax": 1})
    firm.patch(north, settings={"locale": "nb", "fax": None})
    firm.patch(works, settings={"fax": 3})
    answer = firm.ask("GET", f"{works}/settings")
    assert answer.status_code == 200
    assert answer.json() == {
        "organization_id": str(works),
        "settings": {
            "fax": {"value": 3, "source": "organization", "source_id": str(works)},
            "locale": {"value": "nb", "source": "organization", "source_id": str(north)},
            "logo": {"value": "root", "source": "organization", "source_id": str(firm.root)},
            "theme": {"value": {"dark": True}, "source": "tenant", "source_id": str(firm.tenant)},
        },
    }
    above = firm.ask("GET", f"{north}/settings").json()["settings"]
    assert above["fax"] == {"value": None, "source": "organization", "source_id": str(north)}


# Ending sessions.


def test_sessions_that_speak_for_it_are_ended_and_those_below_if_asked(firm: Firm) -> None:
    north = firm.put("North")
    works = firm.put("Works", north)
    there, below = firm.speak(firm.ada, north), firm.speak(firm.ada, works)
    assert firm.ask("DELETE", f"{north}/sessions").status_code == 204
    assert (firm.voided(there), firm.voided(below)) == (True, False)
    again = firm.speak(firm.ada, north)
    assert firm.ask("DELETE", f"{north}/sessions", params={"subtree": True}).status_code == 204
    assert firm.voided(again)
    assert firm.voided(below)
    event, _ = firm.events(north, tag="session:session:ended")
    assert event["after"] == {"reason": "by_administrator", "sessions": 2}


def test_ending_sessions_takes_the_right_to_that(firm: Firm) -> None:
    writer = firm.role(firm.root, "iam.organizations.*")
    headers = bearer(firm.speak(firm.member(firm.root, writer), firm.root))
    refused = firm.ask("DELETE", f"{firm.root}/sessions", headers=headers)
    assert problem_of(refused, 403) == "permission_denied"
    assert refused.json()["missing"] == ["iam.sessions.write"]
