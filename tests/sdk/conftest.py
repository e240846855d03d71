"""A misbehaving issuer, a clock that stands still, and both verifiers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apostille.clock import ManualClock
from apostille.events import Event
from support.http_server import IssuerServer
from support.minting import AUDIENCE, claims_at, key_of, mint
from support.subjects import Make, TaskSubject, ThreadSubject, Token


@pytest.fixture
def server() -> Iterator[IssuerServer]:
    with IssuerServer(key_of("ES256", "first")) as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture(params=[ThreadSubject, TaskSubject], ids=["threads", "tasks"])
def make(
    request: pytest.FixtureRequest, server: IssuerServer, clock: ManualClock, events: list[Event]
) -> Iterator[Make]:
    """Construct a verifier of *server*; keyword arguments change its options."""
    made: list[ThreadSubject | TaskSubject] = []

    def construct(**options: Any) -> ThreadSubject | TaskSubject:
        usual = {"audience": AUDIENCE, "clock": clock, "on_event": events.append}
        made.append(request.param(options.pop("issuer", server.issuer), **{**usual, **options}))
        return made[-1]

    yield construct
    server.gate.set()
    server.stop()
    for subject in made:
        subject.close()


@pytest.fixture
def token(server: IssuerServer, clock: ManualClock) -> Token:
    """Mint a good token of *server*; keyword arguments change its claims."""

    def good(key: Any = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
        key = key or key_of("ES256", "first")
        return mint(key, claims_at(clock, **{"iss": server.issuer, **changes}), header)

    return good
