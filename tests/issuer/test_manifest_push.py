"""Manifests: a service declares its permissions, and what that changes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from apostille.clock import ManualClock
from apostille_contracts.manifest import Manifest
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access import manifests
from apostille_issuer.access.schemas import (
    ManifestChanges,
    PermissionDraft,
    RolePatch,
    ServiceOutcome,
)
from apostille_issuer.db.engine import Database
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.problems import IssuerProblem
from support.policy import INVENTORY, Office, manifest, refused

pytestmark = pytest.mark.anyio


@pytest.fixture
async def office(database: Database, clock: ManualClock) -> Office:
    return await Office(database, clock).open()


async def push(office: Office, *, dry_run: bool = False, **fields: Any) -> ServiceOutcome:
    wanted = manifest(**fields)
    return await office.access.push_manifest(wanted, office.superuser, dry_run=dry_run)


async def names(office: Office, module: str = "inventory") -> dict[str, bool]:
    """Return the catalogue's permissions of *module*, and whether each is deprecated."""
    page = await office.access.permissions.page(cursor=None, limit=200)
    return {p.name: p.deprecated for p in page.items if p.module == module}


async def test_the_first_manifest_registers_the_service(office: Office) -> None:
    outcome = await push(office)
    assert outcome == ServiceOutcome(
        service="inventory",
        audience="inventory",
        version="1.0.0",
        applied=True,
        changes=ManifestChanges(created=True, added=("inventory.read", "inventory.write")),
    )
    registered = await office.access.services.get("inventory")
    assert registered.permissions == INVENTORY["permissions"]
    assert await office.access.services.get(str(registered.id)) == registered
    assert await names(office) == {"inventory.read": False, "inventory.write": False}


async def test_the_same_manifest_again_changes_nothing(office: Office, clock: ManualClock) -> None:
    await push(office)
    before = await office.access.services.get("inventory"), await office.events()
    clock.advance(timedelta(hours=1))
    outcome = await push(office)
    assert outcome.applied
    assert not outcome.changes.any()
    assert (await office.access.services.get("inventory"), await office.events()) == before


async def test_a_dry_run_says_what_would_change_and_changes_nothing(office: Office) -> None:
    await push(office)
    events = await office.events()
    fields: dict[str, Any] = {
        "version": "2.0.0",
        "audience": "https://inventory.example",
        "permissions": {"inventory.read": "Look", "inventory.count": "Count"},
    }
    planned = await push(office, dry_run=True, **fields)
    assert planned.changes == ManifestChanges(
        created=False,
        updated=("audience", "version"),
        added=("inventory.count",),
        changed=("inventory.read",),
        removed=("inventory.write",),
    )
    assert not planned.applied
    assert (await office.access.services.get("inventory")).version == "1.0.0"
    assert await office.events() == events
    done = await push(office, **fields)
    assert done.changes == planned.changes
    registered = await office.access.services.get("inventory")
    assert registered.permissions == fields["permissions"]
    assert (registered.version, registered.audience) == ("2.0.0", "https://inventory.example")
    assert registered.updated_at >= registered.created_at


async def test_a_dry_run_for_a_new_service_registers_nothing(office: Office) -> None:
    outcome = await push(office, dry_run=True)
    assert outcome.changes.created
    with refused(ProblemCode.NOT_FOUND):
        await office.access.services.get("inventory")


async def test_a_dropped_permission_that_roles_name_is_deprecated(office: Office) -> None:
    await push(office)
    await office.role("keeper", "inventory.write")
    user = await office.user("ada", "keeper")
    outcome = await push(office, permissions={"inventory.read": "See stock levels"})
    assert outcome.changes.deprecated == {"inventory.write": ("keeper",)}
    assert outcome.changes.removed == ()
    assert await names(office) == {"inventory.read": False, "inventory.write": True}
    assert await office.permissions(user) == ()
    again = await push(office, permissions={"inventory.read": "See stock levels"})
    assert not again.changes.any()


async def test_a_module_on_which_a_role_holds_a_wildcard_never_changes_hands(
    office: Office,
) -> None:
    await push(office, permissions={"pay.read": "", "pay.write": "", "till.open": ""})
    await office.role("cashier", "pay.*")
    user = await office.user("ada", "cashier")
    outcome = await push(office, permissions={})
    assert outcome.changes.deprecated == {"pay.read": ("cashier",), "pay.write": ("cashier",)}
    assert outcome.changes.removed == ("till.open",)
    with refused(ProblemCode.CONFLICT, fields=("permissions.pay.transfer",)):
        await push(office, service="rival", permissions={"pay.transfer": ""})
    assert await office.permissions(user) == ()
    await office.access.roles.delete("cashier", office.superuser)
    assert (await push(office, permissions={})).changes.removed == ("pay.read", "pay.write")
    await push(office, service="rival", permissions={"pay.transfer": ""})


async def test_a_deprecated_permission_comes_back_with_the_manifest_that_declares_it(
    office: Office,
) -> None:
    await push(office)
    await office.role("keeper", "inventory.write")
    user = await office.user("ada", "keeper")
    await push(office, permissions={"inventory.read": "See stock levels"})
    outcome = await push(office)
    assert outcome.changes.added == ("inventory.write",)
    assert await office.permissions(user) == ("inventory.write",)


async def test_a_deprecated_permission_goes_once_no_role_names_it(office: Office) -> None:
    await push(office)
    await office.role("keeper", "inventory.write")
    left: dict[str, Any] = {"permissions": {"inventory.read": "See stock levels"}}
    await push(office, **left)
    await office.access.roles.update("keeper", RolePatch(allow=()), office.superuser)
    outcome = await push(office, **left)
    assert outcome.changes == ManifestChanges(created=False, removed=("inventory.write",))
    assert await names(office) == {"inventory.read": False}


async def test_a_module_of_another_service_is_out_of_bounds(office: Office) -> None:
    await push(office)
    with refused(
        ProblemCode.CONFLICT, fields=("permissions.iam.users.write", "permissions.inventory.read")
    ) as caught:
        await push(
            office,
            service="billing",
            permissions={"iam.users.write": "", "inventory.read": "", "billing.read": ""},
        )
    assert [error.detail for error in caught.errors] == [
        "the module iam belongs to apostille",
        "the module inventory belongs to inventory",
    ]
    with refused(ProblemCode.CONFLICT):
        await push(office, dry_run=True, service="billing", permissions={"inventory.audit": ""})


async def test_whoever_declares_in_a_module_first_keeps_others_out(office: Office) -> None:
    await push(office, service="orders", permissions={"sales.read": ""})
    with refused(ProblemCode.CONFLICT):
        await push(office, service="sales", permissions={"sales.write": ""})
    await push(office, service="sales", permissions={"discounts.give": ""})


async def test_permissions_that_belong_to_nobody_are_adopted(office: Office) -> None:
    draft = PermissionDraft(name="inventory.read", description="By hand")
    await office.access.permissions.create(draft, office.superuser)
    outcome = await push(office)
    assert outcome.changes.added == ("inventory.read", "inventory.write")
    adopted = await office.access.permissions.get("inventory.read")
    assert (adopted.service, adopted.description) == ("inventory", "See stock levels")


async def test_an_audience_names_one_service(office: Office) -> None:
    await push(office)
    for audience in ("inventory", "apostille"):
        with refused(ProblemCode.NAME_TAKEN, fields=("audience",)):
            await push(office, service="billing", audience=audience, permissions={})


async def test_the_issuers_own_service_is_protected(office: Office) -> None:
    with refused(ProblemCode.PROTECTED):
        await push(office, service="apostille", permissions={})
    with refused(ProblemCode.PROTECTED):
        await office.access.services.delete("apostille", office.superuser)


async def test_what_cannot_be_stored_is_refused(office: Office) -> None:
    bad: dict[str, dict[str, Any]] = {
        "service": {"service": "x\n"},
        "version": {"version": "1\x000"},
        "audience": {"audience": "\x00"},
        "permissions": {"permissions": {"inventory.*": ""}},
        "permissions.inventory.read": {"permissions": {"inventory.read": "a\x00"}},
    }
    for field, fields in bad.items():
        wanted = Manifest(**{**INVENTORY, **fields})
        with refused(ProblemCode.VALIDATION_FAILED, fields=(field,)):
            await office.access.push_manifest(wanted, office.superuser)


async def test_a_manifest_has_a_bounded_number_of_permissions(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "MAX_PERMISSIONS", 2)
    await push(office)
    with refused(ProblemCode.VALIDATION_FAILED, fields=("permissions",)):
        await push(office, permissions={f"inventory.p{n}": "" for n in range(3)})


async def test_of_concurrent_first_manifests_one_registers(office: Office) -> None:
    outcomes = await asyncio.gather(*(push(office) for _ in range(4)))
    assert sorted(outcome.changes.created for outcome in outcomes) == [False, False, False, True]


async def test_two_services_that_want_one_module_do_not_both_get_it(office: Office) -> None:
    async def attempt(service: str) -> str:
        try:
            await push(office, service=service, permissions={"sales.read": ""})
        except IssuerProblem as problem:
            return problem.code.value
        return "done"

    outcomes = await asyncio.gather(attempt("orders"), attempt("shop"))
    assert sorted(outcomes) == ["conflict", "done"]


async def test_what_was_pushed_is_in_the_audit_trail(office: Office) -> None:
    await office.access.push_manifest(manifest(), COMMAND_LINE)
    await push(office, version="2.0.0")
    updated, registered, *_ = await office.events()
    assert (registered.tag, registered.target) == (
        "access:service:registered",
        "service:inventory",
    )
    assert (registered.actor_id, registered.user_agent) == (None, "apostille-issuer")
    assert (updated.tag, updated.actor_id) == (
        "access:service:updated",
        office.superuser.actor_id,
    )
    assert updated.before == {"audience": "inventory", "version": "1.0.0"}
    assert updated.after is not None
    assert updated.after["version"] == "2.0.0"
    assert updated.after["changes"]["updated"] == ["version"]
