"""Registered services: listing and removing them."""

from __future__ import annotations

import pytest

from apostille.clock import ManualClock
from apostille_contracts.problems import ProblemCode
from apostille_issuer.db.engine import Database
from support.policy import Office, refused

pytestmark = pytest.mark.anyio


@pytest.fixture
async def office(database: Database, clock: ManualClock) -> Office:
    office = await Office(database, clock).open()
    await office.register()
    return office


async def test_services_are_listed_by_name_page_by_page(office: Office) -> None:
    await office.register(service="billing", permissions={})
    first = await office.access.services.page(cursor=None, limit=2)
    second = await office.access.services.page(cursor=first.next_cursor, limit=2)
    assert [service.name for service in first.items] == ["apostille", "billing"]
    assert second.items == (await office.access.services.get("inventory"),)
    assert second.next_cursor is None
    assert first.items[1].permissions == {}


async def test_a_removed_service_is_no_audience_and_leaves_no_permissions(office: Office) -> None:
    user = await office.user("ada", "superuser")
    await office.access.services.delete("inventory", office.superuser)
    with refused(ProblemCode.UNKNOWN_AUDIENCE):
        await office.permissions(user, "inventory")
    with refused(ProblemCode.NOT_FOUND):
        await office.access.permissions.get("inventory.read")
    with refused(ProblemCode.NOT_FOUND):
        await office.access.services.delete("inventory", office.superuser)
    (event, *_) = await office.events()
    assert (event.tag, event.target) == ("access:service:deleted", "service:inventory")
    assert event.before == {"audience": "inventory", "version": "1.0.0"}


async def test_a_service_whose_permissions_roles_name_stays(office: Office) -> None:
    await office.role("clerk", "inventory.read")
    with refused(ProblemCode.IN_USE, fields=("inventory.read",)):
        await office.access.services.delete("inventory", office.superuser)
    await office.access.roles.delete("clerk", office.superuser)
    await office.access.services.delete("inventory", office.superuser)


@pytest.mark.parametrize("grant", ["pay.*", "pay.cards.*", "till.*"])
async def test_a_service_stays_while_roles_hold_wildcards_on_its_modules(
    office: Office, grant: str
) -> None:
    """Another service could declare permissions there, and who holds the role would hold them."""
    permissions = {"pay.cards.read": "", "till.open": ""}
    await office.register(service="till", permissions=permissions)
    await office.role("cashier", grant)
    with refused(ProblemCode.IN_USE, fields=(grant,)) as caught:
        await office.access.services.delete("till", office.superuser)
    assert "the role cashier" in caught.errors[0].detail
    await office.register(service="pay", permissions={})  # whose module is another's
    await office.access.services.delete("pay", office.superuser)
    await office.access.roles.delete("cashier", office.superuser)
    await office.access.services.delete("till", office.superuser)


async def test_a_service_without_permissions_stays_while_a_wildcard_bears_its_name(
    office: Office,
) -> None:
    await office.role("keeper", "inventory.*")
    await office.register(permissions={})
    with refused(ProblemCode.IN_USE, fields=("inventory.*",)):
        await office.access.services.delete("inventory", office.superuser)


async def test_what_is_not_registered_is_not_found(office: Office) -> None:
    for name in ("nobody", "NO", "\x00", "01890000-0000-7000-8000-000000000000"):
        with refused(ProblemCode.NOT_FOUND):
            await office.access.services.get(name)
        with refused(ProblemCode.NOT_FOUND):
            await office.access.services.delete(name, office.superuser)
