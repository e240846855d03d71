"""The time of day, where a clock that is set back must not bring back what has expired. Pure.

A wall clock that is set back by five minutes makes every token live five
minutes longer, and those that died within the last five good again. So it is
compared with the monotonic clock, which nobody can set: what the wall clock has
been ahead of that within the last hour, it is taken to be still.

That may be wrong: the clock may have been fast and right only now. Then tokens
end too early, as they did before, for an hour or two more. After that, and at
once if the step is a large one, as that of a machine whose clock was set wrong
at boot, it is believed: a service that refuses everybody is no good either.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .clock import Clock

__all__ = ["SteadyTime"]

_HOUR = 3_600.0
"""The longest that an access token lives (DESIGN section 3)."""

_TOLERANCE_SECONDS = 1.0
"""A clock that is set back by less is believed: it is within any leeway."""

_CORRECTION_SECONDS = 15 * 60.0
"""A clock that is set back by so much or more is believed."""


class _Seen(NamedTuple):
    """How far ahead of the monotonic clock the wall clock has been."""

    before: float
    """At most, in the hour before this one."""
    lately: float
    """At most, in this hour."""
    until: float
    """When this hour ends, by the monotonic clock."""


class SteadyTime:
    """Tells the time of day; safe to share between threads, which lose at most a reading.

    Args:
        clock: Tells both times.
    """

    __slots__ = ("_monotonic", "_seen", "_wall")

    def __init__(self, clock: Clock) -> None:
        """Believe the wall clock as it is now."""
        self._wall = clock.time
        self._monotonic = clock.monotonic
        self._seen = _Seen(-math.inf, -math.inf, -math.inf)

    def now(self) -> float:
        """Return seconds since the epoch: those of the wall clock, unless it was set back."""
        # In this order: who is held up between the two takes the clock for slow, not for fast.
        wall = self._wall()
        monotonic = self._monotonic()
        ahead = wall - monotonic
        seen = self._seen
        if monotonic >= seen.until:
            # Of two hours or more without a question nothing is known.
            before = seen.lately if monotonic < seen.until + _HOUR else -math.inf
            self._seen = seen = _Seen(before, ahead, monotonic + _HOUR)
        elif ahead > seen.lately:
            self._seen = seen = seen._replace(lately=ahead)
        behind = max(seen.before, seen.lately) - ahead
        return wall + behind if _TOLERANCE_SECONDS <= behind < _CORRECTION_SECONDS else wall
