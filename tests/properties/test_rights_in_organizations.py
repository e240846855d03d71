"""Rights in organizations against a naive model, over any tree of them, and any memberships."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from apostille.clock import ManualClock
from apostille_contracts.permissions import PermissionSet
from apostille_issuer.access.authority import rights_in
from apostille_issuer.access.holdings import holdings_in
from apostille_issuer.access.memberships import MemberRoles
from apostille_issuer.access.rights import Rights
from apostille_issuer.access.service import Place
from apostille_issuer.access.standings import read_standings
from apostille_issuer.db.engine import Database
from apostille_issuer.db.metadata import METADATA
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.db.schema import migrate
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.own_memberships import OwnMemberships
from support.policy import Office

NAMES = ("w.a", "w.b", "w.x.a", "w.x.b")
"""All that the service declares."""

GRANTS = (*NAMES, "w.*", "w.x.*")


@dataclass(frozen=True)
class Role:
    """What a role says."""

    allow: frozenset[str]
    deny: frozenset[str]
    inherited: bool


@dataclass(frozen=True)
class World:
    """One user in one tenant: organizations by number, each below an earlier one."""

    tenant_active: bool
    parents: tuple[int, ...]
    """Of all but the root, which is 0."""
    active: tuple[bool, ...]
    roles: tuple[Role, ...]
    everywhere: frozenset[int]
    memberships: dict[int, tuple[bool, frozenset[int]]]
    """Organization to whether it is active, and the roles."""

    def upwards(self, place: int) -> list[int]:
        """Return *place* and all above it."""
        return [place] if place == 0 else [place, *self.upwards(self.parents[place - 1])]

    def downwards(self, place: int) -> list[int]:
        return [other for other in range(len(self.active)) if place in self.upwards(other)]

    def is_active(self, place: int) -> bool:
        return self.tenant_active and all(self.active[each] for each in self.upwards(place))

    def held(self, place: int) -> set[int] | None:
        """Return the roles by membership that count there; ``None`` for no standing."""
        stands, roles = False, set()
        for each in self.upwards(place):
            active, given_there = self.memberships.get(each, (False, frozenset[int]()))
            counting = {role for role in given_there if each == place or self.roles[role].inherited}
            if active and (each == place or counting):
                stands = True
                roles |= counting
        return roles if stands and self.is_active(place) else None

    def may(self, place: int, name: str) -> bool:
        """Say whether something allows *name* there, and nothing denies it."""
        held = self.held(place)
        if held is None:
            return False
        roles = [self.roles[role] for role in held | self.everywhere]
        return any(covered(role.allow, name) for role in roles) and not any(
            covered(role.deny, name) for role in roles
        )


def covered(grants: frozenset[str], name: str) -> bool:
    return any(
        name == grant or (grant.endswith(".*") and name.startswith(grant[:-1])) for grant in grants
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    size = draw(st.integers(1, 6))
    grants = st.frozensets(st.sampled_from(GRANTS), max_size=2)
    roles = draw(st.lists(st.builds(Role, grants, grants, st.booleans()), max_size=4))
    nothing: st.SearchStrategy[frozenset[int]] = st.just(frozenset())
    some_roles = st.frozensets(st.sampled_from(range(len(roles))), max_size=3) if roles else nothing
    mostly = st.sampled_from([True, True, True, False])
    return World(
        tenant_active=draw(st.sampled_from([True] * 7 + [False])),
        parents=tuple(draw(st.integers(0, place)) for place in range(size - 1)),
        active=tuple(draw(st.lists(mostly, min_size=size, max_size=size))),
        roles=tuple(roles),
        everywhere=draw(some_roles),
        memberships=draw(st.dictionaries(st.integers(0, size - 1), st.tuples(mostly, some_roles))),
    )


class Written:
    """A world in the database: identifiers by number."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tenant, self.user = new_id(), new_id()
        self.places = [new_id() for _ in world.active]
        self.roles = [new_id() for _ in world.roles]

    def rows(self, now: datetime) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Yield what is to be written, table by table."""
        world, tenant = self.world, {"tenant_id": self.tenant}
        dates = {"created_at": now, "updated_at": now}
        free: dict[str, Any] = {"entitlements": {}, "settings": {}, "branding": {}}
        state = "active" if world.tenant_active else "suspended"
        named = {"name": "T", "name_key": "t"}
        yield "tenants", [{"id": self.tenant, "state": state, **named, **free, **dates}]
        login = {"login": str(self.user), "login_key": str(self.user), "state": "active"}
        yield "users", [{"id": self.user, **login, **dates}]
        for place, ident in enumerate(self.places):
            parent = None if place == 0 else self.places[world.parents[place - 1]]
            about = {"depth": len(world.upwards(place)), "settings": {}, "parent_id": parent}
            state = "active" if world.active[place] else "deactivated"
            named = {"name": f"O{place}", "name_key": f"o{place}", "state": state}
            yield "organizations", [{"id": ident, **tenant, **about, **named, **dates}]
            yield (
                "organization_lineage",
                [
                    {
                        **tenant,
                        "organization_id": ident,
                        "ancestor_id": self.places[above],
                        "distance": distance,
                        "name_key": f"o{place}",
                    }
                    for distance, above in enumerate(world.upwards(place))
                ],
            )
        for role, ident in zip(world.roles, self.roles, strict=True):
            about = {"name": f"r{ident.hex}", "system": False, "inherited": role.inherited}
            yield "roles", [{"id": ident, **about, **dates}]
            pairs = [("allow", each) for each in role.allow] + [("deny", e) for e in role.deny]
            yield (
                "role_grants",
                [{"role_id": ident, "grant": grant, "effect": effect} for effect, grant in pairs],
            )
        given_by = {"created_at": now, "granted_by": None}
        yield (
            "user_roles",
            [
                {"user_id": self.user, "role_id": self.roles[n], **given_by}
                for n in world.everywhere
            ],
        )
        for place, (active, roles) in world.memberships.items():
            ident, state = new_id(), "active" if active else "suspended"
            about = {"organization_id": self.places[place], "user_id": self.user, "scopes": []}
            yield "memberships", [{"id": ident, **tenant, **about, "state": state, **dates}]
            yield (
                "membership_roles",
                [
                    {"membership_id": ident, "role_id": self.roles[n], **tenant, **given_by}
                    for n in roles
                ],
            )


class Bench:
    """One database for all worlds; each has a tenant, a user and roles of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, office: Office) -> None:
        self.loop = loop
        self.office = office
        self.mine = OwnMemberships(office.database, access=office.access)

    async def write(self, world: World) -> Written:
        written = Written(world)
        async with self.office.database.begin(EVERY_TENANT) as session:
            for table, rows in written.rows(self.office.clock.now()):
                if rows:
                    await session.execute(insert(METADATA.tables[table]), rows)
        return written

    async def check(self, world: World) -> None:
        written = await self.write(world)
        async with self.office.database.read(EVERY_TENANT) as session:
            places = [Place(written.user, ident) for ident in written.places]
            standings = await session.run_sync(read_standings, places)
            stands = [place for place in range(len(places)) if world.held(place) is not None]
            assert set(standings.at) == {places[place] for place in stands}
            asks = [(places[place], ("w",)) for place in stands]
            found = await session.run_sync(self.office.access.entitlements_of_many, asks)
            for place, entitlements in zip(stands, found, strict=True):
                held = (world.held(place) or set()) | world.everywhere
                names = {f"r{written.roles[role].hex}" for role in held}
                assert set(entitlements.roles) == names
                token = PermissionSet(entitlements.permissions)
                for name in NAMES:
                    assert token.covers(name) is world.may(place, name), (place, name)
            rights = [await rights_in(session, written.user, each) for each in written.places]
            for place in stands:
                for name in NAMES:
                    assert rights[place].cover(name) is world.may(place, name), (place, name)
                await self.check_below(session, written, place, rights)
        page = await self.mine.page(written.user, cursor=None, limit=50)
        assert {(item.organization_id, item.direct) for item in page.items} == {
            (written.places[place], world.memberships.get(place, (False,))[0]) for place in stands
        }
        await self.check_lost(written)

    async def check_below(
        self, session: Any, written: Written, place: int, rights: list[Rights]
    ) -> None:
        """Who may hand something on for all below holds it in all of it."""
        world, organization = written.world, written.places[place]
        context = RequestContext(
            request_id="test",
            actor_id=written.user,
            tenant_id=written.tenant,
            organization_id=organization,
        )
        for name in NAMES:
            if not world.may(place, name):
                with pytest.raises(IssuerProblem):
                    await holdings_in(session, context, organization, name)
                continue
            own = await holdings_in(session, context, organization, name)
            assert own.here == rights[place]
            for grant in filter(own.below.cover, GRANTS):
                for each in world.downwards(place):
                    assert rights[each].cover(grant) or not world.is_active(each), (each, grant)

    async def check_lost(self, written: Written) -> None:
        """Where he stands no more is where he does not stand, from there down."""
        world, members = written.world, MemberRoles()
        async with self.office.database.read(EVERY_TENANT) as session:
            for place, ident in enumerate(written.places):
                lost = set(await session.scalars(members.places_lost(ident, written.user)))
                assert lost == {
                    written.places[each]
                    for each in world.downwards(place)
                    if world.held(each) is None
                }


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    path = tmp_path_factory.mktemp("rights") / "apostille.sqlite3"
    migrate(f"sqlite:///{path}")
    loop = asyncio.new_event_loop()
    database = Database(f"sqlite:///{path}")
    office = Office(database, ManualClock(datetime(2026, 3, 1, 12, 0, tzinfo=UTC)))
    loop.run_until_complete(office.open())
    declared = {"service": "w", "permissions": dict.fromkeys(NAMES, "")}
    loop.run_until_complete(office.register(**declared))
    yield Bench(loop, office)
    loop.run_until_complete(database.close())
    loop.close()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds())
def test_rights_in_organizations_are_the_models(bench: Bench, world: World) -> None:
    bench.loop.run_until_complete(bench.check(world))
