"""How many people a tenant may have: counted by person, invitations included; on both databases."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from apostille_contracts.problems import ProblemCode
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.db.types import new_id
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.models import Invitation, Membership, Tenant
from apostille_issuer.tenancy.seats import require_seat, used_seats
from support.desk import Desk, Person
from support.firm import Firm

HOUR = timedelta(hours=1)


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return Firm(desk)


def change(firm: Firm, *statements: Any) -> None:
    async def act() -> None:
        async with firm.desk.issuer.database.begin(EVERY_TENANT) as session:
            for statement in statements:
                await session.execute(statement)

    firm.desk.run(act())


def invite(
    firm: Firm,
    address: str,
    organization: uuid.UUID | None = None,
    *,
    state: str = "pending",
    left: timedelta = HOUR,
) -> None:
    now = firm.desk.clock.now()
    fields = {
        "id": new_id(),
        "tenant_id": firm.tenant,
        "organization_id": organization or firm.root,
        "email": address,
        "email_key": address.casefold(),
        "generation": 0,
        "state": state,
        "roles": [],
        "created_at": now,
        "queued_at": now,
        "delivery": "sent",
        "expires_at": now + left,
    }
    change(firm, insert(Invitation).values(**fields))


def used(firm: Firm) -> int:
    async def count() -> int:
        async with firm.desk.issuer.database.read(firm.tenant) as session:
            return await used_seats(session, firm.tenant, firm.desk.clock.now())

    return firm.desk.run(count())


def outcome(firm: Firm, tenant: uuid.UUID | None = None, **who: Any) -> ProblemCode | None:
    """Ask for a seat and return why there is none, or ``None``."""
    now: Callable[[], datetime] = firm.desk.clock.now

    async def ask() -> ProblemCode | None:
        try:
            async with firm.desk.issuer.database.begin(firm.tenant) as session:
                await require_seat(session, tenant or firm.tenant, now(), **who)
        except IssuerProblem as problem:
            return problem.code
        return None

    return firm.desk.run(ask())


def allow(firm: Firm, seats: int | None) -> None:
    change(firm, update(Tenant).where(Tenant.id == firm.tenant).values(seats=seats))


def test_people_and_addresses_are_counted_once(firm: Firm) -> None:
    north, other = firm.put("North"), Firm(firm.desk)
    bob, away = firm.member(firm.root), firm.member(firm.root)
    firm.join(north, bob)
    suspended = Membership.user_id == away.id
    change(firm, update(Membership).where(suspended).values(state="suspended"))
    assert used(firm) == 2  # Ada and Bob
    for place in (firm.root, north):
        invite(firm, "eve@example.com", place)
        invite(firm, bob.login.upper(), place)
    assert used(firm) == 3
    invite(firm, away.login)  # he has an account, and no seat
    assert used(firm) == 4
    invite(firm, "late@example.com", left=timedelta(0))
    invite(firm, "gone@example.com", state="revoked")
    invite(other, "else@example.com")
    assert (used(firm), used(other)) == (4, 2)


def test_who_has_a_seat_needs_no_other_one(firm: Firm) -> None:
    bob, stranger = firm.member(firm.root), firm.desk.hire()
    invited, late = firm.desk.hire(), firm.desk.hire()
    invite(firm, invited.login)
    invite(firm, late.login, left=timedelta(0))
    allow(firm, 3)
    full = ProblemCode.SEATS_EXHAUSTED
    for who, expected in ((bob, None), (invited, None), (stranger, full), (late, full)):
        assert outcome(firm, user_id=who.id) is expected
        assert outcome(firm, email_key=who.login) is expected
    assert outcome(firm, user_id=stranger.id, email_key=invited.login) is None
    assert outcome(firm, user_id=bob.id, email_key=stranger.login) is None
    assert outcome(firm, email_key="new@example.com") is full


@pytest.mark.parametrize(("seats", "free"), [(None, True), (2, True), (1, False), (0, False)])
def test_a_seat_is_free_below_the_limit(firm: Firm, seats: int | None, free: bool) -> None:  # noqa: FBT001 - a parameter of the test
    allow(firm, seats)
    expected = None if free else ProblemCode.SEATS_EXHAUSTED
    assert outcome(firm, email_key="new@example.com") is expected


def test_a_tenant_that_is_not_there_has_none(firm: Firm) -> None:
    assert outcome(firm, new_id(), email_key="new@example.com") is ProblemCode.NOT_FOUND


def test_a_person_keeps_his_seat_when_there_are_fewer(firm: Firm) -> None:
    bob: Person = firm.member(firm.root)
    allow(firm, 0)
    assert outcome(firm, user_id=bob.id) is None
