"""Who holds which role, and who may change that."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable

import pytest
from sqlalchemy import delete, update

from apostille.clock import ManualClock
from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.db.engine import Database
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.problems import IssuerProblem
from support.policy import USERS, Office, context, refused

pytestmark = pytest.mark.anyio


@pytest.fixture
async def office(database: Database, clock: ManualClock) -> Office:
    office = await Office(database, clock).open()
    await office.register()
    return office


@pytest.fixture
async def replica(office: Office, database_url: str, clock: ManualClock) -> AsyncIterator[Office]:
    """A second process's view: connections and caches of its own."""
    database = Database(database_url)
    other = Office(database, clock)
    other.superuser = office.superuser
    yield other
    await database.close()


async def outcome(act: Awaitable[object]) -> str:
    try:
        await act
    except IssuerProblem as problem:
        return problem.code.value
    return "done"


async def test_giving_and_taking_twice_is_the_same_as_once(office: Office) -> None:
    acts, user = office.access.assignments, await office.user("ada")
    events = len(await office.events())
    for _ in range(2):
        await acts.assign(user, "staff", office.superuser)
    (held,) = (await acts.page(user, cursor=None, limit=10)).items
    assert (held.role, held.granted_by) == ("staff", office.superuser.actor_id)
    assert held.granted_at == office.clock.now()
    for _ in range(2):
        await acts.unassign(user, str(held.role_id), office.superuser)
    assert await office.roles_of(user) == []
    taken, given, *rest = await office.events()
    assert len(rest) == events
    assert (given.tag, given.target, given.after) == (
        "access:role:assigned",
        f"user:{user}",
        {"role": "staff"},
    )
    assert (taken.tag, taken.before) == ("access:role:unassigned", {"role": "staff"})


async def test_who_or_what_is_unknown_is_not_found(office: Office) -> None:
    acts, user = office.access.assignments, await office.user("ada")
    for user_id, role in ((new_id(), "staff"), (user, "nobody"), (user, "\x00")):
        with refused(ProblemCode.NOT_FOUND):
            await acts.assign(user_id, role, office.superuser)
        with refused(ProblemCode.NOT_FOUND):
            await acts.unassign(user_id, role, office.superuser)
    with refused(ProblemCode.NOT_FOUND):
        await acts.page(new_id(), cursor=None, limit=10)


async def test_roles_of_a_user_are_listed_page_by_page(office: Office) -> None:
    user = await office.user("ada", "staff", "admin", "member")
    first = await office.access.assignments.page(user, cursor=None, limit=2)
    second = await office.access.assignments.page(user, cursor=first.next_cursor, limit=2)
    assert [held.role for held in (*first.items, *second.items)] == ["admin", "member", "staff"]
    assert second.next_cursor is None


async def test_nobody_gives_a_role_that_allows_what_he_does_not_hold(office: Office) -> None:
    await office.role("clerk", "inventory.read", "iam.users.read")
    admin, user = context(await office.user("ada", "admin")), await office.user("bob")
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("inventory.read",)):
        await office.access.assignments.assign(user, "clerk", admin)
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("*",)):
        await office.access.assignments.assign(user, "superuser", admin)
    await office.access.assignments.assign(user, "admin", admin)
    assert await office.roles_of(user) == ["admin"]
    refusals = await office.events(outcome="refused", tag=EventTag.ROLE_ASSIGNED)
    assert [event.target for event in refusals] == [f"user:{user}"] * 2


async def test_nobody_makes_himself_more_than_he_is(office: Office) -> None:
    ada = await office.user("ada", "admin")
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("*",)):
        await office.access.assignments.assign(ada, "superuser", context(ada))


async def test_taking_a_role_that_denies_is_granting(office: Office) -> None:
    await office.role("barred", deny=("inventory.write",))
    admin, user = context(await office.user("ada", "admin")), await office.user("bob", "barred")
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("inventory.write",)):
        await office.access.assignments.unassign(user, "barred", admin)
    await office.access.assignments.unassign(user, "barred", office.superuser)


async def test_a_role_one_does_not_hold_can_be_taken_away(office: Office) -> None:
    """Taking rights away is no way to gain any: an incident must not wait for a superuser."""
    await office.role("clerk", "inventory.read")
    admin, user = context(await office.user("ada", "admin")), await office.user("bob", "clerk")
    await office.access.assignments.unassign(user, "clerk", admin)
    assert await office.roles_of(user) == []


async def test_only_a_superuser_changes_what_a_superuser_may_do(office: Office) -> None:
    await office.role("barred", deny=("iam.*",))
    admin, grace = context(await office.user("ada", "admin")), await office.user("g", "superuser")
    acts = office.access.assignments
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("*",)):
        await acts.assign(grace, "barred", admin)
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("*",)):
        await acts.unassign(grace, "superuser", admin)
    await acts.unassign(grace, "superuser", office.superuser)


async def test_nobody_puts_out_of_office_who_has_more_rights_over_the_issuer(
    office: Office,
) -> None:
    await office.role("manager", "iam.roles.read", "iam.roles.write")
    await office.role("barred", deny=("iam.roles.write",))
    ada, bob = await office.user("ada", "admin"), await office.user("bob")
    manager = context(await office.user("max", "manager"))
    acts = office.access.assignments
    for act in (
        acts.assign(ada, "barred", manager),
        acts.assign(ada, "member", manager),
        acts.unassign(ada, "admin", manager),
    ):
        with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("iam.*",)):
            await act
    assert await office.permissions(ada) == ("iam.*",)
    await acts.assign(bob, "barred", manager)
    await acts.unassign(ada, "admin", context(ada))  # everybody may resign


async def test_nobody_denies_what_he_does_not_hold(office: Office) -> None:
    await office.role("barred", deny=("inventory.write",))
    admin, user = context(await office.user("ada", "admin")), await office.user("bob")
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("inventory.write",)):
        await office.access.assignments.assign(user, "barred", admin)
    await office.access.assignments.assign(user, "barred", office.superuser)


async def test_the_last_active_superuser_stays_one(office: Office) -> None:
    acts, root = office.access.assignments, office.superuser.actor_id
    assert root is not None
    with refused(ProblemCode.LAST_SUPERUSER):
        await acts.unassign(root, "superuser", office.superuser)
    grace = await office.user("grace", "superuser")
    await office.set_state(grace, "disabled")
    with refused(ProblemCode.LAST_SUPERUSER):
        await acts.unassign(root, "superuser", office.superuser)
    await acts.unassign(grace, "superuser", office.superuser)
    linus = await office.user("linus", "superuser")
    await acts.unassign(root, "superuser", office.superuser)
    assert await office.permissions(linus) == ("*",)


async def test_who_cannot_log_in_is_not_the_superuser_who_remains(office: Office) -> None:
    acts, root = office.access.assignments, office.superuser.actor_id
    assert root is not None
    quiet = await office.user("quiet", "superuser", password=False)
    with refused(ProblemCode.LAST_SUPERUSER):
        await acts.unassign(root, "superuser", office.superuser)
    await acts.unassign(quiet, "superuser", office.superuser)


async def test_a_superuser_to_whom_something_is_denied_is_not_one_who_remains(
    office: Office,
) -> None:
    """A database from elsewhere: no change leads there."""
    acts, root = office.access.assignments, office.superuser.actor_id
    assert root is not None
    await office.role("barred", deny=("iam.*",))
    barred = await office.user("ada", "barred")
    async with office.database.begin() as session:
        await office.access.make_superuser(session, barred, COMMAND_LINE)
    with refused(ProblemCode.LAST_SUPERUSER):
        await acts.unassign(root, "superuser", office.superuser)


async def test_a_superuser_is_denied_nothing(office: Office) -> None:
    acts, root = office.access.assignments, office.superuser.actor_id
    assert root is not None
    await office.role("barred", deny=("iam.*",))
    for superuser in (root, await office.user("grace", "superuser")):
        with refused(ProblemCode.PROTECTED, fields=("role",)):
            await acts.assign(superuser, "barred", office.superuser)
    with refused(ProblemCode.PROTECTED, fields=("role",)):
        await acts.assign(await office.user("ada", "barred"), "superuser", office.superuser)
    assert await office.permissions(root) == ("*",)


async def test_of_two_superusers_who_dismiss_each_other_one_stays(
    office: Office, replica: Office
) -> None:
    root = office.superuser.actor_id
    assert root is not None
    grace = await office.user("grace", "superuser")
    outcomes = await asyncio.gather(
        outcome(office.access.assignments.unassign(grace, "superuser", context(root))),
        outcome(replica.access.assignments.unassign(root, "superuser", context(grace))),
    )
    assert sorted(outcomes) == ["done", "grant_exceeds_own"]


async def test_of_two_superusers_who_resign_at_once_one_stays(
    office: Office, replica: Office
) -> None:
    root = office.superuser.actor_id
    assert root is not None
    grace = await office.user("grace", "superuser")
    outcomes = await asyncio.gather(
        outcome(office.access.assignments.unassign(grace, "superuser", context(grace))),
        outcome(replica.access.assignments.unassign(root, "superuser", context(root))),
    )
    assert sorted(outcomes) == ["done", "last_superuser"]


@pytest.mark.parametrize("removal", ["disable", "delete"])
async def test_of_two_superusers_removed_at_once_one_stays(
    office: Office, replica: Office, removal: str
) -> None:
    root = office.superuser.actor_id
    assert root is not None
    grace = await office.user("grace", "superuser")

    async def remove(where: Office, user_id: uuid.UUID) -> None:
        """What the accounts domain does in its own transaction."""
        async with where.database.begin() as session:
            await where.access.ensure_superuser_remains(session, user_id)
            if removal == "delete":
                await session.execute(delete(USERS).where(USERS.c.id == user_id))
            else:
                off = update(USERS).where(USERS.c.id == user_id).values(state="disabled")
                await session.execute(off)

    outcomes = await asyncio.gather(outcome(remove(office, grace)), outcome(remove(replica, root)))
    assert sorted(outcomes) == ["done", "last_superuser"]


async def test_who_is_no_superuser_can_be_removed(office: Office) -> None:
    user = await office.user("ada", "admin")
    async with office.database.begin() as session:
        await office.access.ensure_superuser_remains(session, user)


async def test_a_user_deleted_while_he_is_given_a_role_is_no_fault(
    office: Office, replica: Office
) -> None:
    user = await office.user("ada")

    async def vanish() -> None:
        async with replica.database.begin() as session:
            await session.execute(delete(USERS).where(USERS.c.id == user))

    given, _ = await asyncio.gather(
        outcome(office.access.assignments.assign(user, "staff", office.superuser)), vanish()
    )
    assert given in {"done", "not_found"}
    with refused(ProblemCode.NOT_FOUND):
        await office.roles_of(user)


async def test_accounts_with_more_rights_over_the_issuer_cannot_be_taken_over(
    office: Office,
) -> None:
    await office.role("helpdesk", "iam.users.read", "iam.users.write")
    await office.role("keeper", "inventory.*")
    people = {
        role: await office.user(role, role)
        for role in ("superuser", "admin", "helpdesk", "staff", "keeper")
    }
    await office.set_state(people["superuser"], "disabled")

    async def may(actor: str, target: str) -> bool:
        async with office.database.read() as session:
            act = office.access.ensure_may_manage(session, people[actor], people[target])
            return await outcome(act) == "done"

    assert await may("admin", "keeper")
    assert await may("admin", "helpdesk")
    assert await may("helpdesk", "helpdesk")
    assert not await may("helpdesk", "staff")
    assert not await may("helpdesk", "admin")
    assert not await may("admin", "superuser")
    assert await may("keeper", "keeper")
    assert not await may("superuser", "staff")  # he is disabled


async def test_the_command_line_makes_a_superuser_once(office: Office) -> None:
    user = await office.user("ada")
    for _ in range(2):
        async with office.database.begin() as session:
            await office.access.make_superuser(session, user, COMMAND_LINE)
    assert await office.roles_of(user) == ["superuser"]
    events = await office.events(target=f"user:{user}")
    assert [(event.tag, event.actor_id) for event in events] == [("access:role:assigned", None)]
