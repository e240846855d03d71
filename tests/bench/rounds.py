"""Interleaved rounds: everything is measured once per round, so that drift hits all alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from bench.series import Series

__all__ = ["CONTROL", "MICROSECONDS", "ROUNDS", "Measure", "calls_over", "clock", "interleave"]

ROUNDS = 7

MICROSECONDS = 1e6

CONTROL = "control"
"""A subject that does what another one does: how far the two come apart is the noise."""

T = TypeVar("T")

clock = time.process_time
"""Processor time: what is measured in process never waits, so this is what it takes, and what
else the machine does is left out of it."""

Measure = Callable[[], float]
"""Measures once and returns the figure of this round."""


def interleave(subjects: Mapping[str, Measure], count: int = ROUNDS) -> dict[str, Series]:
    """Measure every subject once per round; each round begins with another one.

    Args:
        subjects: Name to measurement.
        count: Number of rounds.

    Returns:
        Name to the figures of all rounds.
    """
    names = list(subjects)
    figures: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.freeze()  # what is loaded already is nobody's garbage; collection itself stays on
    for number in range(count):
        shift = number * len(names) // count
        for name in names[shift:] + names[:shift]:
            figures[name].append(subjects[name]())
    gc.unfreeze()
    return {name: Series.of(values) for name, values in figures.items()}


def calls_over(prepare: Callable[[], tuple[Callable[[T], object], Sequence[T]]]) -> Measure:
    """Measure µs per call, once for each of many arguments.

    Args:
        prepare: Called anew in each round, outside of the measured time;
            returns the function to measure, for example of a fresh verifier,
            and what to call it with.
    """

    def measure() -> float:
        function, arguments = prepare()
        begin = clock()
        for argument in arguments:
            function(argument)
        return (clock() - begin) / len(arguments) * MICROSECONDS

    return measure
