"""The catalogue of permissions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from apostille.clock import ManualClock
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import ISSUER_PERMISSIONS
from apostille_issuer.access.schemas import (
    PermissionDraft,
    PermissionPatch,
    PermissionView,
    RolePatch,
)
from apostille_issuer.db.engine import Database
from apostille_issuer.problems import IssuerProblem
from support.policy import Office, refused

pytestmark = pytest.mark.anyio


@pytest.fixture
async def office(database: Database, clock: ManualClock) -> Office:
    office = await Office(database, clock).open()
    await office.register()
    return office


async def create(
    office: Office, name: str, service: str | None = None, description: str = ""
) -> PermissionView:
    draft = PermissionDraft(name=name, description=description, service=service)
    return await office.access.permissions.create(draft, office.superuser)


async def test_a_permission_for_a_service_is_in_its_tokens(office: Office) -> None:
    made = await create(office, "inventory.audit", "inventory", "Look back")
    assert (made.module, made.service, made.deprecated) == ("inventory", "inventory", False)
    assert await office.access.permissions.get("inventory.audit") == made
    await office.role("auditor", "inventory.audit")
    user = await office.user("ada", "auditor")
    assert await office.permissions(user, "inventory") == ("inventory.audit",)


async def test_a_permission_without_a_service_waits_for_one(office: Office) -> None:
    made = await create(office, "billing.read")
    assert (made.service, made.deprecated) == (None, False)
    await office.register(service="billing", permissions={"billing.read": "See invoices"})
    adopted = await office.access.permissions.get("billing.read")
    assert (adopted.id, adopted.service) == (made.id, "billing")
    assert adopted.description == "See invoices"


async def test_a_name_that_is_none_is_refused(office: Office) -> None:
    for name in ("", "inventory", "inventory.*", "*", "Inventory.Read", "a.b\n"):
        with refused(ProblemCode.VALIDATION_FAILED, fields=("name",)):
            await create(office, name)


async def test_what_is_not_in_the_catalogue_is_not_found(office: Office) -> None:
    acts = office.access.permissions
    for name in ("inventory.absent", "inventory.*", "x", "\x00"):
        with refused(ProblemCode.NOT_FOUND):
            await acts.get(name)
        with refused(ProblemCode.NOT_FOUND):
            await acts.update(name, PermissionPatch(description="x"), office.superuser)
        with refused(ProblemCode.NOT_FOUND):
            await acts.delete(name, office.superuser)


async def test_texts_that_cannot_be_stored_are_refused(office: Office) -> None:
    with refused(ProblemCode.VALIDATION_FAILED, fields=("description",)):
        await create(office, "inventory.audit", description="a\x00b")
    with refused(ProblemCode.VALIDATION_FAILED, fields=("description",)):
        patch = PermissionPatch(description="two\nlines")
        await office.access.permissions.update("inventory.read", patch, office.superuser)
    for service in ("\x00", "billing"):
        with refused(ProblemCode.VALIDATION_FAILED, fields=("service",)):
            await create(office, "billing.read", service)


async def test_a_name_is_given_once_even_at_the_same_moment(office: Office) -> None:
    async def attempt() -> str:
        try:
            return (await create(office, "billing.read")).name
        except IssuerProblem as problem:
            return problem.code.value

    outcomes = await asyncio.gather(*(attempt() for _ in range(4)))
    assert sorted(outcomes) == ["billing.read", *["name_taken"] * 3]


async def test_a_module_belongs_to_one_service(office: Office) -> None:
    await office.register(service="billing", permissions={})
    for service in (None, "billing"):
        with refused(ProblemCode.CONFLICT, fields=("name",)):
            await create(office, "inventory.audit", service)


async def test_a_service_owns_the_module_of_its_name_before_it_declares_anything(
    office: Office,
) -> None:
    await office.register(service="billing", permissions={})
    with refused(ProblemCode.CONFLICT):
        await create(office, "billing.read")
    assert (await create(office, "billing.read", "billing")).service == "billing"


async def test_a_description_can_be_changed_and_nothing_else(office: Office) -> None:
    patch = PermissionPatch(description="Count")
    changed = await office.access.permissions.update("inventory.read", patch, office.superuser)
    assert changed.description == "Count"
    assert await office.access.permissions.get("inventory.read") == changed
    (event, *_) = await office.events()
    assert (event.tag, event.target) == (
        "access:permission:updated",
        "permission:inventory.read",
    )
    assert (event.before, event.after) == (
        {"description": "See stock levels"},
        {"description": "Count"},
    )
    for unchanged in (patch, PermissionPatch()):
        await office.access.permissions.update("inventory.read", unchanged, office.superuser)
    assert (await office.events())[0] == event


async def test_a_permission_that_roles_name_stays(office: Office) -> None:
    await office.role("clerk", "inventory.read")
    await office.role("barred", deny=("inventory.read",))
    await office.role("keeper", "inventory.*")
    with refused(ProblemCode.IN_USE, fields=("inventory.read", "inventory.read")) as caught:
        await office.access.permissions.delete("inventory.read", office.superuser)
    assert [error.detail for error in caught.errors] == [
        "the role barred grants or denies it",
        "the role clerk grants or denies it",
    ]
    await office.access.permissions.delete("inventory.write", office.superuser)
    with refused(ProblemCode.NOT_FOUND):
        await office.access.permissions.get("inventory.write")


async def test_the_last_permission_of_a_module_stays_while_a_role_holds_a_wildcard_on_it(
    office: Office,
) -> None:
    acts = office.access.permissions
    for service in ("inventory", None):
        module = "pay" if service else "loose"
        for name in (f"{module}.read", f"{module}.write"):
            await create(office, name=name, service=service)
        await office.role(module, f"{module}.*")
        await acts.delete(f"{module}.read", office.superuser)
        with refused(ProblemCode.IN_USE, fields=(f"{module}.*",)):
            await acts.delete(f"{module}.write", office.superuser)
        await office.access.roles.delete(module, office.superuser)
        await acts.delete(f"{module}.write", office.superuser)


async def test_a_module_called_like_its_service_may_be_emptied(office: Office) -> None:
    await office.role("keeper", "inventory.*")
    for name in ("inventory.read", "inventory.write"):
        await office.access.permissions.delete(name, office.superuser)


async def test_a_permission_is_deleted_or_granted_never_both(office: Office) -> None:
    """The policy lock: whoever comes second sees what the first one did."""
    await office.role("clerk")

    async def attempt(act: Awaitable[object]) -> str:
        try:
            await act
        except IssuerProblem as problem:
            return problem.code.value
        return "done"

    outcomes = await asyncio.gather(
        attempt(office.access.permissions.delete("inventory.read", office.superuser)),
        attempt(
            office.access.roles.update(
                "clerk", RolePatch(allow=("inventory.read",)), office.superuser
            )
        ),
    )
    assert tuple(outcomes) in (("done", "unknown_permission"), ("in_use", "done"))


async def test_the_issuers_own_permissions_are_protected(office: Office) -> None:
    acts = office.access.permissions
    for name, description in ISSUER_PERMISSIONS.items():
        assert (await acts.get(name)).description == description
    with refused(ProblemCode.PROTECTED):
        await acts.update("iam.users.read", PermissionPatch(description="x"), office.superuser)
    with refused(ProblemCode.PROTECTED):
        await acts.delete("iam.users.read", office.superuser)
    with refused(ProblemCode.PROTECTED):
        await create(office, "iam.users.impersonate", "apostille")
    for name in ("iam.users.impersonate", "apostille.read"):
        with refused(ProblemCode.CONFLICT):
            await create(office, name)


async def test_the_catalogue_is_listed_by_name_page_by_page(office: Office) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        page = await office.access.permissions.page(cursor=cursor, limit=4)
        seen += [permission.name for permission in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == sorted([*ISSUER_PERMISSIONS, "inventory.read", "inventory.write"])
