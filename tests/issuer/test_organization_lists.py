"""Lists of organizations: order, pages, filters, and what each may see; on both databases."""

from __future__ import annotations

import random
import uuid
from base64 import urlsafe_b64encode

import pytest
from sqlalchemy import text

from apostille_issuer.access.territory import Territory
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import RequestContext
from apostille_issuer.tenancy import listing
from apostille_issuer.tenancy.listing import Range, organizations_in
from apostille_issuer.tenancy.naming import Place
from apostille_issuer.tenancy.schemas.organizations import OrganizationFilter
from support.desk import Desk, bearer, problem_of
from support.firm import Firm

READ = "iam.organizations.read"


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return Firm(desk)


def test_they_are_in_order_of_names_whatever_the_case(firm: Firm) -> None:
    north = firm.put("north")
    for name in ("Zoo", "École", "apple"):
        firm.put(name)
    for name in ("Zoo", "Banana"):
        firm.put(name, north)
    wanted = ["Acme", "apple", "Banana", "north", "Zoo", "Zoo", "École"]
    assert firm.names() == wanted
    for limit in (1, 2, 3):
        assert firm.names(limit=limit) == wanted
        assert firm.names(limit=limit, subtree_of=north) == ["Banana", "north", "Zoo"]
        assert firm.names(limit=limit, parent=north) == ["Banana", "Zoo"]


def test_the_longest_name_fits_into_a_cursor(firm: Firm) -> None:
    longest = "ß" * 100
    firm.put(longest)
    firm.put("東" * 100)
    assert firm.names(limit=1) == ["Acme", longest, "東" * 100]


def test_they_are_found_by_state_name_and_place(firm: Firm) -> None:
    north = firm.put("North")
    works, mill = firm.put("Works", north), firm.put("Mill", north)
    firm.put("Norwich", works)
    firm.patch(works, state="deactivated")
    firm.ask("DELETE", str(mill))
    assert firm.names(state="active") == ["Acme", "North", "Norwich"]
    assert firm.names(state="deactivated") == ["Works"]
    assert firm.names(state="deleted") == ["Mill"]
    assert firm.names(search="NOR") == ["North", "Norwich"]
    assert firm.names(search="nor", subtree_of=works) == ["Norwich"]
    assert firm.names(search="%") == []
    assert firm.names(parent=north) == ["Works"]
    assert firm.names(parent=works, subtree_of=north) == ["Norwich"]
    assert firm.names(parent=firm.root, subtree_of=north) == ["North"]
    assert firm.names(parent=uuid.uuid4()) == []
    assert firm.names(subtree_of=uuid.uuid4()) == []


def test_a_new_name_is_in_its_new_place_everywhere(firm: Firm) -> None:
    north = firm.put("North")
    works, _ = firm.put("Works", north), firm.put("Mill", north)
    firm.patch(works, name="Abbey")
    for within in (firm.root, north):
        assert [name for name in firm.names(subtree_of=within) if name != "Acme"] == [
            *("Abbey", "Mill", "North")
        ]


def test_the_platform_sees_all_tenants(firm: Firm) -> None:
    other = Firm(firm.desk)
    north = other.put("North")
    root = firm.desk.root()
    assert firm.names(root, tenant_id=other.tenant) == ["Acme", "North"]
    assert firm.names(root, parent=other.root) == ["North"]
    assert firm.names(root, subtree_of=north) == ["North"]
    assert len(firm.names(root, search="acme", limit=200)) >= 2
    # An administrator of a tenant sees his own.
    assert firm.names(tenant_id=other.tenant) == []
    assert firm.names(tenant_id=firm.tenant) == ["Acme"]
    assert firm.names(parent=other.root) == firm.names(subtree_of=other.root) == []


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"state": "gone"}, "state"),
        ({"search": "a\0"}, "search"),
        ({"search": "a" * 101}, "search"),
        ({"cursor": "?"}, "cursor"),
        ({"cursor": urlsafe_b64encode(b"acme").decode()}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"parent": "x"}, "parent"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_what_cannot_be_listed_is_refused_by_name(
    firm: Firm, wanted: dict[str, str], field: str
) -> None:
    refused = firm.ask("GET", params=wanted)
    assert problem_of(refused, 422) == "validation_failed"
    assert [error["field"] for error in refused.json()["errors"]] == [field]


# What each may see.


def test_who_reads_here_alone_sees_this_one(firm: Firm) -> None:
    north = firm.put("North")
    firm.put("Works", north)
    reads = firm.role(firm.root, READ)
    headers = bearer(firm.speak(firm.member(north, reads), north))
    assert firm.names(headers) == ["North"]
    assert firm.names(headers, parent=firm.root) == ["North"]
    assert firm.names(headers, parent=north) == []
    assert firm.names(headers, subtree_of=firm.root) == ["North"]


def test_who_is_denied_it_somewhere_sees_the_rest(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    works = firm.put("Works", north)
    firm.put("Mill", works)
    below = firm.role(firm.root, deny=["iam.organizations.*"], inherited=True)
    here = firm.role(firm.root, deny=["iam.*"])
    person = firm.member(firm.root, "admin")
    firm.join(works, person, below)
    firm.join(south, person, here)
    headers = bearer(firm.speak(person, firm.root))
    assert firm.names(headers) == ["Acme", "North"]
    assert firm.names(headers, subtree_of=works) == []
    assert firm.names(headers, parent=firm.root) == ["North"]


def test_rights_held_everywhere_count_where_one_is_a_member(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    firm.put("Works", north)
    person = firm.member(north)
    firm.desk.as_root("PUT", f"/v1/users/{person.id}/roles/admin")
    firm.join(south, person, firm.role(firm.root, "iam.users.read", inherited=True))
    firm.put("Mill", south)
    headers = bearer(firm.speak(person, north))
    assert firm.names(headers) == ["Mill", "North", "South"]


def test_who_is_denied_it_everywhere_sees_nothing(firm: Firm) -> None:
    person = firm.member(firm.root, "admin")
    headers = bearer(firm.speak(person, firm.root))
    assert firm.names(headers) == ["Acme"]
    name = f"no-{uuid.uuid4().hex[:8]}"
    body = {"name": name, "deny": [READ]}
    assert firm.desk.as_root("POST", "/v1/roles", json=body).status_code == 201
    path = f"/v1/users/{person.id}/roles/{name}"
    assert firm.desk.as_root("PUT", path).status_code == 204
    # His next token does not carry the permission; and were there one that does, it is no use.
    refused = firm.ask("GET", headers=bearer(firm.speak(person, firm.root)))
    assert problem_of(refused, 403) == "permission_denied"
    context = RequestContext(
        request_id="test",
        actor_id=person.id,
        tenant_id=firm.tenant,
        organization_id=firm.root,
    )
    organizations = firm.desk.issuer.tenancy.organizations
    page = organizations.page(OrganizationFilter(), context, cursor=None, limit=10)
    assert firm.desk.run(page).items == ()


@pytest.mark.parametrize("seed", range(4))
def test_the_list_is_what_can_be_shown_one_by_one(firm: Firm, seed: int) -> None:
    chance = random.Random(seed)
    tree = [firm.root]
    for number in range(14):
        tree.append(firm.put(f"Company {number:02}", chance.choice(tree[-6:])))
    kinds = [
        firm.role(firm.root, READ),
        firm.role(firm.root, "iam.organizations.*", inherited=True),
        firm.role(firm.root, "iam.users.read", inherited=True),
        firm.role(firm.root, deny=[READ]),
        firm.role(firm.root, deny=["iam.organizations.*"], inherited=True),
    ]
    person = firm.member(firm.root, firm.role(firm.root, READ))
    tokens = firm.speak(person, firm.root)
    for place in chance.sample(tree[1:], 6):
        firm.join(place, person, *chance.sample(kinds, chance.choice([0, 1, 1, 1, 2])))
    for place in chance.sample(tree[1:], 3):
        firm.patch(place, state="deactivated")
    headers = bearer(tokens)
    shown = set()
    for place in tree:
        answer = firm.ask("GET", str(place), headers=headers)
        if answer.status_code == 200:
            shown.add(answer.json()["name"])
    assert firm.names(headers, limit=2) == sorted(shown)
    for place in chance.sample(tree, 3):
        within = set(firm.names(subtree_of=place)) & shown
        assert firm.names(headers, subtree_of=place, limit=2) == sorted(within)
        children = set(firm.names(parent=place)) & shown
        assert firm.names(headers, parent=place, limit=2) == sorted(children)


# What a page costs.


def test_of_very_many_subtrees_all_is_sorted(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [firm.put(f"Company {number}") for number in range(3)]
    person = firm.member(places[0], "admin")
    firm.join(places[2], person, "admin")
    firm.join(firm.put("Company 3", places[2]), person, "admin")
    headers = bearer(firm.speak(person, places[0]))
    merged = firm.names(headers, limit=1)
    monkeypatch.setattr(listing, "MAX_MERGED", 1)
    assert firm.names(headers, limit=1) == merged == ["Company 0", "Company 2", "Company 3"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wanted", "within"),
    [
        (OrganizationFilter(), None),
        (OrganizationFilter(tenant_id=uuid.UUID(int=1)), None),
        (OrganizationFilter(search="a"), None),
        (OrganizationFilter(parent_id=uuid.UUID(int=1)), None),
        (OrganizationFilter(subtree_of=uuid.UUID(int=1)), None),
        (OrganizationFilter(), Territory(frozenset({uuid.UUID(int=1), uuid.UUID(int=2)}))),
    ],
    ids=["all", "tenant", "prefix", "children", "subtree", "territory"],
)
async def test_a_page_is_read_from_ranges_of_indexes(
    wanted: OrganizationFilter, within: Territory | None, database: Database
) -> None:
    part = Range(after=Place("a", uuid.UUID(int=3)), prefix=wanted.search or "", limit=51)
    async with database.begin(EVERY_TENANT) as session:
        found = await organizations_in(session, wanted, within, part)
        statement = found.compile(session.get_bind(), compile_kwargs={"literal_binds": True}).string
        if database.dialect == "sqlite":
            plan = [
                row[-1] for row in await session.execute(text(f"EXPLAIN QUERY PLAN {statement}"))
            ]
            assert not [step for step in plan if step.startswith("SCAN organ")]
        else:
            # There is nothing in it yet: what matters is that it could.
            for way in ("seqscan", "sort", "incremental_sort", "bitmapscan"):
                await session.execute(text(f"SET LOCAL enable_{way} = off"))
            plan = [row[0] for row in await session.execute(text(f"EXPLAIN {statement}"))]
            assert not [step for step in plan if "Seq Scan" in step]
