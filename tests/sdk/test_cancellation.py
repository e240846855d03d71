"""Callers cancelled, loops that end, threads that cannot start: the others never notice."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NoReturn

import pytest

from apostille import AsyncVerifier, Verifier
from apostille._fetch_async import fetch
from apostille._inquiry import Inquiry
from apostille._supply import FetchedKeys
from apostille.clock import ManualClock
from apostille.errors import KeysUnavailable, UnknownKey
from apostille.events import FetchFailure
from support.http_server import METADATA, IssuerServer
from support.minting import AUDIENCE, key_of
from support.subjects import TaskSubject, ThreadSubject, Token, eventually, settle

SECOND = key_of("ES256", "second")


@pytest.fixture
def verifier(server: IssuerServer, clock: ManualClock) -> Iterator[AsyncVerifier]:
    yield AsyncVerifier(server.issuer, audience=AUDIENCE, clock=clock)
    server.gate.set()


async def until_asked(server: IssuerServer, path: str = METADATA) -> None:
    await asyncio.to_thread(eventually, lambda: server.count(path))


def test_a_cancelled_caller_does_not_cancel_the_fetch_of_the_others(
    verifier: AsyncVerifier, server: IssuerServer, token: Token
) -> None:
    async def scenario() -> None:
        server.gate.clear()
        first = asyncio.create_task(verifier.verify(token()))
        second = asyncio.create_task(verifier.verify(token(jti="another")))
        await until_asked(server)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        server.gate.set()
        assert (await second).subject
        assert server.count() == 1

    asyncio.run(scenario())


def test_a_fetch_whose_every_caller_was_cancelled_still_brings_the_keys(
    verifier: AsyncVerifier, server: IssuerServer, token: Token
) -> None:
    async def scenario() -> None:
        server.gate.clear()
        only = asyncio.create_task(verifier.verify(token()))
        await until_asked(server)
        only.cancel()
        await asyncio.wait({only})
        server.gate.set()
        assert (await verifier.verify(token())).subject
        assert server.count() == 1

    asyncio.run(scenario())


def test_a_caller_that_loses_patience_starts_no_cooldown(
    verifier: AsyncVerifier, server: IssuerServer, token: Token
) -> None:
    async def impatient() -> None:
        server.gate.clear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(verifier.verify(token()), 0.05)

    async def next_one() -> None:
        server.gate.set()
        assert (await verifier.verify(token())).subject

    asyncio.run(impatient())  # its loop ends, and with it the task that fetches
    asyncio.run(next_one())
    assert verifier.health().last_error is None


def test_closing_ends_the_fetch_in_flight_without_a_cooldown(
    verifier: AsyncVerifier, server: IssuerServer, token: Token
) -> None:
    async def scenario() -> None:
        server.gate.clear()
        caller = asyncio.create_task(verifier.verify(token()))
        await until_asked(server)
        await verifier.aclose()
        with pytest.raises(KeysUnavailable):
            await caller
        assert verifier.health().last_error is None

    asyncio.run(scenario())


def test_closing_in_another_loop_leaves_the_fetch_alone(
    verifier: AsyncVerifier, server: IssuerServer, token: Token
) -> None:
    server.gate.clear()
    thread = threading.Thread(target=lambda: asyncio.run(verifier.verify(token())))
    thread.start()
    eventually(lambda: server.count(METADATA))
    asyncio.run(verifier.aclose())
    server.gate.set()
    thread.join()
    assert verifier.health().ready


def test_two_loops_at_once_share_one_fetch(
    verifier: AsyncVerifier, server: IssuerServer, token: Token
) -> None:
    subjects: list[str] = []

    def in_a_loop(number: int) -> None:
        async def several() -> None:
            calls = [verifier.verify(token(jti=f"{number}-{call}")) for call in range(20)]
            subjects.extend(principal.subject for principal in await asyncio.gather(*calls))

        asyncio.run(several())

    server.gate.clear()
    threads = [threading.Thread(target=in_a_loop, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: server.count(METADATA))
    server.gate.set()
    for thread in threads:
        thread.join()
    assert len(subjects) == 40
    assert server.count() == 1


def test_a_loop_that_was_closed_under_its_fetch_holds_up_nobody(
    server: IssuerServer, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []

    async def stuck_at_first(inquiry: Inquiry[Any], timeout_seconds: float) -> Any:
        calls.append(inquiry)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return await fetch(inquiry, timeout_seconds)

    monkeypatch.setattr("apostille._fetch_async.fetch", stuck_at_first)
    verifier = AsyncVerifier(server.issuer, audience=AUDIENCE)
    loop = asyncio.new_event_loop()
    tasks: list[asyncio.Task[Any]] = [loop.create_task(verifier.verify(token()))]
    loop.run_until_complete(asyncio.sleep(0.01))
    tasks += asyncio.all_tasks(loop)
    loop.close()  # without cancelling its tasks, as careless programs do
    assert calls
    assert asyncio.run(verifier.verify(token())).subject
    for task in tasks:  # asyncio complains of tasks that never ended
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        task.get_coro().close()


def test_an_async_fetch_that_overruns_its_deadline_is_given_up_by_those_who_wait(
    server: IssuerServer, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(*_: object) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("apostille._fetch_async.fetch", stuck)
    verifier = AsyncVerifier(server.issuer, audience=AUDIENCE, timeout=timedelta(milliseconds=1))
    with pytest.raises(KeysUnavailable):
        asyncio.run(verifier.verify(token()))
    assert verifier.health().last_error is FetchFailure.TIMEOUT


def test_a_thread_stuck_in_name_resolution_is_given_up_by_those_who_wait(
    server: IssuerServer, clock: ManualClock, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    verifier = Verifier(
        server.issuer, audience=AUDIENCE, clock=clock, timeout=timedelta(milliseconds=1)
    )
    monkeypatch.setattr("socket.create_connection", lambda *_, **__: released.wait())
    with pytest.raises(KeysUnavailable):
        verifier.verify(token())
    assert verifier.health().last_error is FetchFailure.TIMEOUT
    supply = verifier._supply
    assert isinstance(supply, FetchedKeys)
    assert supply._in_flight is None
    monkeypatch.undo()
    released.set()


def test_what_a_fetch_brings_after_it_was_given_up_is_ignored(
    server: IssuerServer, clock: ManualClock
) -> None:
    server.gate.clear()
    verifier = Verifier(server.issuer, audience=AUDIENCE, clock=clock)

    def wait_in_vain() -> None:
        with pytest.raises(KeysUnavailable):
            verifier.warm()

    caller = threading.Thread(target=wait_in_vain)
    caller.start()
    eventually(lambda: server.count(METADATA))
    supply = verifier._supply
    assert isinstance(supply, FetchedKeys)
    attempt = supply._in_flight
    assert attempt is not None
    supply.fail(attempt, FetchFailure.TIMEOUT)
    caller.join()
    server.gate.set()
    assert isinstance(attempt.runner, threading.Thread)
    attempt.runner.join()
    supply.fail(attempt, FetchFailure.TIMEOUT)
    supply.abandon(attempt)
    assert not verifier.health().ready


def test_no_thread_to_be_had_is_no_verdict(
    server: IssuerServer, clock: ManualClock, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = Verifier(server.issuer, audience=AUDIENCE, clock=clock)

    def refuse(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(KeysUnavailable):
            verifier.verify(token())
    assert verifier.health().last_error is FetchFailure.INTERNAL
    clock.advance(timedelta(seconds=30))
    assert verifier.verify(token()).subject


@pytest.mark.parametrize("kind", [ThreadSubject, TaskSubject])
def test_an_unforeseen_error_in_a_fetch_is_logged_and_no_verdict(
    kind: type[ThreadSubject | TaskSubject],
    server: IssuerServer,
    token: Token,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> NoReturn:
        raise ZeroDivisionError

    async def broken_async(*_: object) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr("apostille._fetch_sync.fetch", broken)
    monkeypatch.setattr("apostille._fetch_async.fetch", broken_async)
    good = token()
    subject = kind(server.issuer, audience=AUDIENCE)
    with caplog.at_level(logging.ERROR, "apostille"), pytest.raises(KeysUnavailable):
        subject.verify(good)
    subject.close()
    assert "ZeroDivisionError" in caplog.text
    assert good not in caplog.text


def test_with_statements_close(server: IssuerServer, token: Token) -> None:
    with Verifier(server.issuer, audience=AUDIENCE) as verifier:
        verifier.verify(token())
    with pytest.raises(UnknownKey):
        verifier.verify(token(SECOND))

    async def scenario() -> None:
        async with AsyncVerifier(server.issuer, audience=AUDIENCE) as opened:
            await opened.verify(token())
        with pytest.raises(UnknownKey):
            await opened.verify(token(SECOND))

    asyncio.run(scenario())
    settle(verifier)
