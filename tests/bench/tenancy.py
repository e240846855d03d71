"""Customers of two sizes: a hundred times as large, and hardly slower."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from apostille_issuer.http.context import RequestContext
from apostille_issuer.issuer import Issuer
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.settings import Settings
from apostille_issuer.tenancy.schemas.organizations import OrganizationFilter
from bench.customers import Customer, Size, write_customer
from bench.issuer_targets import migrate, serve_environment
from bench.report import Section, Table
from bench.rounds import CONTROL, MICROSECONDS, Measure, clock, interleave
from bench.series import Budget

__all__ = ["measure_tenancy"]

SMALL = Size(organizations=100, users=1_000, roles=10)
LARGE = Size(organizations=10_000, users=100_000, roles=1_000)
CALLS = 50
LARGE_OVER_SMALL = 1.2

Act = Callable[[], Awaitable[object]]


def measure_tenancy() -> Section:
    """Measure what administrators and members do at either size."""
    section = Section("tenancy", "Tenants and organizations")
    section.notes.append(
        f"One tenant, its tree 8 deep: {SMALL}; and a hundred times that: {LARGE}. "
        "Processor time of the issuer for one act, in process, on SQLite."
    )
    stack = AsyncExitStack()
    with tempfile.TemporaryDirectory(prefix="apostille-bench-") as name, asyncio.Runner() as runner:
        sizes = {}
        for label, size in (("small", SMALL), ("large", LARGE)):
            data = Path(name) / label
            migrate(data, serve_environment())
            issuer = Issuer(Settings(data=data))
            runner.run(stack.enter_async_context(issuer.running()))
            customer = write_customer(data / "apostille.sqlite3", size)
            sizes[label] = _acts(issuer, customer, runner)
        for act in sizes["small"]:
            small, large = (_measure(runner, sizes[label][act]) for label in ("small", "large"))
            subjects = {"small": small, CONTROL: small, "large": large}
            for measure in subjects.values():
                measure()
            rows = interleave(subjects)
            noise = rows.pop(CONTROL).over(rows["small"])
            table = Table(act, "µs", rows, ("small",), noise=noise)
            section.tables.append(table)
            ratio = rows["large"].over(rows["small"])
            text = f"{act}: a hundred times the size over the size"
            section.budgets.append(Budget(text, LARGE_OVER_SMALL, ratio, noise.departure))
        runner.run(stack.aclose())
    return section


def _acts(issuer: Issuer, customer: Customer, runner: asyncio.Runner) -> dict[str, Act]:
    """Return what is measured, by its name."""
    context = RequestContext(
        request_id="bench",
        actor_id=customer.admin,
        tenant_id=customer.tenant_id,
        organization_id=customer.root,
    )
    places = itertools.cycle(customer.places)
    traveller = _Traveller(issuer, customer, runner)

    async def listing() -> object:
        return await issuer.tenancy.organizations.page(
            OrganizationFilter(), context, cursor=None, limit=50
        )

    async def effective() -> object:
        return await issuer.access.effective_permissions(
            customer.traveller, None, organization_id=next(places)
        )

    return {
        "Listing organizations, a page of 50": listing,
        "Effective permissions in an organization": effective,
        "Switching to another organization": traveller.switch,
    }


class _Traveller:
    """Somebody who is logged in, and switches from one of his organizations to the next."""

    def __init__(self, issuer: Issuer, customer: Customer, runner: asyncio.Runner) -> None:
        self._issuer = issuer
        self._places = itertools.cycle(customer.places)
        session_id = uuid.uuid4()
        self._token = issuer.sessions._tokens.make(session_id, 0)
        runner.run(self._log_in(session_id, customer.traveller))

    async def _log_in(self, session_id: uuid.UUID, user_id: uuid.UUID) -> None:
        """Begin a session without the hash, which would be all that is measured."""
        now, settings = self._issuer.clock(), self._issuer.settings
        async with self._issuer.database.begin() as session:
            session.add(
                LoginSession(
                    id=session_id,
                    user_id=user_id,
                    client_id=settings.client_id,
                    generation=0,
                    auth_time=now,
                    amr=["pwd"],
                    created_at=now,
                    rotated_at=now,
                    expires_at=now + settings.refresh_absolute_lifetime,
                    idle_expires_at=now + settings.refresh_idle_lifetime,
                )
            )

    async def switch(self) -> None:
        context = RequestContext(request_id="bench")
        tokens = await self._issuer.sessions.switch(self._token, next(self._places), context)
        self._token = tokens.refresh_token


def _measure(runner: asyncio.Runner, act: Act) -> Measure:
    async def calls() -> float:
        begin = clock()
        for _ in range(CALLS):
            await act()
        return (clock() - begin) / CALLS * MICROSECONDS

    return lambda: runner.run(calls())
