"""The time, as services are given it.

A service takes a :data:`Clock` by constructor and never asks the system
itself, so a test can stand at any moment it likes.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from collections.abc import Callable

__all__ = ["Clock", "SettledClock", "utc_now"]

Clock = Callable[[], dt.datetime]
"""Returns the present moment as an aware UTC time."""


def utc_now() -> dt.datetime:
    """Return the system's time, aware, in UTC."""
    return dt.datetime.now(dt.UTC)


class SettledClock:
    """A clock for what cannot be undone: it follows a step forward only once that has lasted.

    A process whose clock is set a year ahead by mistake must not delete, before
    anybody notices, what all others still need. A step back is followed at once.
    """

    def __init__(
        self,
        clock: Clock,
        lasting: dt.timedelta,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the clock that may be set.

        Args:
            clock: Is asked each time; ask often within *lasting*, for only
                then is there something to compare with.
            lasting: For how long a step is not believed.
            monotonic: Seconds of a clock that nobody sets.
        """
        self._clock = clock
        self._lasting = lasting.total_seconds()
        self._monotonic = monotonic
        self._seen: deque[tuple[float, float]] = deque()
        """When we looked, and by how much the one clock was ahead of the other."""

    def __call__(self) -> dt.datetime:
        """Return the least that the time may be, by what was seen lately."""
        elapsed, now = self._monotonic(), self._clock()
        ahead = now.timestamp() - elapsed
        self._seen.append((elapsed, ahead))
        while self._seen[0][0] < elapsed - self._lasting:
            self._seen.popleft()
        return now - dt.timedelta(seconds=ahead - min(ahead for _, ahead in self._seen))
