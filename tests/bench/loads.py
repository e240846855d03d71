"""Loads over HTTP: what is said to whom, how much of it is answered, and how soon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.load import Conversation
from bench.processes import LoadGenerator, Server
from bench.rounds import MICROSECONDS, Measure
from bench.series import Series

__all__ = ["LATENCY_RUNS", "ROUND_SECONDS", "Latencies", "Load", "latencies", "rate_of"]

ROUND_SECONDS = 0.7
"""Of one load in one round."""

LATENCY_RUNS = 3
LATENCY_SECONDS = 1.0
"""Of one run."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is said to whom."""

    server: Server
    conversations: Sequence[Conversation]
    seconds: float = ROUND_SECONDS


@dataclass(frozen=True, slots=True)
class Latencies:
    """In ms, one value for each run."""

    median: Series
    p99: Series


def rate_of(
    generator: LoadGenerator, name: str, load: Load, busy: list[float] | None = None
) -> Measure:
    """Measure answers per second, as fast as they come.

    Args:
        generator: Puts the load on.
        name: What the conversations are called.
        load: Whom it is put on.
        busy: Gets µs that the server's threads ran for one answer, a value for
            each measurement.
    """

    def measure() -> float:
        before = load.server.busy_seconds()
        outcome = generator.run(name, load.server.port, load.conversations, seconds=load.seconds)
        if busy is not None:
            spent = load.server.busy_seconds() - before
            busy.append(spent / outcome.answers * MICROSECONDS)
        return outcome.per_second

    return measure


def latencies(
    generator: LoadGenerator, loads: Mapping[str, Load], rates: Mapping[str, Series]
) -> dict[str, Latencies]:
    """Measure the *loads* at half of the *rates* that they were answered at."""
    found = {}
    for name, load in loads.items():
        outcomes = [
            generator.run(
                name,
                load.server.port,
                load.conversations,
                seconds=LATENCY_SECONDS,
                rate=rates[name].median / 2,
            )
            for _ in range(LATENCY_RUNS)
        ]
        found[name] = Latencies(
            Series.of([outcome.p50 for outcome in outcomes]),
            Series.of([outcome.p99 for outcome in outcomes]),
        )
    return found
