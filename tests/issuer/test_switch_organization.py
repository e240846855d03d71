"""Tokens that speak for an organization: by login, by refresh, by switching; on both databases."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from msgspec import UNSET, Struct
from sqlalchemy import delete, update

from apostille_issuer.db.attempts import ATTEMPTS
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.db.types import new_id
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.tenancy.models import Membership, Organization, Tenant, TenantDomain
from support.desk import Desk, Person, bearer, problem_of
from support.giving_way import given_up
from support.lists import bit_in, place_of
from support.tenants import insert_membership, insert_organization, insert_tenant


class Town(Struct):
    """Two customers: Acme with a subsidiary and its own, and Bolt."""

    desk: Desk
    acme: uuid.UUID
    root: uuid.UUID
    works: uuid.UUID
    bolt: uuid.UUID
    ada: Person
    """Administers Acme; staff at Bolt; nothing of her own at the works."""

    def switch(self, refresh_token: str, organization: uuid.UUID | None) -> httpx.Response:
        wanted = None if organization is None else str(organization)
        return self.desk.http.post(
            "/v1/auth/switch-organization",
            json={"refresh_token": refresh_token, "organization": wanted},
        )

    def run(self, *statements: Any) -> None:
        async def act() -> None:
            async with self.desk.issuer.database.begin(EVERY_TENANT) as session:
                for statement in statements:
                    await session.execute(statement)

        self.desk.run(act())

    def switches(self) -> list[dict[str, Any]]:
        """Return what the audit trail says of Ada's."""
        return self.desk.events(tag="session:organization:switched", actor_id=str(self.ada.id))

    def revoked(self, tokens: dict[str, Any]) -> bool:
        self.desk.wait(timedelta(seconds=1))
        list_id, idx = place_of(tokens["access_token"])
        answer = self.desk.http.get(f"/status-lists/{list_id}")
        return bit_in(answer.text, idx) == 1


@pytest.fixture
def town(desk: Desk) -> Town:
    issuer, run = desk.issuer, desk.run
    acme, root = run(insert_tenant(issuer, "Acme"))
    works = run(insert_organization(issuer, acme, "Acme Works", root))
    _, bolt = run(insert_tenant(issuer, "Bolt"))
    ada = desk.hire()
    run(insert_membership(issuer, root, ada.id, "admin", "member", plan="gold"))
    run(insert_membership(issuer, bolt, ada.id, "staff", scopes=("email", "profile")))
    return Town(desk, acme, root, works, bolt, ada)


def test_a_token_speaks_for_the_organization_that_was_named(town: Town) -> None:
    tokens = town.desk.tokens(town.ada.login, organization=str(town.root))
    claims = town.desk.claims(tokens)
    assert (claims.tid, claims.org) == (str(town.acme), str(town.root))
    assert (claims.roles, claims.permissions) == (("admin", "member"), ("iam.*",))
    assert (claims.plan, claims.scope) == ("gold", "")


def test_without_one_it_speaks_for_none(town: Town) -> None:
    claims = town.desk.claims(town.desk.tokens(town.ada.login))
    assert (claims.tid, claims.org, claims.plan) == (UNSET, UNSET, UNSET)
    assert (claims.roles, claims.permissions, claims.scope) == ((), (), "")


def test_a_refresh_speaks_for_the_same_one(town: Town) -> None:
    first = town.desk.tokens(town.ada.login, organization=str(town.bolt))
    second = town.desk.renewed(first["refresh_token"])
    claims = town.desk.claims(second)
    assert (claims.org, claims.roles) == (str(town.bolt), ("staff",))
    assert (claims.plan, claims.scope) == ("basic", "email profile")


def test_only_inherited_roles_reach_down(town: Town) -> None:
    tokens = town.desk.tokens(town.ada.login, organization=str(town.works))
    claims = town.desk.claims(tokens)
    assert (claims.tid, claims.org) == (str(town.acme), str(town.works))
    assert (claims.roles, claims.plan) == (("admin",), "gold")


def test_roles_held_everywhere_are_held_in_organizations(town: Town) -> None:
    town.desk.as_root("PUT", f"/v1/users/{town.ada.id}/roles/staff")
    claims = town.desk.claims(town.desk.tokens(town.ada.login, organization=str(town.works)))
    assert claims.roles == ("admin", "staff")


@pytest.mark.parametrize("act", ["login", "switch"])
@pytest.mark.parametrize("reason", ["unknown", "stranger", "suspended", "deactivated", "tenant"])
def test_whoever_does_not_belong_there_is_refused(town: Town, act: str, reason: str) -> None:
    who, place = town.ada, town.works
    match reason:
        case "unknown":
            place = uuid.uuid4()
        case "stranger":
            who = town.desk.hire()
        case "suspended":
            here = update(Membership).where(Membership.tenant_id == town.acme)
            town.run(here.values(state="suspended"))
        case "deactivated":  # the one above it
            gone = update(Organization).where(Organization.id == town.root)
            town.run(gone.values(state="deactivated"))
        case _:
            town.run(update(Tenant).where(Tenant.id == town.acme).values(state="suspended"))
    if act == "login":
        refused = town.desk.login(who.login, organization=str(place))
        assert problem_of(refused, 403) == "not_a_member"
        return
    tokens = town.desk.tokens(who.login)
    assert problem_of(town.switch(tokens["refresh_token"], place), 403) == "not_a_member"
    # Nothing was used up.
    assert town.desk.refresh(tokens["refresh_token"]).status_code == 200


def test_switching_answers_like_a_login_and_voids_the_token_before(town: Town) -> None:
    first = town.desk.tokens(town.ada.login, organization=str(town.root))
    answer = town.switch(first["refresh_token"], town.bolt)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    second = answer.json()
    assert second.keys() == first.keys()
    before, after = town.desk.claims(first), town.desk.claims(second)
    assert (before.sid, before.auth_time) == (after.sid, after.auth_time)
    assert (after.org, after.roles) == (str(town.bolt), ("staff",))
    assert town.revoked(first)
    assert not town.revoked(second)
    # Each customer is told of its own.
    told = [
        (event["before"]["organization"], event["after"]["organization"])
        for event in town.switches()
    ]
    assert sorted(told, key=str) == sorted(
        [(str(town.root), None), (None, str(town.bolt))], key=str
    )


def test_switching_to_none_speaks_for_the_platform_again(town: Town) -> None:
    first = town.desk.tokens(town.ada.login, organization=str(town.root))
    second = town.switch(first["refresh_token"], None).json()
    assert town.desk.claims(second).org is UNSET
    assert town.desk.claims(town.desk.renewed(second["refresh_token"])).org is UNSET


def test_switching_to_the_same_one_is_a_refresh(town: Town) -> None:
    first = town.desk.tokens(town.ada.login, organization=str(town.root))
    second = town.switch(first["refresh_token"], town.root).json()
    assert town.desk.claims(second).org == str(town.root)
    assert not town.revoked(first)
    assert town.switches() == []


def test_a_lost_answer_is_given_again(town: Town) -> None:
    first = town.desk.tokens(town.ada.login, organization=str(town.root))
    second = town.switch(first["refresh_token"], town.bolt).json()
    again = town.switch(first["refresh_token"], town.bolt).json()
    assert again["refresh_token"] == second["refresh_token"]
    assert town.desk.claims(again).org == str(town.bolt)


def test_a_used_token_is_theft_here_too(town: Town) -> None:
    first = town.desk.tokens(town.ada.login, organization=str(town.root))
    second = town.desk.renewed(first["refresh_token"])
    town.desk.wait(timedelta(minutes=5))
    refused = town.switch(first["refresh_token"], town.bolt)
    assert problem_of(refused, 401) == "refresh_token_reused"
    assert problem_of(town.desk.refresh(second["refresh_token"]), 401) == "session_ended"


def test_a_forged_token_switches_nothing(town: Town) -> None:
    refused = town.switch("apo_rt_nonsense", town.root)
    assert problem_of(refused, 401) == "invalid_refresh_token"


def test_many_tabs_that_switch_at_once_end_where_the_session_is(town: Town) -> None:
    """Each gets a good successor; the session speaks for one, and so does its next token."""
    first = town.desk.tokens(town.ada.login)
    places = [town.root, town.bolt, town.works, None] * 3
    with ThreadPoolExecutor(len(places)) as pool:
        answers = list(pool.map(lambda place: town.switch(first["refresh_token"], place), places))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    renewed = town.desk.claims(town.desk.renewed(answers[0].json()["refresh_token"]))
    good = [answer.json() for answer in answers if not town.revoked(answer.json())]
    assert {town.desk.claims(tokens).org for tokens in good} == {renewed.org}


def test_a_browser_switches_by_its_cookies(town: Town) -> None:
    origin = {"origin": town.desk.url, "sec-fetch-site": "same-origin"}
    with httpx.Client(base_url=town.desk.url, headers=origin) as browser:
        body = {"login": town.ada.login, "password": town.ada.password, "transport": "cookie"}
        login = browser.post("/v1/auth/login", json=body)
        assert login.status_code == 200
        cookies = {cookie.name: cookie.value for cookie in login.cookies.jar}
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        wanted = {"organization": str(town.bolt)}
        answer = browser.post("/v1/auth/switch-organization", json=wanted, headers=headers)
        assert answer.status_code == 200, answer.text
        assert "refresh_token" not in answer.json()
        assert {cookie.name for cookie in answer.cookies.jar} == cookies.keys()
        bare = browser.post("/v1/auth/switch-organization", json=wanted)
        assert problem_of(bare, 422) == "validation_failed"


def test_sessions_say_whom_they_speak_for(town: Town) -> None:
    tokens = town.desk.tokens(town.ada.login, organization=str(town.root))
    listed = town.desk.http.get("/v1/me/sessions", headers=bearer(tokens))
    assert [item["organization_id"] for item in listed.json()["items"]] == [str(town.root)]


def test_an_administrator_of_a_customer_is_none_of_the_platform(town: Town) -> None:
    tokens = town.desk.tokens(town.ada.login, organization=str(town.root))
    for path in ("/v1/users", "/v1/roles", "/v1/keys", "/v1/services"):
        refused = town.desk.http.get(path, headers=bearer(tokens))
        assert problem_of(refused, 403) == "platform_only", path
    assert town.desk.http.get("/v1/me", headers=bearer(tokens)).status_code == 200


def test_he_reads_the_trail_of_his_own_customer_alone(town: Town) -> None:
    desk = town.desk
    tokens = desk.tokens(town.ada.login, organization=str(town.root))
    desk.tokens(town.ada.login, organization=str(town.bolt))
    seen = desk.http.get("/v1/audit/events", headers=bearer(tokens)).json()["items"]
    assert [(event["tag"], event["actor_id"]) for event in seen] == [
        ("session:login:succeeded", str(town.ada.id))
    ]
    below = desk.tokens(town.ada.login, organization=str(town.works))
    assert desk.http.get("/v1/audit/events", headers=bearer(below)).status_code == 200


def test_who_administers_a_subsidiary_does_not_read_it(town: Town) -> None:
    bob = town.desk.hire()
    town.desk.run(insert_membership(town.desk.issuer, town.works, bob.id, "admin"))
    tokens = town.desk.tokens(bob.login, organization=str(town.works))
    refused = town.desk.http.get("/v1/audit/events", headers=bearer(tokens))
    assert problem_of(refused, 404) == "not_found"


@pytest.mark.parametrize("organization", ["acme", "", "0" * 300, 7, ["x"]])
def test_an_organization_is_named_by_its_identifier(town: Town, organization: object) -> None:
    refused = town.desk.login(town.ada.login, organization=organization)
    assert problem_of(refused, 422) == "validation_failed"


class TestAtTheHostOfACustomer:
    @pytest.fixture(autouse=True)
    def host(self, town: Town) -> str:
        """A host name that is Acme's; nobody's with a letter before it."""
        mine = f"iam.acme{town.acme.hex}.example"

        async def verify() -> None:
            now = town.desk.issuer.clock()
            async with town.desk.issuer.database.begin(EVERY_TENANT) as session:
                for host, verified in ((mine, now), (f"x{mine}", None)):
                    session.add(
                        TenantDomain(
                            id=new_id(),
                            tenant_id=town.acme,
                            host=host,
                            challenge="x",
                            created_at=now,
                            verified_at=verified,
                        )
                    )

        town.desk.run(verify())
        return mine

    def login(self, town: Town, host: str, person: Person, **fields: Any) -> httpx.Response:
        body = {"login": person.login, "password": person.password, **fields}
        return town.desk.http.post("/v1/auth/login", json=body, headers={"host": host})

    def test_one_speaks_for_ones_own_there(self, town: Town, host: str) -> None:
        for spelling in (host, f"{host.upper()}:8443"):
            answer = self.login(town, spelling, town.ada)
            assert town.desk.claims(answer.json()).org == str(town.root)

    def test_one_may_name_another_of_the_same_customer(self, town: Town, host: str) -> None:
        answer = self.login(town, host, town.ada, organization=str(town.works))
        assert town.desk.claims(answer.json()).org == str(town.works)

    def test_one_whose_parent_is_deactivated_is_passed_over(self, town: Town, host: str) -> None:
        bob, issuer = town.desk.hire(), town.desk.issuer
        shut = town.desk.run(insert_organization(issuer, town.acme, "A Shut", town.root))
        below = town.desk.run(insert_organization(issuer, town.acme, "Below", shut))
        deep = town.desk.run(insert_organization(issuer, town.acme, "Deep", town.works))
        for place in (below, deep):
            town.desk.run(insert_membership(issuer, place, bob.id, "member"))
        town.run(update(Organization).where(Organization.id == shut).values(state="deactivated"))
        answer = self.login(town, host, bob)
        assert town.desk.claims(answer.json()).org == str(deep)

    def test_but_none_of_another(self, town: Town, host: str) -> None:
        answer = self.login(town, host, town.ada, organization=str(town.bolt))
        assert problem_of(answer, 403) == "not_a_member"

    def test_strangers_are_refused(self, town: Town, host: str) -> None:
        answer = self.login(town, host, town.desk.hire())
        assert problem_of(answer, 403) == "not_a_member"

    def test_a_host_that_is_nobodys_leads_nowhere(self, town: Town, host: str) -> None:
        for other in (f"x{host}", "elsewhere.example"):
            answer = self.login(town, other, town.ada)
            assert town.desk.claims(answer.json()).org is UNSET


def test_a_session_goes_with_its_organization(town: Town) -> None:
    """It must not come to speak for the platform when the rows of a customer are removed."""
    tokens = town.desk.tokens(town.ada.login, organization=str(town.works))
    session_id = uuid.UUID(str(town.desk.claims(tokens).sid))
    town.run(delete(Organization).where(Organization.id == town.works))

    async def left() -> object:
        async with town.desk.issuer.database.read(EVERY_TENANT) as session:
            return await session.get(LoginSession, session_id)

    assert town.desk.run(left()) is None
    assert problem_of(town.desk.refresh(tokens["refresh_token"]), 401) == "session_ended"


def test_a_session_that_switches_all_the_time_is_slowed_down(town: Town) -> None:
    limit = town.desk.issuer.settings.switch_limit_per_session
    tokens, others = town.desk.tokens(town.ada.login), town.desk.tokens(town.ada.login)
    for number in range(limit.attempts):
        answer = town.switch(tokens["refresh_token"], town.root if number % 2 else None)
        assert answer.status_code == 200
        tokens = answer.json()
    refused = town.switch(tokens["refresh_token"], town.root)
    assert problem_of(refused, 429) == "rate_limited"
    wait = int(refused.headers["retry-after"])
    assert 1 <= wait <= limit.per.total_seconds() / limit.attempts
    # Nothing was used up, the session can do everything else, and so can others.
    tokens = town.desk.renewed(tokens["refresh_token"])
    assert town.switch(others["refresh_token"], town.root).status_code == 200
    town.desk.wait(timedelta(seconds=wait))
    assert town.switch(tokens["refresh_token"], town.root).status_code == 200


def test_switches_at_once_are_no_more_than_those_one_after_the_other(town: Town) -> None:
    limit = town.desk.issuer.settings.switch_limit_per_session.attempts
    refresh_token = town.desk.tokens(town.ada.login)["refresh_token"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: town.switch(refresh_token, town.root), range(limit + 5)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] * limit + [429] * 5
    # Twins of one token: whoever was let through has the same successor.
    assert len({each.json()["refresh_token"] for each in answers if each.is_success}) == 1


def test_what_is_no_token_of_ours_takes_no_place(town: Town) -> None:
    places = town.desk.issuer.sessions._switches._places
    real, before = town.desk.tokens(town.ada.login)["refresh_token"], len(places)
    forged = real[:-1] + ("A" if real[-1] != "A" else "B")
    for token in ("", "x" * 5_000, real[: len(real) // 2], forged):
        answer = town.switch(token, town.root)
        assert problem_of(answer, answer.status_code) in {
            "invalid_refresh_token",
            "validation_failed",
        }
        assert answer.status_code < 500
    assert len(places) == before


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_a_switch_that_has_to_give_way_is_tried_again(
    town: Town, monkeypatch: pytest.MonkeyPatch, sqlstate: str
) -> None:
    store = town.desk.issuer.sessions._switches._store
    real, tried = store.switch, []

    async def switch(*arguments: Any) -> Any:
        tried.append(sqlstate)
        outcome = await real(*arguments)
        if len(tried) < ATTEMPTS:
            raise given_up(sqlstate)
        return outcome

    monkeypatch.setattr(store, "switch", switch)
    answer = town.switch(town.desk.tokens(town.ada.login)["refresh_token"], town.root)
    assert answer.status_code == 200
    assert len(tried) == ATTEMPTS
    assert len(town.switches()) == 1
