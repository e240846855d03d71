"""Invitations answered at the same time, on two replicas over one database."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest
from msgspec import Struct
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from apostille.clock import ManualClock
from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.invited import NewAccount
from apostille_issuer.accounts.names import LoginName
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.db.metadata import METADATA
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import COMMAND_LINE, RequestContext
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.invitation_tokens import InvitationTokens
from apostille_issuer.tenancy.models import Tenant
from apostille_issuer.tenancy.schemas.invitations import (
    Acceptance,
    Accepted,
    InvitationDraft,
    InvitationView,
)
from apostille_issuer.tenancy.schemas.organizations import OrganizationPatch
from support.desk import PASSWORD, settings_for
from support.policy import refused
from support.tenants import insert_membership, insert_organization, insert_tenant

pytestmark = pytest.mark.anyio

T = TypeVar("T")
Draft = Callable[[LoginName, str], Awaitable[NewAccount]]
SOMEBODY = RequestContext(request_id="test", address="192.0.2.1")


class Place(Struct):
    """A tenant with one member, its administrator, and two replicas of the issuer."""

    one: Issuer
    other: Issuer
    tenant: uuid.UUID
    root: uuid.UUID
    ada: RequestContext

    async def invite(self, email: str, issuer: Issuer | None = None) -> InvitationView:
        draft = InvitationDraft(email=email, roles=("staff",))
        return await (issuer or self.one).tenancy.invitations.invite(self.root, draft, self.ada)

    def answer(self, made: InvitationView, password: str | None = PASSWORD) -> Acceptance:
        tokens = InvitationTokens(self.one.keys.refresh_macs)
        return Acceptance(token=tokens.make(made.id, 0), password=password)

    async def accept(
        self, issuer: Issuer, made: InvitationView, bearer: uuid.UUID | None = None
    ) -> Accepted:
        answer = self.answer(made, None if bearer else PASSWORD)
        return await issuer.tenancy.acceptances.accept(answer, SOMEBODY, bearer=bearer)

    async def view(self, made: InvitationView) -> InvitationView:
        return await self.one.tenancy.invitations.get(self.root, made.id, self.ada)

    async def set_seats(self, seats: int) -> None:
        async with self.one.database.begin(EVERY_TENANT) as session:
            await session.execute(
                update(Tenant).where(Tenant.id == self.tenant).values(seats=seats)
            )

    async def count(self, table: str) -> int:
        async with self.one.database.read(EVERY_TENANT) as session:
            rows = select(func.count()).select_from(METADATA.tables[table])
            return await session.scalar(rows) or 0


@pytest.fixture
async def place(database_url: str, clock: ManualClock) -> AsyncIterator[Place]:
    settings = settings_for(database_url)
    async with (
        Issuer(settings, clock=clock.now).running() as one,
        Issuer(settings, clock=clock.now).running() as other,
    ):
        tenant, root = await insert_tenant(one)
        draft = UserDraft(login="ada@example.com", password=PASSWORD)
        ada = (await one.accounts.create(draft, COMMAND_LINE)).id
        await insert_membership(one, root, ada, "admin")
        context = RequestContext(
            request_id="test", actor_id=ada, tenant_id=tenant, organization_id=root
        )
        yield Place(one, other, tenant, root, context)


@pytest.fixture
def meeting(place: Place, monkeypatch: pytest.MonkeyPatch) -> asyncio.Barrier:
    """Both replicas have looked and hashed before either of them writes."""
    barrier = asyncio.Barrier(2)
    for issuer in (place.one, place.other):
        accounts = issuer.tenancy.acceptances._accounts
        monkeypatch.setattr(accounts, "draft", _meeting(barrier, accounts.draft))
    return barrier


def _meeting(barrier: asyncio.Barrier, real: Draft) -> Draft:
    async def draft(name: LoginName, password: str) -> NewAccount:
        account = await real(name, password)
        await barrier.wait()
        return account

    return draft


async def _nothing(_session: AsyncSession, _key: str) -> None:
    """Find no account of that name."""


async def outcomes(*acts: Awaitable[T]) -> tuple[list[T], list[ProblemCode]]:
    """Return what came of acts done at once: results, and codes of refusals."""
    done = await asyncio.gather(*acts, return_exceptions=True)
    results, codes = [], []
    for outcome in done:
        if isinstance(outcome, IssuerProblem):
            codes.append(outcome.code)
        else:
            assert not isinstance(outcome, BaseException), outcome
            results.append(outcome)
    return results, codes


@pytest.mark.usefixtures("meeting")
async def test_of_two_who_accept_the_last_seat_one_gets_it(place: Place) -> None:
    first, second = await place.invite("bob@example.com"), await place.invite("eve@example.com")
    await place.set_seats(2)
    accepted, codes = await outcomes(
        place.accept(place.one, first), place.accept(place.other, second)
    )
    assert (len(accepted), codes) == (1, [ProblemCode.SEATS_EXHAUSTED])
    assert await place.count("memberships") == 2
    # No account, no role and no answer of the other's.
    assert await place.count("users") == 2
    assert await place.count("membership_roles") == 2
    views = [await place.view(made) for made in (first, second)]
    assert sorted(view.state for view in views) == ["accepted", "pending"]
    (winner,) = [view for view in views if view.state == "accepted"]
    assert winner.accepted_by == accepted[0].user_id


@pytest.mark.usefixtures("meeting")
async def test_of_two_who_use_one_token_at_once_one_becomes_a_member(place: Place) -> None:
    made = await place.invite("bob@example.com")
    accepted, codes = await outcomes(place.accept(place.one, made), place.accept(place.other, made))
    assert (len(accepted), codes) == (1, [ProblemCode.INVITATION_ENDED])
    assert await place.count("users") == 2
    assert await place.count("memberships") == 2


async def test_one_who_clicks_twice_becomes_a_member_once(place: Place) -> None:
    draft = UserDraft(login="bob@example.com", password=PASSWORD)
    bob = (await place.one.accounts.create(draft, COMMAND_LINE)).id
    made = await place.invite("bob@example.com")
    accepted, codes = await outcomes(
        place.accept(place.one, made, bob), place.accept(place.other, made, bob)
    )
    assert [answer.user_id for answer in accepted] == [bob]
    assert codes == [ProblemCode.INVITATION_ENDED]
    assert await place.count("memberships") == 2


@pytest.mark.usefixtures("meeting")
async def test_letters_of_two_organizations_make_one_account(place: Place) -> None:
    """The other one finds that it is there, and can be accepted by its owner."""
    tenant, root = await insert_tenant(place.one, "Other")
    draft = UserDraft(login="grace@example.com", password=PASSWORD)
    grace = (await place.one.accounts.create(draft, COMMAND_LINE)).id
    await insert_membership(place.one, root, grace, "admin")
    there = RequestContext(
        request_id="test", actor_id=grace, tenant_id=tenant, organization_id=root
    )
    first = await place.invite("bob@example.com")
    second = await place.other.tenancy.invitations.invite(
        root, InvitationDraft(email="bob@example.com"), there
    )
    accepted, codes = await outcomes(
        place.accept(place.one, first), place.accept(place.other, second)
    )
    assert (len(accepted), codes) == (1, [ProblemCode.LOGIN_TAKEN])
    assert await place.count("users") == 3


async def test_an_account_made_at_the_same_moment_is_not_made_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Administrators make accounts without waiting for anybody."""
    made = await place.invite("bob@example.com")
    accounts = place.one.tenancy.acceptances._accounts
    real = accounts.require_none
    draft, made_meanwhile = UserDraft(login="bob@example.com", password=PASSWORD), False

    async def require_none(session: AsyncSession, key: str) -> None:
        nonlocal made_meanwhile
        await real(session, key)
        if not made_meanwhile:
            made_meanwhile = True
            await place.other.accounts.create(draft, COMMAND_LINE)
            monkeypatch.setattr(accounts, "require_none", _nothing)

    monkeypatch.setattr(accounts, "require_none", require_none)
    with refused(ProblemCode.LOGIN_TAKEN, fields=("login",)):
        await place.accept(place.one, made)
    assert await place.count("memberships") == 1
    assert (await place.view(made)).state == "pending"


async def test_of_two_who_invite_to_the_last_seat_one_does(place: Place) -> None:
    await place.set_seats(2)
    made, codes = await outcomes(
        place.invite("bob@example.com"), place.invite("eve@example.com", place.other)
    )
    assert (len(made), codes) == (1, [ProblemCode.SEATS_EXHAUSTED])


async def test_of_two_who_invite_the_same_one_does(place: Place) -> None:
    made, codes = await outcomes(
        place.invite("bob@example.com"), place.invite("Bob@example.com", place.other)
    )
    assert (len(made), codes) == (1, [ProblemCode.CONFLICT])
    assert await place.count("outgoing_mail") == 1


async def test_an_invitation_is_either_accepted_or_revoked(place: Place) -> None:
    made = await place.invite("bob@example.com")
    _, codes = await outcomes(
        place.accept(place.one, made),
        place.other.tenancy.invitations.revoke(place.root, made.id, place.ada),
    )
    view = await place.view(made)
    assert codes == [ProblemCode.INVITATION_ENDED]
    members = 2 if view.state == "accepted" else 1
    assert await place.count("memberships") == members
    assert await place.count("users") == members


async def test_nobody_joins_what_is_being_deactivated(place: Place) -> None:
    below = await insert_organization(place.one, place.tenant, "Acme Nordic", place.root)
    draft = InvitationDraft(email="bob@example.com")
    made = await place.one.tenancy.invitations.invite(below, draft, place.ada)
    patch = OrganizationPatch(state="deactivated")
    _, codes = await outcomes(
        place.accept(place.one, made),
        place.other.tenancy.organizations.update(below, patch, place.ada),
    )
    assert codes in ([], [ProblemCode.ORGANIZATION_INACTIVE])
    # Whichever came first, account and membership are both there or neither is.
    assert await place.count("users") == await place.count("memberships") == 2 - len(codes)
