"""What the verifier knows of time, and a clock that tests can turn.

Two times are read, never mixed up: a token's ``exp`` is compared with the
wall clock, the age of keys with the monotonic clock, which no administrator
or time server can set back. A wall clock that is set back by some minutes is not
believed for an hour or two, so that no token lives longer for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["SYSTEM_CLOCK", "Clock", "ManualClock"]


class Clock(Protocol):
    """Two functions without arguments; both answer in seconds."""

    @property
    def time(self) -> Callable[[], float]:
        """Seconds since 1970-01-01T00:00:00Z."""

    @property
    def monotonic(self) -> Callable[[], float]:
        """Seconds since some fixed moment; never runs backwards."""


class _SystemClock:
    __slots__ = ("monotonic", "time")

    def __init__(self) -> None:
        # The built-ins themselves: a repeated verify calls both, and every
        # Python frame around them would be a tenth of its cost.
        self.time: Callable[[], float] = time.time
        self.monotonic: Callable[[], float] = time.monotonic

    def __repr__(self) -> str:
        return "SYSTEM_CLOCK"


SYSTEM_CLOCK: Clock = _SystemClock()
"""The clock of the machine; the default everywhere."""


class ManualClock:
    """A clock for tests: it stands still until it is advanced.

    Args:
        now: Where the wall clock starts; the present by default.
    """

    __slots__ = ("_monotonic", "_wall")

    def __init__(self, now: datetime | None = None) -> None:
        """Start at *now*, which carries a time zone."""
        start = datetime.now(UTC) if now is None else now
        self._wall = start.timestamp()
        self._monotonic = 1_000.0

    def time(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z."""
        return self._wall

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return self._monotonic

    def now(self) -> datetime:
        """Return the wall clock as an aware datetime in UTC."""
        return datetime.fromtimestamp(self._wall, UTC)

    def advance(self, step: timedelta) -> None:
        """Turn both clocks forward by *step*, which is not negative."""
        seconds = step.total_seconds()
        if seconds < 0:
            message = "time runs forward; shift_wall() sets the wall clock alone"
            raise ValueError(message)
        self._wall += seconds
        self._monotonic += seconds

    def shift_wall(self, step: timedelta) -> None:
        """Set the wall clock alone forward or, with a negative *step*, back."""
        self._wall += step.total_seconds()
