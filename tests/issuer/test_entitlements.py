"""What a token may say about its bearer."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.util.concurrency import await_

from apostille.clock import ManualClock
from apostille_contracts.permissions import PermissionSet, effective_permissions
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.entitlements import (
    MAX_CACHED,
    MAX_DEFAULT_AUDIENCE_BYTES,
    _Held,
    _Snapshot,
)
from apostille_issuer.access.rights import NO_RIGHTS, Rights
from apostille_issuer.access.schemas import PermissionDraft, RolePatch
from apostille_issuer.access.service import Place
from apostille_issuer.db.engine import Database, Statements
from apostille_issuer.db.types import new_id
from support.policy import Office, refused, statements

pytestmark = pytest.mark.anyio

IAM_READS = ("iam.permissions.read", "iam.roles.read", "iam.services.read", "iam.users.read")


@pytest.fixture
async def office(database: Database, clock: ManualClock) -> Office:
    office = await Office(database, clock).open()
    await office.register()
    return office


async def test_a_user_without_roles_has_no_permissions(office: Office) -> None:
    held = await office.access.effective_permissions(await office.user("ada"), None)
    assert (held.roles, held.permissions) == ((), ())
    assert held.audience == ("apostille", "inventory")


async def test_system_roles_grant_what_they_say(office: Office) -> None:
    assert await office.permissions(await office.user("a", "superuser")) == ("*",)
    assert await office.permissions(await office.user("b", "admin")) == ("iam.*",)
    assert await office.permissions(await office.user("c", "staff")) == IAM_READS
    assert await office.permissions(await office.user("d", "member")) == ()


async def test_roles_are_named_in_order(office: Office) -> None:
    held = await office.access.effective_permissions(await office.user("a", "staff", "admin"), None)
    assert held.roles == ("admin", "staff")


async def test_a_token_carries_only_what_its_audience_declares(office: Office) -> None:
    await office.role("clerk", "inventory.read")
    user = await office.user("ada", "staff", "clerk")
    assert await office.permissions(user, "inventory") == ("inventory.read",)
    assert await office.permissions(user, "apostille") == IAM_READS
    assert await office.permissions(user) == (*IAM_READS, "inventory.read")


async def test_everything_is_what_one_audience_knows_and_stays_itself_for_all(
    office: Office,
) -> None:
    root = await office.user("ada", "superuser")
    assert await office.permissions(root, "inventory") == ("inventory.*",)
    assert await office.permissions(root, "inventory", "apostille") == ("*",)


async def test_a_permission_no_service_declares_does_not_break_up_a_wildcard(
    office: Office,
) -> None:
    draft = PermissionDraft(name="plans.read")
    await office.access.permissions.create(draft, office.superuser)
    await office.role("planner", "plans.read", "inventory.read")
    assert await office.permissions(await office.user("a", "superuser")) == ("*",)
    assert await office.permissions(await office.user("b", "planner")) == ("inventory.read",)


async def test_a_deny_in_one_role_wins_over_the_allow_of_another(office: Office) -> None:
    await office.role("keeper", "inventory.*")
    await office.role("trainee", deny=("inventory.write",))
    assert await office.permissions(await office.user("a", "keeper")) == ("inventory.*",)
    assert await office.permissions(await office.user("b", "keeper", "trainee")) == (
        "inventory.read",
    )


async def test_audiences_come_back_as_asked_each_once(office: Office) -> None:
    held = await office.access.effective_permissions(
        await office.user("ada"), ["inventory", "apostille", "inventory"]
    )
    assert held.audience == ("inventory", "apostille")


async def test_an_unknown_audience_is_refused_by_name(office: Office) -> None:
    user = await office.user("ada")
    with refused(ProblemCode.UNKNOWN_AUDIENCE, fields=("audience", "audience")):
        await office.permissions(user, "billing", "inventory", "x" * 300)
    with refused(ProblemCode.UNKNOWN_AUDIENCE, fields=("audience",)):
        await office.access.effective_permissions(user, ())


async def test_the_users_of_an_unknown_user_are_not_found(office: Office) -> None:
    with refused(ProblemCode.NOT_FOUND):
        await office.permissions(new_id())


async def test_one_statement_answers_once_the_same_roles_were_seen(office: Office) -> None:
    await office.role("clerk", "inventory.read")
    first, second = await office.user("a", "clerk"), await office.user("b", "clerk")
    async with office.database.read() as session:
        with statements(office.database) as cold:
            await office.access.entitlements(session, first, None)
        with statements(office.database) as warm:
            await office.access.entitlements(session, second, None)
        with statements(office.database) as narrowed:
            await office.access.entitlements(session, second, ("inventory",))
    assert (len(cold), len(warm), len(narrowed)) == (3, 1, 2)


async def test_many_are_answered_at_once(office: Office) -> None:
    await office.role("clerk", "inventory.read")
    people = [await office.user(f"p{n}", "clerk", "member") for n in range(3)]
    asks = [(Place(person), None) for person in people]
    other = await office.user("other")
    async with office.database.read() as session:
        await office.access.entitlements(session, people[0], None)
        await office.access.entitlements(session, other, ("inventory",))
        with statements(office.database) as executed:
            found = await session.run_sync(
                office.access.entitlements_of_many,
                [*asks, (Place(other), ("inventory",)), *asks],
            )
        alone = await office.access.entitlements(session, people[1], None)
        assert await session.run_sync(office.access.entitlements_of_many, []) == []
        with refused(ProblemCode.UNKNOWN_AUDIENCE):
            await session.run_sync(
                office.access.entitlements_of_many, [*asks, (Place(other), ("absent",))]
            )
    assert len(executed) == 1
    assert [*found[:3], *found[4:]] == [alone] * 6
    assert (found[3].roles, found[3].permissions) == ((), ())


async def test_a_change_on_one_replica_is_seen_by_the_other_at_once(
    office: Office, clock: ManualClock
) -> None:
    await office.role("clerk", "inventory.read")
    user = await office.user("ada", "clerk")
    other = Office(office.database, clock)
    assert await other.permissions(user) == ("inventory.read",)
    patch = RolePatch(allow=("inventory.write",))
    await office.access.roles.update("clerk", patch, office.superuser)
    assert await other.permissions(user) == ("inventory.write",)
    await office.access.assignments.unassign(user, "clerk", office.superuser)
    assert await other.permissions(user) == ()
    with refused(ProblemCode.UNKNOWN_AUDIENCE):
        await other.permissions(user, "billing")
    await office.register(service="billing", permissions={"billing.read": ""})
    assert await other.permissions(user, "billing") == ()


async def test_a_revision_that_was_rolled_back_never_comes_again(office: Office) -> None:
    async def revision() -> object:
        async with office.database.read() as session:
            return await session.scalar(text("SELECT revision FROM policy_revision"))

    seen = {await revision()}
    for _ in range(3):
        with refused(ProblemCode.NAME_TAKEN):
            await office.role("admin")
        seen.add(await revision())
    assert len(seen) == 1


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
@pytest.mark.parametrize("moment", ["before the catalogue", "after the catalogue"])
async def test_policy_that_changes_between_two_statements_is_read_again(
    office: Office, moment: str
) -> None:
    """Read committed shows each statement another moment; the answer is of one."""
    await office.role("clerk", "inventory.read")
    user = await office.user("ada", "clerk")
    changes = [("inventory.write",), ("inventory.read", "inventory.write")]
    _interleave(office, changes, moment)
    assert await office.permissions(user) == ("inventory.read", "inventory.write")
    assert not changes


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_policy_that_never_rests_is_answered_with_overload(office: Office) -> None:
    await office.role("clerk", "inventory.read")
    user = await office.user("ada", "clerk")
    changes = [("inventory.read", "inventory.write"), ("inventory.read",)] * 10
    _interleave(office, changes, "before the catalogue")
    with refused(ProblemCode.OVERLOADED):
        await office.permissions(user)


def _interleave(office: Office, changes: list[tuple[str, ...]], moment: str) -> None:
    """Change the role clerk, as another replica would, after each look at the user's roles."""
    other = Office(office.database, office.clock)
    look = office.access._resolver._snapshot_at

    async def change() -> None:
        if changes:
            patch = RolePatch(allow=changes.pop(0))
            await other.access.roles.update("clerk", patch, office.superuser)

    def snapshot_at(statements: Statements, revision: uuid.UUID) -> _Snapshot | None:
        if moment == "before the catalogue":
            await_(change())
        snapshot = look(statements, revision)
        if moment == "after the catalogue":
            await_(change())
        return snapshot

    office.access._resolver._snapshot_at = snapshot_at  # type: ignore[method-assign]


async def test_the_role_that_takes_most_room_is_to_blame_for_a_large_token(office: Office) -> None:
    await office.role("clerk", "inventory.read")
    await office.role("keeper", "inventory.read", "inventory.write")
    user = await office.user("ada", "member", "clerk", "keeper", "staff")

    async def heaviest(*audience: str) -> tuple[str, int]:
        async with office.database.read() as session:
            return await session.run_sync(office.access.heaviest_role, Place(user), audience)

    assert await heaviest("apostille", "inventory") == ("staff", 4)
    assert await heaviest("inventory") == ("keeper", 2)


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_blame_is_not_laid_while_policy_changes(office: Office) -> None:
    await office.role("clerk", "inventory.read")
    user = await office.user("ada", "clerk")
    _interleave(office, [("inventory.write",)], "before the catalogue")
    with refused(ProblemCode.OVERLOADED):
        async with office.database.read() as session:
            await session.run_sync(office.access.heaviest_role, Place(user), ("inventory",))


async def test_an_unseeded_database_is_a_fault_and_not_an_empty_answer(
    database: Database, clock: ManualClock
) -> None:
    office = Office(database, clock)
    async with database.read() as session:
        with pytest.raises(LookupError, match="seeded"):
            await office.access.entitlements(session, new_id(), None)
    with pytest.raises(LookupError, match="seeded"):
        await office.role("clerk")


def crowd(*, declaring: int, of: int) -> _Snapshot:
    """Return the policy of a crowd of services, of which the first few declare something."""
    declared = {f"s{number:03}": frozenset({f"s{number:03}.read"}) for number in range(declaring)}
    declared |= {f"s{number:03}": frozenset[str]() for number in range(declaring, of)}
    return _Snapshot(new_id(), {"issuer": frozenset({"iam.read"}), **declared}, "issuer")


def test_a_default_audience_is_all_services_as_long_as_they_fit() -> None:
    fitting = (MAX_DEFAULT_AUDIENCE_BYTES - len('"issuer",')) // len('"s000",')
    snapshot = crowd(declaring=0, of=fitting)
    assert snapshot.default_audience(NO_RIGHTS) == snapshot.all_audiences
    assert len(snapshot.all_audiences) == fitting + 1
    assert crowd(declaring=0, of=fitting + 1).default_audience(NO_RIGHTS) == ("issuer",)


def test_a_default_audience_is_where_one_holds_something_if_all_do_not_fit() -> None:
    snapshot = crowd(declaring=300, of=400)
    some = Rights(frozenset({"s007.*", "s003.read", "s009.read"}), frozenset({"s009.*"}))
    assert snapshot.default_audience(some) == ("issuer", "s003", "s007")
    everywhere = Rights(frozenset({"*"}))
    assert snapshot.default_audience(everywhere) == ("issuer",)


async def test_a_crowd_of_services_leaves_logins_without_audience_alone(office: Office) -> None:
    for number in range(20):
        await office.register(service=f"s{number}", permissions={}, audience=f"{number:063}")
    await office.role("clerk", "inventory.read")
    held = await office.access.effective_permissions(await office.user("ada", "clerk"), None)
    assert (held.audience, held.permissions) == (("apostille", "inventory"), ("inventory.read",))
    root = office.superuser.actor_id
    assert root is not None
    held = await office.access.effective_permissions(root, None)
    assert (held.audience, held.permissions) == (("apostille", "inventory"), ("*",))


def test_the_cache_is_bounded() -> None:
    snapshot = _Snapshot(new_id(), {"a": frozenset()}, "a")
    for _ in range(MAX_CACHED + 10):
        snapshot.remember((new_id(),), ("a",), _Held(("a",), ()))
    assert len(snapshot.results) == MAX_CACHED


GRANTS = st.sampled_from(
    ["*", "a.*", "b.*", "a.x.*", "a.r", "a.w", "a.x.r", "a.x.w", "b.r", "b.x.r"]
)
NAMES = ("a.r", "a.w", "a.x.r", "a.x.w", "b.r", "b.x.r")


@given(allows=st.frozensets(GRANTS), denies=st.frozensets(GRANTS))
def test_what_one_may_hand_on_is_what_his_token_covers(
    allows: frozenset[str], denies: frozenset[str]
) -> None:
    """For every permission by name, the comparison and the algebra agree."""
    token = PermissionSet(effective_permissions(allows, denies, NAMES))
    rights = Rights(allows, denies)
    assert [rights.cover(name) for name in NAMES] == [token.covers(name) for name in NAMES]


@given(
    allows=st.frozensets(GRANTS),
    denies=st.frozensets(GRANTS),
    wildcard=GRANTS.filter(lambda grant: grant.endswith("*")),
)
def test_whoever_may_hand_on_a_wildcard_holds_all_below_it(
    allows: frozenset[str], denies: frozenset[str], wildcard: str
) -> None:
    rights = Rights(allows, denies)
    if rights.cover(wildcard):
        below = [name for name in NAMES if PermissionSet([wildcard]).covers(name)]
        assert rights.missing(below) == ()


def test_nobody_holds_nothing() -> None:
    assert NO_RIGHTS.missing({"a.b", "*"}) == ("*", "a.b")
