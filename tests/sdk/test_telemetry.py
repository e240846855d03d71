"""Verifier events as OpenTelemetry metrics."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import pytest

from apostille.clock import ManualClock
from apostille.errors import ConfigurationError, InvalidToken, KeysUnavailable
from apostille.events import Event, EventTag
from apostille.telemetry import opentelemetry_hook
from support.http_server import IssuerServer, status
from support.minting import key_of
from support.status import PublishedList
from support.subjects import Make, Token

pytest.importorskip("opentelemetry.metrics")

Recorded = list[tuple[str, float, dict[str, str]]]


class Instrument:
    """Records what it is given; counters, histograms and gauges alike."""

    def __init__(self, name: str, recorded: Recorded) -> None:
        self._name = name
        self._recorded = recorded

    def _record(self, amount: float, attributes: dict[str, str]) -> None:
        self._recorded.append((self._name, amount, dict(attributes)))

    add = record = set = _record


class RecordingMeter:
    """As much of a meter as the hook uses."""

    def __init__(self) -> None:
        self.recorded: Recorded = []

    def _instrument(self, name: str, **_: Any) -> Instrument:
        return Instrument(name, self.recorded)

    create_counter = create_histogram = create_gauge = _instrument

    def of(self, name: str) -> list[dict[str, str]]:
        return [attributes for recorded, _, attributes in self.recorded if recorded == name]


def test_what_happens_is_counted(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    meter = RecordingMeter()
    subject = make(on_event=opentelemetry_hook(meter))  # type: ignore[arg-type]
    subject.verify(token())
    with pytest.raises(InvalidToken):
        subject.verify(token(aud="another"))
    with pytest.raises(InvalidToken):
        subject.verify(token(key_of("ES256", "second")))
    server.stop()
    clock.advance(timedelta(minutes=5))
    subject.verify(token())
    clock.advance(timedelta(hours=2))
    with pytest.raises(KeysUnavailable):
        subject.verify(token())
    issuer = {"apostille.issuer": server.issuer}
    verified = {**issuer, "apostille.outcome": "verified"}
    rejected = {**issuer, "apostille.outcome": "rejected"}
    failed = {**issuer, "apostille.outcome": "failed", "error.type": "unreachable"}
    assert meter.of("apostille.tokens") == [
        verified,
        {**rejected, "error.type": "wrong_audience"},
        {**rejected, "error.type": "unknown_key"},
        verified,
        {**rejected, "error.type": "keys_unavailable"},
    ]
    assert meter.of("apostille.keys.fetches") == [
        {**issuer, "apostille.outcome": "refreshed"},
        failed,
        failed,
    ]
    assert meter.of("apostille.keys.fetch.duration") == meter.of("apostille.keys.fetches")
    assert meter.of("apostille.keys.stale") == [issuer]
    assert meter.of("apostille.keys.cooldowns") == [issuer]
    assert [record for record in meter.recorded if record[0] == "apostille.keys.usable"] == [
        ("apostille.keys.usable", 1, issuer)
    ]


def test_fetches_of_status_lists_are_counted_apart(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    meter = RecordingMeter()
    subject = make(on_event=opentelemetry_hook(meter))  # type: ignore[arg-type]
    published = PublishedList(server, clock)
    subject.verify(token(status=published.at(0)))
    server.behaviours[published.path] = status(503)
    clock.advance(timedelta(seconds=11))
    subject.verify(token(status=published.at(0)))
    issuer = {"apostille.issuer": server.issuer}
    assert meter.of("apostille.status.fetches") == [
        {**issuer, "apostille.outcome": "refreshed"},
        {**issuer, "apostille.outcome": "failed", "error.type": "bad_status"},
    ]
    assert meter.of("apostille.status.fetch.duration") == meter.of("apostille.status.fetches")
    assert meter.of("apostille.status.stale") == [issuer]
    assert len(meter.of("apostille.keys.fetches")) == 1


def test_the_global_provider_is_the_default() -> None:
    hook = opentelemetry_hook()
    for tag in EventTag:
        hook(Event(tag=tag, issuer="https://issuer.test"))


def test_without_opentelemetry_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with pytest.raises(ConfigurationError, match="opentelemetry"):
        opentelemetry_hook()
