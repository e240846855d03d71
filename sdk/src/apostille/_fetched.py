"""When something of the issuer's is asked for, who waits, and what serves meanwhile.

One machine for keys and for status lists: all judgement about age is here;
it does no I/O itself. A driver hands in *spawn*, which runs a fetch in a
thread or a task, and reports the outcome. Rules, each learned from somebody's
outage:

- One fetch is in flight at a time, marked before it starts.
- What is fresh serves. Shortly before it is stale it is fetched anew in the
  background. Once stale, a caller waits for the fetch, so that a key that was
  withdrawn or a session that ended is refused in time; but when the issuer is
  known to be out of reach, by a failure that is not long ago, what is stale
  serves at once and the fetch is tried in the background.
- After an attempt that failed the next one is made no sooner than one
  cooldown after the *start of the last attempt*, whatever became of it. A
  cancelled attempt does not count.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeVar

from apostille_contracts.events import EventTag

from . import _fork
from ._ages import Ages
from ._attempt import Attempt, Outcome
from ._inquiry import Inquiry
from ._options import Options
from .errors import Unavailable
from .events import Event, FetchFailure

__all__ = ["Emit", "Fetched", "Spawn"]


Spawn = Callable[[Attempt], None]
"""Runs ``attempt.owner.inquiry`` and reports to ``attempt.owner`` what became of it."""

Emit = Callable[[Event], None]
"""Takes events."""


Held = TypeVar("Held", bound=Ages)
Brought = TypeVar("Brought")


class Fetched(ABC, Generic[Held, Brought]):
    """Something that is fetched from the issuer and ages; safe to share between threads.

    Args:
        snapshot: What is held before the first fetch: nothing.
        inquiry: How it is asked for.
        options: Issuer, clock and cooldown.
        spawn: Runs a fetch for an attempt, in a thread or a task, and then
            calls :meth:`complete`, :meth:`fail` or :meth:`abandon`.
        emit: Takes events.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_emit",
        "_failed_at",
        "_failure",
        "_in_flight",
        "_last_start",
        "_lock",
        "_options",
        "_spawn",
        "inquiry",
        "snapshot",
    )

    FAILED: ClassVar[EventTag]
    STALE: ClassVar[EventTag]

    def __init__(
        self,
        snapshot: Held,
        inquiry: Inquiry[Brought],
        options: Options,
        spawn: Spawn,
        emit: Emit,
    ) -> None:
        """Hold *snapshot*."""
        self.snapshot = snapshot
        self.inquiry = inquiry
        self._options = options
        self._spawn = spawn
        self._emit = emit
        self._lock = threading.Lock()
        self._closed = False
        self._in_flight: Attempt | None = None
        self._last_start = -math.inf
        self._failure: FetchFailure | None = None
        self._failed_at = -math.inf
        _fork.register(self)

    def tend(self, now: float, waited: Attempt | None) -> Attempt | None:
        """Look after the age of what is held; return what must be waited for, if anything.

        Args:
            now: Monotonic seconds.
            waited: The attempt the caller has waited for already.

        Raises:
            Unavailable: Nothing usable is held, and asking has to wait.
        """
        settled = self._has_settled(waited)
        with self._lock:
            snapshot = self.snapshot
            # Once a caller has waited he is served or refused, not sent to wait again.
            may_serve = now < snapshot.usable_until and (
                now < snapshot.fresh_until or settled or self._is_away(now) or self._closed
            )
            started = None
            if now >= snapshot.refresh_at and not settled and self._may_refresh(now):
                started = self._start(now)
            attempt = None if settled else self._in_flight
            if may_serve:
                self._postpone_recheck(now)
            retry_after = self._retry_after(now)
        if started is not None:
            self._spawn(started)
        if may_serve:
            return None
        if attempt is None:
            raise self._unavailable(retry_after)
        return attempt

    def stop(self) -> Attempt | None:
        """Start no fetch any more; return the one in flight, for its driver to end."""
        with self._lock:
            self._closed = True
            return self._in_flight

    # Reported by a driver.

    @abstractmethod
    def complete(self, attempt: Attempt, brought: Brought) -> None:
        """Install what *attempt* brought."""

    def fail(self, attempt: Attempt, failure: FetchFailure) -> None:
        """Note that *attempt* failed; what is at hand stays."""
        now = self._options.clock.monotonic()
        with self._lock:
            if self._in_flight is not attempt:
                return
            self._in_flight = None
            self._failure, self._failed_at = failure, now
            snapshot = self.snapshot
            self._postpone_recheck(now)
            attempt.outcome = Outcome.FAILED
            duration = self._since_start()
        attempt.done.set_result(None)
        self._report(self.FAILED, failure=failure, duration=duration)
        if snapshot.fresh_until <= now < snapshot.usable_until:
            self._report(self.STALE, failure=failure)

    def abandon(self, attempt: Attempt) -> None:
        """Forget *attempt*, which was cancelled: it neither failed nor counts."""
        with self._lock:
            if self._in_flight is not attempt:
                return
            self._in_flight = None
            self._last_start = attempt.previous_start
            attempt.outcome = Outcome.ABANDONED
        attempt.done.set_result(None)

    def after_fork(self) -> None:
        """Start clean in a child: what was in flight runs in the parent alone."""
        self._lock = threading.Lock()
        if self._in_flight is not None:
            self._last_start = self._in_flight.previous_start
            self._in_flight = None

    # What keys and status lists do each in their way.

    @abstractmethod
    def _cooldown(self) -> float:
        """Return how many seconds after the start of a failed attempt the next one may start."""

    @abstractmethod
    def _unavailable(self, retry_after: timedelta) -> Unavailable:
        """Return the error of a caller who cannot be served."""

    # Inside the lock.

    def _has_settled(self, waited: Attempt | None) -> bool:
        """Say whether the caller has waited for an attempt of this, and it was not cancelled."""
        return (
            waited is not None and waited.owner is self and waited.outcome is not Outcome.ABANDONED
        )

    def _start(self, now: float) -> Attempt:
        attempt = self._in_flight = Attempt(self, self._last_start)
        self._last_start = now
        return attempt

    def _next_start(self) -> float:
        """Return when the cooldown after the last attempt is over."""
        return self._last_start + self._cooldown()

    def _may_refresh(self, now: float) -> bool:
        """Say whether a fetch for age alone may start: at once, but after failures cooled down."""
        if self._closed or self._in_flight is not None:
            return False
        return self._failure is None or now >= self._next_start()

    def _is_away(self, now: float) -> bool:
        """Say whether the issuer is known to be out of reach.

        A failure that nobody has tried to repeat since, in an idle service,
        says nothing any more.
        """
        lapse = 2 * self._cooldown() + self._options.timeout.total_seconds()
        return self._failure is not None and now < self._failed_at + lapse

    def _since_start(self) -> timedelta:
        return timedelta(seconds=self._options.clock.monotonic() - self._last_start)

    def _retry_after(self, now: float) -> timedelta:
        return timedelta(seconds=max(self._next_start() - now, 1.0))

    def _postpone_recheck(self, now: float) -> None:
        """Let repeated verifies pass until the next moment at which something changes.

        Never past ``usable_until``: what no longer serves is looked at each time.
        """
        snapshot = self.snapshot
        if now >= snapshot.usable_until:
            return
        moments = [snapshot.refresh_at, snapshot.fresh_until, snapshot.usable_until]
        if self._failure is not None and self._in_flight is None:
            moments.append(self._next_start())
        recheck_at = min(moment for moment in moments if moment > now)
        self.snapshot = replace(snapshot, recheck_at=recheck_at)

    def _report(self, tag: EventTag, **details: Any) -> None:
        self._emit(Event(tag=tag, issuer=self._options.issuer, **details))
