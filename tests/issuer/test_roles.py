"""Roles: what can be made of them, and by whom."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from apostille.clock import ManualClock
from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.schemas import RoleDraft, RolePatch, RoleView
from apostille_issuer.db.engine import Database
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem
from support.policy import Office, context, refused

pytestmark = pytest.mark.anyio

later = timedelta(hours=1)
SYSTEM = ("admin", "member", "staff", "superuser")


@pytest.fixture
async def office(database: Database, clock: ManualClock) -> Office:
    office = await Office(database, clock).open()
    await office.register()
    return office


async def create(office: Office, by: RequestContext | None = None, **fields: object) -> RoleView:
    draft = RoleDraft(**{"name": "clerk", **fields})  # type: ignore[arg-type]
    return await office.access.roles.create(draft, by or office.superuser)


async def update(
    office: Office, role: str, by: RequestContext | None = None, **fields: object
) -> RoleView:
    patch = RolePatch(**fields)  # type: ignore[arg-type]
    return await office.access.roles.update(role, patch, by or office.superuser)


async def test_a_role_is_found_by_name_and_by_identifier(office: Office) -> None:
    made = await create(
        office, description="At the counter", allow=("inventory.read",), deny=("inventory.write",)
    )
    assert not made.system
    assert (made.allow, made.deny) == (("inventory.read",), ("inventory.write",))
    assert await office.access.roles.get("clerk") == made
    assert await office.access.roles.get(str(made.id)) == made


async def test_what_no_role_is_called_is_not_found(office: Office) -> None:
    for name in ("nobody", "No Name", "", "\x00", "{0}", "a" * 64):
        with refused(ProblemCode.NOT_FOUND):
            await office.access.roles.get(name)


async def test_a_name_that_cannot_be_one_is_refused(office: Office) -> None:
    identifier = "aaaaaaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa"
    for name in ("", "Clerk", "1st", "a b", "clerk\n", "a" * 64, identifier):
        with refused(ProblemCode.VALIDATION_FAILED, fields=("name",)):
            await create(office, name=name)


async def test_a_description_with_a_nul_is_refused_and_not_a_fault(office: Office) -> None:
    with refused(ProblemCode.VALIDATION_FAILED, fields=("description",)):
        await create(office, description="a\x00b")


async def test_grants_are_refused_place_by_place(office: Office) -> None:
    with refused(ProblemCode.VALIDATION_FAILED, fields=("allow[1]", "allow[2]")):
        await create(office, allow=("inventory.read", "Inventory", "*"))
    with refused(ProblemCode.VALIDATION_FAILED, fields=("deny[0]",)):
        await create(office, deny=("*",))


async def test_a_grant_nothing_in_the_catalogue_answers_to_is_refused(office: Office) -> None:
    with refused(ProblemCode.UNKNOWN_PERMISSION, fields=("allow", "allow")):
        await create(office, allow=("inventory.raed", "inventory.read", "inventroy.*"))
    with refused(ProblemCode.UNKNOWN_PERMISSION, fields=("deny",)):
        await create(office, deny=("zebra.*",))


async def test_a_name_is_given_once(office: Office) -> None:
    await create(office)
    for name in ("clerk", "superuser"):
        with refused(ProblemCode.NAME_TAKEN, fields=("name",)):
            await create(office, name=name)


async def test_of_concurrent_creations_of_one_name_one_wins(office: Office) -> None:
    async def attempt() -> str:
        try:
            return (await create(office)).name
        except IssuerProblem as problem:
            return problem.code.value

    outcomes = await asyncio.gather(*(attempt() for _ in range(5)))
    assert sorted(outcomes) == ["clerk", *["name_taken"] * 4]


async def test_a_patch_replaces_what_it_names(office: Office, clock: ManualClock) -> None:
    made = await create(office, description="Old", allow=("inventory.read",))
    clock.advance(later)
    renamed = await update(office, "clerk", name="keeper", description="New")
    assert (renamed.id, renamed.name, renamed.description) == (made.id, "keeper", "New")
    assert renamed.allow == ("inventory.read",)
    assert renamed.updated_at == clock.now() > renamed.created_at
    regranted = await update(office, "keeper", allow=("inventory.*",), deny=("inventory.write",))
    assert (regranted.allow, regranted.deny) == (("inventory.*",), ("inventory.write",))
    assert await office.access.roles.get("keeper") == regranted
    emptied = await update(office, "keeper", allow=(), deny=())
    assert (emptied.allow, emptied.deny) == ((), ())


async def test_a_patch_that_changes_nothing_leaves_no_trace(
    office: Office, clock: ManualClock
) -> None:
    made = await create(office, allow=("inventory.read",))
    before = await office.events()
    clock.advance(later)
    assert await update(office, "clerk") == made
    assert await update(office, "clerk", name="clerk", allow=("inventory.read",)) == made
    assert await office.events() == before


async def test_a_patch_is_checked_like_a_new_role(office: Office) -> None:
    await create(office)
    await create(office, name="keeper")
    with refused(ProblemCode.NAME_TAKEN):
        await update(office, "clerk", name="keeper")
    for patch in (
        RolePatch(name="X"),
        RolePatch(description="\n"),
        RolePatch(allow=("*",)),
        RolePatch(deny=("",)),
    ):
        with refused(ProblemCode.VALIDATION_FAILED):
            await office.access.roles.update("clerk", patch, office.superuser)
    with refused(ProblemCode.UNKNOWN_PERMISSION):
        await update(office, "clerk", allow=("zebra.ride",))
    with refused(ProblemCode.NOT_FOUND):
        await update(office, "nobody")


async def test_a_grant_to_a_permission_gone_since_does_not_block_other_changes(
    office: Office,
) -> None:
    await create(office, allow=("inventory.*", "inventory.read"))
    await office.register(permissions={"inventory.read": ""})
    changed = await update(office, "clerk", description="Same grants, new words")
    assert changed.allow == ("inventory.*", "inventory.read")


async def test_system_roles_are_protected(office: Office) -> None:
    for role in SYSTEM:
        found = await office.access.roles.get(role)
        assert found.system
        with refused(ProblemCode.PROTECTED):
            await update(office, role, description="Mine now")
        with refused(ProblemCode.PROTECTED):
            await office.access.roles.delete(str(found.id), office.superuser)
        assert await office.access.roles.get(role) == found


async def test_a_deleted_role_is_held_by_nobody(office: Office) -> None:
    await create(office, allow=("inventory.read",))
    user = await office.user("ada", "clerk", "member")
    await office.access.roles.delete("clerk", office.superuser)
    assert await office.roles_of(user) == ["member"]
    assert await office.permissions(user) == ()
    (event,) = await office.events(tag=EventTag.ROLE_DELETED)
    assert event.before is not None
    assert event.before["members"] == 1
    with refused(ProblemCode.NOT_FOUND):
        await office.access.roles.delete("clerk", office.superuser)


async def test_nobody_allows_what_he_does_not_hold(office: Office) -> None:
    await office.role("clerk", "inventory.read")
    admin = context(await office.user("ada", "admin", "clerk"))
    await create(office, admin, name="reader", allow=("inventory.read", "iam.users.read"))
    lacking = ("inventory.*", "inventory.write")
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=lacking):
        await create(office, admin, name="writer", allow=("inventory.read", *lacking))
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("inventory.write",)):
        await update(office, "reader", admin, allow=("inventory.write",))


async def test_whoever_holds_every_name_does_not_hold_the_wildcard(office: Office) -> None:
    await office.role("keeper", "inventory.read", "inventory.write")
    keeper = context(await office.user("ada", "admin", "keeper"))
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("inventory.*",)):
        await create(office, keeper, name="heir", allow=("inventory.*",))


async def test_grants_that_stay_need_not_be_held(office: Office) -> None:
    await create(office, allow=("inventory.write", "inventory.read"))
    admin = context(await office.user("ada", "admin"))
    narrowed = await update(office, "clerk", admin, allow=("inventory.write",), description="Less")
    assert narrowed.allow == ("inventory.write",)


async def test_denying_less_is_granting(office: Office) -> None:
    await create(office, deny=("inventory.write",))
    admin = context(await office.user("ada", "admin"))
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("inventory.write",)):
        await update(office, "clerk", admin, deny=())
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("inventory.write",)):
        await office.access.roles.delete("clerk", admin)
    await update(office, "clerk", admin, deny=("inventory.write", "iam.users.read"))


async def test_nobody_lifts_a_deny_that_binds_himself(office: Office) -> None:
    await office.role("barred", deny=("iam.keys.write",))
    admin = context(await office.user("ada", "admin", "barred"))
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("iam.keys.write",)):
        await update(office, "barred", admin, deny=())
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("iam.*",)):
        await create(office, admin, allow=("iam.*",))


async def test_nothing_is_denied_to_a_superuser_by_a_change_of_his_roles(office: Office) -> None:
    await office.role("auditor", "iam.audit.read")
    await office.user("grace", "superuser", "auditor")
    admin = context(await office.user("ada", "admin"))
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("*",)):
        await update(office, "auditor", admin, deny=("iam.*",))
    await update(office, "auditor", admin, description="Still his to describe")
    with refused(ProblemCode.PROTECTED, fields=("deny",)):
        await update(office, "auditor", deny=("iam.keys.write",))


async def test_a_change_of_a_role_takes_no_rights_from_those_who_have_more(
    office: Office,
) -> None:
    await office.role("manager", "iam.roles.read", "iam.roles.write")
    await create(office, name="deputy", allow=("iam.users.*",))
    await office.user("ada", "deputy")
    manager = context(await office.user("max", "manager"))
    for fields in ({"allow": ()}, {"deny": ("iam.roles.read",)}):
        with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("iam.users.*",)):
            await update(office, "deputy", manager, **fields)
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("iam.users.*",)):
        await office.access.roles.delete("deputy", manager)
    await update(office, "deputy", manager, description="Still his to describe")
    await update(office, "deputy", allow=())
    await office.access.roles.delete("deputy", manager)


async def test_nobody_denies_to_others_what_he_does_not_hold(office: Office) -> None:
    await create(office, allow=("inventory.*",))
    await office.user("ada", "clerk")
    admin = context(await office.user("max", "admin"))
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("inventory.write",)):
        await update(office, "clerk", admin, deny=("inventory.write",))
    await update(office, "clerk", admin, deny=("iam.users.read",))


async def test_who_cannot_log_in_hands_on_nothing(office: Office) -> None:
    """A token outlives its bearer's account by minutes; his rights do not."""
    user = await office.user("ada", "superuser")
    await office.set_state(user, "disabled")
    for actor in (user, new_id(), None):
        with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("inventory.read",)):
            await create(office, context(actor), allow=("inventory.read",))


async def test_a_refusal_is_recorded_though_nothing_else_stays(office: Office) -> None:
    admin = context(await office.user("ada", "admin"))
    with refused(ProblemCode.GRANT_EXCEEDS_OWN, missing=("inventory.read",)):
        await create(office, admin, allow=("inventory.read",))
    newest = (await office.events())[0]
    assert (newest.tag, newest.outcome) == ("access:role:created", "refused")
    assert (newest.actor_id, newest.target) == (admin.actor_id, "role:clerk")
    assert newest.after == {"code": "grant_exceeds_own", "missing": ["inventory.read"]}
    with refused(ProblemCode.NOT_FOUND):
        await office.access.roles.get("clerk")


async def test_changes_are_recorded_with_before_and_after(office: Office) -> None:
    await create(office, description="Old", allow=("inventory.read",))
    await update(office, "clerk", name="keeper", allow=("inventory.write",))
    updated, created, *_ = await office.events(actor_id=office.superuser.actor_id)
    assert (created.tag, created.target, created.before) == (
        "access:role:created",
        "role:clerk",
        None,
    )
    assert (updated.tag, updated.target) == ("access:role:updated", "role:clerk")
    assert updated.before == created.after
    assert updated.after == {
        "name": "keeper",
        "description": "Old",
        "allow": ["inventory.write"],
        "deny": [],
        "inherited": False,
    }


async def test_roles_are_listed_by_name_page_by_page(office: Office) -> None:
    for name in ("zeta", "beta", "alpha-1", "alpha_1"):
        await create(office, name=name, allow=("inventory.read",))
    seen: list[str] = []
    cursor = None
    while True:
        page = await office.access.roles.page(cursor=cursor, limit=3)
        seen += [role.name for role in page.items]
        assert len(page.items) <= 3
        if (cursor := page.next_cursor) is None:
            break
    assert seen == sorted(["zeta", "beta", "alpha-1", "alpha_1", *SYSTEM])
    (listed,) = [role for role in page.items if role.name == "zeta"]
    assert listed == await office.access.roles.get("zeta")


async def test_a_cursor_that_is_not_ours_is_refused(office: Office) -> None:
    for cursor in ("%", "AA", "ü", "", "_w", "_____w"):
        with refused(ProblemCode.VALIDATION_FAILED, fields=("cursor",)):
            await office.access.roles.page(cursor=cursor, limit=3)
