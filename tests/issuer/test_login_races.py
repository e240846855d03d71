"""What happens to a user while his password is being compared."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from apostille.clock import ManualClock
from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.hashing import Hashing, Verified
from apostille_issuer.accounts.models import User
from apostille_issuer.accounts.schemas import PasswordChange, UserDraft, UserPatch
from apostille_issuer.http.context import COMMAND_LINE, RequestContext
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.schemas import LoginRequest, TokenSet
from apostille_issuer.settings import RateLimit
from support.desk import OTHER_PASSWORD, PASSWORD, settings_for
from support.policy import refused, scalar

pytestmark = pytest.mark.anyio

WHERE = RequestContext(request_id="test", address="192.0.2.1")
Act = Callable[[Issuer, uuid.UUID, RequestContext], Awaitable[object]]


@pytest.fixture
async def issuer(database_url: str, clock: ManualClock) -> AsyncIterator[Issuer]:
    async with Issuer(settings_for(database_url), clock=clock.now).running() as running:
        yield running


@pytest.fixture
async def root(issuer: Issuer) -> RequestContext:
    draft = UserDraft(login="root", password=PASSWORD)
    user = await issuer.accounts.create(draft, COMMAND_LINE, superuser=True)
    return RequestContext(request_id="test", actor_id=user.id)


@pytest.fixture
async def ada(issuer: Issuer) -> uuid.UUID:
    draft = UserDraft(login="ada", password=PASSWORD)
    return (await issuer.accounts.create(draft, COMMAND_LINE)).id


async def login(issuer: Issuer) -> TokenSet:
    return await issuer.sessions.login(LoginRequest(login="ada", password=PASSWORD), WHERE)


async def disable(issuer: Issuer, user_id: uuid.UUID, root: RequestContext) -> None:
    await issuer.accounts.update(user_id, UserPatch(state="disabled"), root)


async def delete(issuer: Issuer, user_id: uuid.UUID, root: RequestContext) -> None:
    await issuer.accounts.delete(user_id, root)


async def change_password(issuer: Issuer, user_id: uuid.UUID, _root: RequestContext) -> None:
    change = PasswordChange(current_password=PASSWORD, new_password=OTHER_PASSWORD)
    await issuer.own_account.change_password(user_id, change, session_id=None, context=WHERE)


@pytest.mark.parametrize("act", [disable, delete, change_password])
async def test_a_login_under_way_does_not_survive_what_happens_meanwhile(
    issuer: Issuer, ada: uuid.UUID, root: RequestContext, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = issuer.hashing.verify

    async def interrupted(password: str, stored: str | None) -> Verified:
        verified = await real(password, stored)
        monkeypatch.setattr(issuer.hashing, "verify", real)
        await act(issuer, ada, root)
        return verified

    monkeypatch.setattr(issuer.hashing, "verify", interrupted)
    with refused(ProblemCode.INVALID_CREDENTIALS):
        await login(issuer)
    assert await scalar(issuer.database, "SELECT count(*) FROM sessions") == 0


async def test_an_outdated_hash_is_not_written_over_a_new_password(
    issuer: Issuer, ada: uuid.UUID, root: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = issuer.hashing.verify

    async def interrupted(password: str, stored: str | None) -> Verified:
        await real(password, stored)
        monkeypatch.setattr(issuer.hashing, "verify", real)
        await change_password(issuer, ada, root)
        return Verified(outdated=True)

    monkeypatch.setattr(issuer.hashing, "verify", interrupted)
    with refused(ProblemCode.INVALID_CREDENTIALS):
        await login(issuer)
    request = LoginRequest(login="ada", password=OTHER_PASSWORD)
    await issuer.sessions.login(request, WHERE)


async def test_logins_at_once_with_an_outdated_hash_all_succeed(
    issuer: Issuer, ada: uuid.UUID
) -> None:
    old = Hashing(memory_kib=64, time_cost=1)
    hashed = await old.hash(PASSWORD)
    old.close()
    async with issuer.database.begin() as session:
        await session.execute(update(User).where(User.id == ada).values(password_hash=hashed))
    tokens = await asyncio.gather(*(login(issuer) for _ in range(6)))
    assert len({each.refresh_token for each in tokens}) == 6
    tags = "SELECT count(*) FROM audit_events WHERE tag = "
    assert await scalar(issuer.database, tags + "'account:password:rehashed'") == 1
    assert await scalar(issuer.database, tags + "'session:login:failed'") == 0


@pytest.mark.usefixtures("ada")
async def test_logins_at_once_that_cannot_be_served_spoil_none_of_the_others(
    issuer: Issuer,
) -> None:
    wanted: list[tuple[dict[str, Any], ProblemCode | None]] = [
        ({}, None),
        ({"organization": uuid.uuid4()}, ProblemCode.NOT_A_MEMBER),
        ({"audience": "nobody"}, ProblemCode.UNKNOWN_AUDIENCE),
        ({"password": OTHER_PASSWORD}, ProblemCode.INVALID_CREDENTIALS),
    ] * 3
    outcomes = await asyncio.gather(
        *(
            issuer.sessions.login(
                LoginRequest(**({"login": "ada", "password": PASSWORD} | fields)), WHERE
            )
            for fields, _ in wanted
        ),
        return_exceptions=True,
    )
    codes = [each.code if isinstance(each, IssuerProblem) else None for each in outcomes]
    assert codes == [code for _, code in wanted]
    tokens = {each.refresh_token for each in outcomes if isinstance(each, TokenSet)}
    assert len(tokens) == 3
    for count, what in (
        (3, "sessions"),
        (3, "audit_events WHERE tag = 'session:login:succeeded'"),
        # Of unknown audiences nothing is recorded: the request was at fault.
        (6, "audit_events WHERE tag = 'session:login:failed'"),
    ):
        assert await scalar(issuer.database, f"SELECT count(*) FROM {what}") == count


async def test_who_finds_another_hash_each_time_is_refused(
    issuer: Issuer, ada: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def overtaken(_password: str, stored: str | None) -> Verified:
        async with issuer.database.begin() as session:
            other = update(User).where(User.id == ada).values(password_hash=f"{stored}+")
            await session.execute(other)
        return Verified(outdated=False)

    monkeypatch.setattr(issuer.hashing, "verify", overtaken)
    with refused(ProblemCode.INVALID_CREDENTIALS):
        await login(issuer)


@pytest.mark.usefixtures("ada")
async def test_a_full_queue_puts_hashing_anew_off_and_not_the_login(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await scalar(issuer.database, "SELECT password_hash FROM users WHERE login = 'ada'")

    async def outdated(_password: str, _stored: str | None) -> Verified:
        return Verified(outdated=True)

    async def full(_password: str) -> str:
        raise IssuerProblem(ProblemCode.OVERLOADED, retry_after=1)

    monkeypatch.setattr(issuer.hashing, "verify", outdated)
    monkeypatch.setattr(issuer.hashing, "hash", full)
    await login(issuer)
    after = await scalar(issuer.database, "SELECT password_hash FROM users WHERE login = 'ada'")
    assert after == before


async def test_a_login_that_is_cancelled_leaves_its_place_to_others(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparing = asyncio.Event()

    async def never(_password: str, _stored: str | None) -> Verified:
        comparing.set()
        await asyncio.Event().wait()
        raise AssertionError

    limit = RateLimit(2, timedelta(minutes=15))
    settings = settings_for(database_url, login_limit_per_account=limit)
    async with Issuer(settings, clock=clock.now).running() as issuer:
        draft = UserDraft(login="ada", password=PASSWORD)
        await issuer.accounts.create(draft, COMMAND_LINE)
        with monkeypatch.context() as patched:
            patched.setattr(issuer.hashing, "verify", never)
            for _ in range(5):
                comparing.clear()
                task = asyncio.create_task(login(issuer))
                await comparing.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        await login(issuer)


@pytest.mark.parametrize("act", [disable, delete])
async def test_logins_and_the_end_of_a_user_at_once_leave_no_session(
    issuer: Issuer, ada: uuid.UUID, root: RequestContext, act: Act
) -> None:
    async def try_login() -> TokenSet | None:
        with suppress(IssuerProblem):
            return await login(issuer)
        return None

    results = await asyncio.gather(
        *(try_login() for _ in range(4)), act(issuer, ada, root), *(try_login() for _ in range(4))
    )
    living = "SELECT count(*) FROM sessions WHERE revoked_at IS NULL"
    assert await scalar(issuer.database, living) == 0
    for tokens in results:
        if isinstance(tokens, TokenSet):
            with refused(ProblemCode.SESSION_ENDED):
                await issuer.sessions.refresh(tokens.refresh_token, WHERE)


async def test_the_first_superuser_is_created_once(issuer: Issuer, clock: ManualClock) -> None:
    async def create(number: int) -> object:
        draft = UserDraft(login=f"root{number}", password=PASSWORD)
        return await issuer.accounts.create_first_superuser(draft, COMMAND_LINE)

    created = await asyncio.gather(*(create(number) for number in range(4)))
    assert sum(user is not None for user in created) == 1
    assert await scalar(issuer.database, "SELECT count(*) FROM users") == 1
    clock.advance(timedelta(seconds=1))
    assert await create(9) is None
