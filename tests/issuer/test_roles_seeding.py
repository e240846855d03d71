"""What every installation starts with."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from apostille.clock import ManualClock
from apostille_issuer.access.catalogue import ISSUER_PERMISSIONS, SYSTEM_ROLES
from apostille_issuer.db.engine import Database
from apostille_issuer.problems import StartupError
from support.policy import Office, scalar, statements

pytestmark = pytest.mark.anyio


@pytest.fixture
def office(database: Database, clock: ManualClock) -> Office:
    return Office(database, clock)


async def test_system_roles_and_our_own_permissions_are_there(office: Office) -> None:
    await office.access.seed()
    roles = (await office.access.roles.page(cursor=None, limit=10)).items
    assert {role.name: role.allow for role in roles} == {
        name.value: tuple(sorted(role.allow)) for name, role in SYSTEM_ROLES.items()
    }
    ours = await office.access.services.get("apostille")
    assert ours.permissions == dict(sorted(ISSUER_PERMISSIONS.items()))
    assert ours.audience == "apostille"


async def test_seeding_again_writes_nothing(office: Office) -> None:
    await office.access.seed()
    before = await office.events(), await scalar(office.database, REVISION)
    with statements(office.database) as executed:
        await office.access.seed()
    writes = [s for s in executed if not s.startswith("SELECT")]
    assert len(writes) == 1  # the revision, if it were not there
    assert (await office.events(), await scalar(office.database, REVISION)) == before


async def test_replicas_that_start_at_once_seed_once(database_url: str, clock: ManualClock) -> None:
    databases = [Database(database_url) for _ in range(4)]
    offices = [Office(database, clock) for database in databases]
    await asyncio.gather(*(office.access.seed() for office in offices))
    events = await offices[0].events()
    assert sorted(event.tag for event in events) == [
        *["access:role:created"] * 4,
        "access:service:registered",
    ]
    for database in databases:
        await database.close()


async def test_of_replicas_that_start_at_once_one_makes_the_first_superuser(
    database_url: str, clock: ManualClock
) -> None:
    databases = [Database(database_url) for _ in range(3)]
    offices = [Office(database, clock) for database in databases]
    await offices[0].access.seed()
    users = [await office.user(f"root{n}") for n, office in enumerate(offices)]

    async def bootstrap(office: Office, number: int) -> bool:
        async with office.database.begin() as session:
            if await office.access.superuser_exists(session):
                return False
            await office.access.make_superuser(session, users[number], office.superuser)
            return True

    made = await asyncio.gather(*(bootstrap(office, n) for n, office in enumerate(offices)))
    assert sorted(made) == [False, False, True]
    for database in databases:
        await database.close()


async def test_a_newer_release_adds_what_it_brings(office: Office) -> None:
    await office.access.seed()
    async with office.database.begin() as session:
        await session.execute(text("DELETE FROM permissions WHERE name = 'iam.audit.read'"))
        await session.execute(text("DELETE FROM role_grants WHERE \"grant\" = 'iam.users.read'"))
        await session.execute(text("DELETE FROM roles WHERE name = 'member'"))
    await office.access.seed()
    assert "iam.audit.read" in (await office.access.services.get("apostille")).permissions
    assert "iam.users.read" in (await office.access.roles.get("staff")).allow
    assert (await office.access.roles.get("member")).system
    newest = {(event.tag, event.target): event.after for event in (await office.events())[:3]}
    assert newest["access:role:updated", "role:staff"] == {"allow": ["iam.users.read"]}
    assert ("access:role:created", "role:member") in newest
    assert ("access:service:updated", "service:apostille") in newest


async def test_the_audience_follows_the_setting(office: Office, database: Database) -> None:
    await office.access.seed()
    moved = Office(database, office.clock, audience="iam.example").access
    await moved.seed()
    assert (await moved.services.get("apostille")).audience == "iam.example"
    user = await office.user("ada")
    held = await moved.effective_permissions(user, None)
    assert held.audience == ("iam.example",)


async def test_an_audience_that_a_service_has_is_no_audience_of_ours(
    office: Office, database: Database
) -> None:
    await (await office.open()).register()
    moved = Office(database, office.clock, audience="inventory").access
    with pytest.raises(StartupError, match="the service 'inventory' has the audience"):
        await moved.seed()


async def test_a_custom_role_for_all_is_not_taken_over(office: Office) -> None:
    await office.open()
    async with office.database.begin() as session:
        await session.execute(text("UPDATE roles SET system = false WHERE name = 'member'"))
    with pytest.raises(StartupError, match="the custom role 'member' has the name of a system"):
        await office.access.seed()


REVISION = "SELECT revision FROM policy_revision"
