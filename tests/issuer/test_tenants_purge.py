"""Purging deleted tenants: everything of theirs goes but the trail, and nothing of others'."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from sqlalchemy import func, select

from apostille.clock import ManualClock
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.models import Role, RoleGrant
from apostille_issuer.accounts.models import SERVICE, User
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.audit.models import AuditEvent
from apostille_issuer.cli import main
from apostille_issuer.clients.models import ApiKey, ServiceAccount
from apostille_issuer.db.metadata import METADATA
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import COMMAND_LINE, RequestContext
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.schemas import LoginRequest, TokenSet
from apostille_issuer.tenancy import purging as module
from apostille_issuer.tenancy.models import Invitation
from apostille_issuer.tenancy.schemas.domains import DomainDraft
from apostille_issuer.tenancy.schemas.tenants import TenantDraft, TenantView
from support.application import quick_settings
from support.desk import PASSWORD, open_desk, problem_of, settings_for
from support.issuer_process import environment
from support.lists import bit_in, place_of
from support.tenants import insert_membership, insert_organization

GRACE = timedelta(days=30)


class Planted(Struct):
    """A tenant with at least a row in every table that has a tenant."""

    tenant: TenantView
    tokens: TokenSet
    root: RequestContext
    """Of a superuser."""

    @property
    def id(self) -> uuid.UUID:
        return self.tenant.id


@pytest.fixture
async def issuer(database_url: str, clock: ManualClock) -> AsyncIterator[Issuer]:
    async with Issuer(settings_for(database_url), clock=clock.now).running() as running:
        yield running


async def superuser(issuer: Issuer) -> RequestContext:
    draft = UserDraft(login=f"root-{new_id()}", password=PASSWORD)
    root = await issuer.accounts.create(draft, COMMAND_LINE, superuser=True)
    return RequestContext(request_id="test", actor_id=root.id)


async def plant(issuer: Issuer, name: str) -> Planted:
    by_root = await superuser(issuer)
    tenant = await issuer.tenancy.tenants.create(TenantDraft(name=name), by_root)
    root, now = tenant.root_organization_id, issuer.clock()
    below = await insert_organization(issuer, tenant.id, "Works", root)
    login = f"{name}@example.com"
    draft = UserDraft(login=login, password=PASSWORD)
    person = await issuer.accounts.create(draft, COMMAND_LINE)
    await insert_membership(issuer, below, person.id, "member")
    await issuer.tenancy.domains.add(tenant.id, DomainDraft(host=f"{name}.example.com"), by_root)
    of_below = {"tenant_id": tenant.id, "organization_id": below}
    dated = {"created_at": now, "updated_at": now}
    account_id, role_id = new_id(), new_id()
    later = now + timedelta(days=1)
    async with issuer.database.begin(EVERY_TENANT) as session:
        robot = User(
            id=account_id,
            login=f"robot-{name}",
            login_key=f"robot-{name}",
            state="active",
            kind=SERVICE,
            **dated,
        )
        role = Role(id=role_id, name=f"clerk-{name}", **of_below, **dated)
        session.add_all([robot, role])
        await session.flush()
        session.add(ServiceAccount(id=account_id, name="Robot", **of_below, **dated))
        await session.flush()
        session.add_all(
            [
                RoleGrant(role_id=role_id, grant="a.b", effect="allow", tenant_id=tenant.id),
                ApiKey(
                    tenant_id=tenant.id,
                    account_id=account_id,
                    name="Key",
                    secret_hash="0" * 64,
                    created_at=now,
                    expires_at=later,
                ),
                Invitation(
                    email="new@example.com",
                    email_key="new@example.com",
                    generation=0,
                    state="pending",
                    roles=[],
                    created_at=now,
                    queued_at=now,
                    delivery="waiting",
                    expires_at=later,
                    **of_below,
                ),
            ]
        )
    await insert_membership(issuer, below, account_id, "member")
    request = LoginRequest(login=login, password=PASSWORD, organization=below)
    return Planted(tenant, await issuer.sessions.login(request, COMMAND_LINE), by_root)


async def rows(issuer: Issuer, tenant_id: uuid.UUID) -> dict[str, int]:
    """Return how many rows of a tenant there are, by table."""
    columns = {
        table.name: table.c["id" if table.name == "tenants" else "tenant_id"]
        for table in METADATA.tables.values()
        if table.name == "tenants" or "tenant_id" in table.c
    }
    counted: dict[str, int] = {}
    async with issuer.database.read(EVERY_TENANT) as session:
        for name, column in columns.items():
            statement = select(func.count()).where(column == tenant_id)
            counted[name] = await session.scalar(statement) or 0
    return counted


async def users(issuer: Issuer) -> set[str]:
    async with issuer.database.read() as session:
        return set(await session.scalars(select(User.login)))


async def revoked(issuer: Issuer, tokens: TokenSet, clock: ManualClock) -> bool:
    clock.advance(timedelta(seconds=1))
    list_id, idx = place_of(tokens.access_token)
    return bit_in((await issuer.status.document(list_id)).token, idx) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("batch", [1, 500])
async def test_all_of_a_tenant_goes_but_its_trail_and_nothing_of_anothers(
    issuer: Issuer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(module, "PURGE_ROWS", batch)
    gone, stays = await plant(issuer, "gone"), await plant(issuer, "stays")
    before = await rows(issuer, stays.id)
    assert 0 not in before.values(), "plant a row in each table that has a tenant"
    trail = (await rows(issuer, gone.id))["audit_events"]

    await issuer.tenancy.tenants.delete(gone.id, gone.root)
    clock.advance(GRACE - timedelta(seconds=1))
    assert await issuer.tenancy.purge.purge_due() == 0
    clock.advance(timedelta(seconds=1))
    assert await issuer.tenancy.purge.purge_due() == 1
    assert await issuer.tenancy.purge.purge_due() == 0

    # Deleted, its sessions ended, and purged.
    assert {k: n for k, n in (await rows(issuer, gone.id)).items() if n} == {
        "audit_events": trail + 3
    }
    assert await rows(issuer, stays.id) == before
    names = await users(issuer)
    assert names >= {"gone@example.com", "stays@example.com", "robot-stays"}
    assert "robot-gone" not in names
    async with issuer.database.read(EVERY_TENANT) as session:
        last = select(AuditEvent).where(AuditEvent.tenant_id == gone.id)
        event = (await session.scalars(last.order_by(AuditEvent.id.desc()))).first()
    assert event is not None
    assert (event.tag, event.before) == ("tenancy:tenant:purged", {"name": "gone"})


@pytest.mark.anyio
async def test_sessions_that_there_are_still_are_ended_before(
    issuer: Issuer, clock: ManualClock
) -> None:
    """None should be; but if one is, no token of it is good for a moment longer."""
    planted = await plant(issuer, "gone")
    async with issuer.database.begin(EVERY_TENANT) as session:
        table = METADATA.tables["tenants"]
        await session.execute(
            table.update().where(table.c.id == planted.id).values(state="deleted")
        )
    assert not await revoked(issuer, planted.tokens, clock)
    assert await issuer.tenancy.purge.purge_due() == 1
    assert await revoked(issuer, planted.tokens, clock)


@pytest.mark.anyio
async def test_what_was_broken_off_is_gone_on_with_and_cannot_be_restored(
    issuer: Issuer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = await plant(issuer, "gone")
    await issuer.tenancy.tenants.delete(planted.id, planted.root)
    clock.advance(GRACE)

    async def break_off(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(module.TenantPurge, "_delete", break_off)
        with pytest.raises(ZeroDivisionError):
            await issuer.tenancy.purge.purge_due()
    shown = await issuer.tenancy.tenants.get(planted.id, planted.root)
    assert (shown.state, shown.purge_at) == ("deleted", None)
    assert await issuer.tenancy.purge.purge_due() == 1


@pytest.mark.anyio
async def test_past_the_grace_there_is_no_way_back(issuer: Issuer, clock: ManualClock) -> None:
    planted = await plant(issuer, "gone")
    await issuer.tenancy.tenants.delete(planted.id, planted.root)
    clock.advance(GRACE)
    with pytest.raises(IssuerProblem) as refused:
        await issuer.tenancy.tenants.restore(planted.id, planted.root)
    assert refused.value.code is ProblemCode.CONFLICT


@pytest.mark.anyio
async def test_many_processes_at_it_purge_it_once(issuer: Issuer, clock: ManualClock) -> None:
    tenants = [await plant(issuer, f"gone{number}") for number in range(3)]
    for each in tenants:
        await issuer.tenancy.tenants.delete(each.id, each.root)
    clock.advance(GRACE)
    purged = await asyncio.gather(*(issuer.tenancy.purge.purge_due() for _ in range(4)))
    assert sum(purged) == 3
    for each in tenants:
        assert (
            sum((await rows(issuer, each.id)).values())
            == (await rows(issuer, each.id))["audit_events"]
        )


@pytest.mark.anyio
async def test_a_process_that_is_to_end_leaves_the_rest_to_the_next(
    issuer: Issuer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = await plant(issuer, "gone")
    await issuer.tenancy.tenants.delete(planted.id, planted.root)
    clock.advance(GRACE)
    stop, begin = issuer.tenancy.purge._stop, issuer.tenancy.purge._begin

    async def begin_and_stop(*arguments: Any, **options: Any) -> bool:
        done = await begin(*arguments, **options)
        stop.set()
        return done

    with monkeypatch.context() as patch:
        patch.setattr(issuer.tenancy.purge, "_begin", begin_and_stop)
        async with issuer.tenancy.purge.purging():
            await asyncio.wait_for(stop.wait(), 30)
    left = await rows(issuer, planted.id)
    assert left["tenants"] == 1
    async with issuer.tenancy.purge.purging():
        while (await rows(issuer, planted.id))["tenants"]:
            pass


@pytest.mark.anyio
async def test_purging_goes_on_after_failures(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done = asyncio.Event()
    results: list[Exception] = [
        IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE, retry_after=2),
        ZeroDivisionError(),
    ]

    async def purge_due(*, now: datetime) -> int:  # noqa: ARG001 - as the real one
        if results:
            raise results.pop(0)
        done.set()
        return 0

    monkeypatch.setattr(module, "PURGE_SECONDS", 0)
    monkeypatch.setattr(issuer.tenancy.purge, "purge_due", purge_due)
    async with issuer.tenancy.purge.purging():
        await asyncio.wait_for(done.wait(), 30)
    assert "cannot purge deleted tenants: database_unavailable" in caplog.text
    assert "purging deleted tenants failed" in caplog.text


@pytest.mark.anyio
async def test_a_clock_that_is_set_forward_purges_nobody(
    issuer: Issuer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[datetime] = []
    done = asyncio.Event()

    async def purge_due(*, now: datetime) -> int:
        times.append(now)
        if len(times) == 1:
            clock.shift_wall(timedelta(days=365))
        if len(times) > 3:
            done.set()
        return 0

    monkeypatch.setattr(module, "PURGE_SECONDS", 0)
    monkeypatch.setattr(issuer.tenancy.purge, "purge_due", purge_due)
    started = clock.now()
    async with issuer.tenancy.purge.purging():
        await asyncio.wait_for(done.wait(), 30)
    assert max(times) - started < timedelta(minutes=10)


def test_a_process_that_serves_purges_by_itself(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PURGE_SECONDS", 0.01)
    with open_desk(database_url, tenant_purge_after=timedelta(0)) as desk:
        tenant = desk.as_root("POST", "/v1/tenants", json={"name": "Acme"}).json()
        path = f"/v1/tenants/{tenant['id']}"
        assert desk.as_root("DELETE", path).status_code == 204
        while desk.as_root("GET", path).status_code == 200:
            pass
        assert problem_of(desk.as_root("GET", path), 404) == "not_found"
        (event,) = desk.events(tag="tenancy:tenant:purged")
        assert event["target"] == f"tenant:{tenant['id']}"


# The command.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    return tmp_path


def test_the_command_purges_what_is_due_or_one_at_once(
    folder: Path, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    async def prepare() -> list[uuid.UUID]:
        async with Issuer(quick_settings(folder), clock=clock.now).running() as issuer:
            tenants = [
                await issuer.tenancy.tenants.create(TenantDraft(name=name), COMMAND_LINE)
                for name in ("due", "early", "living")
            ]
            await issuer.tenancy.tenants.delete(tenants[0].id, await superuser(issuer))
            return [tenant.id for tenant in tenants]

    async def delete_now(tenant_id: uuid.UUID) -> None:
        async with Issuer(quick_settings(folder)).running() as issuer:
            await issuer.tenancy.tenants.delete(tenant_id, await superuser(issuer))

    def purge(*arguments: str) -> tuple[int, str]:
        status = main(["tenants", "purge", "--data", str(folder), *arguments])
        said = capsys.readouterr()
        return status, said.out + said.err

    # The clock of the tests is months behind.
    _due, early, living = asyncio.run(prepare())
    asyncio.run(delete_now(early))
    assert purge() == (0, "purged 1 tenant\n")
    assert purge() == (0, "purged 0 tenants\n")
    assert purge(str(early)) == (0, "purged 1 tenant\n")
    status, said = purge(str(living))
    assert (status, said.startswith("apostille-issuer: conflict")) == (1, True)
    status, said = purge(str(early))
    assert (status, said.startswith("apostille-issuer: not_found")) == (1, True)
