"""Where status lists come from: given, or fetched as tokens point to them.

Lists that are fetched follow the rules of ``_fetched``, with these times:
younger than its ``ttl`` a list serves; then it is fetched anew in the
background; a little later, as after an idle hour, a caller waits for that.
No list is asked for more often than once per ``ttl``, and after a failure no
sooner either. While the issuer cannot be asked, a list serves until it is as
old as ``max_staleness`` allows.
"""

from __future__ import annotations

import math
import threading
from datetime import timedelta
from typing import Protocol

from msgspec import UNSET

from apostille_contracts.claims import AccessTokenClaims
from apostille_contracts.events import EventTag

from . import _fork
from ._address import is_same_origin
from ._attempt import Attempt, Outcome
from ._fetched import Emit, Fetched, Spawn
from ._options import Options
from ._standing import ListSnapshot, Onlooker, Standing
from ._status import SignedStatusList, StatusList
from ._status_inquiry import StatusInquiry
from ._supply import KeySupply
from .errors import InvalidClaim, StatusUnavailable
from .events import FetchFailure, StatusHealth

__all__ = [
    "FetchedList",
    "FetchedStatus",
    "GivenList",
    "StatusSupply",
    "UncheckedStatus",
]

DEFAULT_TTL_SECONDS = 10.0
"""How often a list is asked for that does not say; Apostille's issuer says the same."""

LEAST_TTL_SECONDS = 1.0
"""A list that wants to be asked for more often than that is not."""

PATIENCE_SECONDS = 0.4
"""How long after its ``ttl`` a list serves while it is fetched in the background.

What ends a session is to be known everywhere within ``ttl`` and a second. Of
that second the issuer may take half: what it answers is as much as 0.5 s old.
So a token that is verified rarely is accepted at the latest 0.5 s + ``ttl`` +
0.4 s after its session ended, and the tenth that is left is for the answer's
way: a list is as old as the request for it, not as its arrival.
"""

MAX_LISTS = 256
"""Most lists held; 33 million sessions, as Apostille's issuer cuts them."""


class StatusSupply(Protocol):
    """Finds where the session of a token stands."""

    def stand(self, claims: AccessTokenClaims) -> Standing | None:
        """Return where the session of *claims* stands; ``None`` if that is not to be checked.

        Raises:
            InvalidClaim: It claims to stand where the issuer has no lists.
        """

    def health(self, now: float) -> StatusHealth:
        """Return how good the lists are at *now*."""

    def stop(self) -> tuple[Attempt, ...]:
        """Start no fetch any more; return those in flight."""


class FetchedList(Fetched[ListSnapshot, SignedStatusList]):
    """A list that is fetched from the issuer and ages; safe to share between threads."""

    __slots__ = ("_interval", "_keys")

    FAILED = EventTag.STATUS_FAILED
    STALE = EventTag.STATUS_STALE

    def __init__(
        self, uri: str, keys: KeySupply, options: Options, spawn: Spawn, emit: Emit
    ) -> None:
        """Hold no list yet."""
        super().__init__(ListSnapshot(), StatusInquiry(uri, options, keys), options, spawn, emit)
        self._interval = DEFAULT_TTL_SECONDS
        self._keys = keys

    def complete(self, attempt: Attempt, brought: SignedStatusList) -> None:
        """Install what *attempt* brought; the same list again is as young as a new one.

        The keys hear which of them the list says there are before anybody who
        waited for the list goes on.
        """
        with self._lock:
            if self._in_flight is not attempt:
                return  # it has been given up; whoever waited has been answered
            self._in_flight = None
            self._failure = None
            self.snapshot = self._renewed(brought)
            attempt.outcome = Outcome.SUCCEEDED
            duration = self._since_start()
        if brought.key_set is not None:
            self._keys.heed(brought.key_set, self._options.clock.monotonic())
        attempt.done.set_result(None)
        self._report(EventTag.STATUS_REFRESHED, duration=duration)

    def failure_at(self, now: float) -> tuple[FetchFailure | None, bool]:
        """Return why the last fetch failed, if it did, and whether the list serves at *now*."""
        return self._failure, now < self.snapshot.usable_until

    def _cooldown(self) -> float:
        return self._interval

    def _unavailable(self, retry_after: timedelta) -> StatusUnavailable:
        return StatusUnavailable(retry_after)

    def _renewed(self, brought: SignedStatusList) -> ListSnapshot:
        options, asked_at = self._options, self._last_start
        staleness = options.max_staleness.total_seconds()
        ttl = DEFAULT_TTL_SECONDS if brought.ttl is None else brought.ttl
        # Twice within the time a list may serve at all: once may fail.
        self._interval = max(min(ttl, staleness / 2), LEAST_TTL_SECONDS)
        left = brought.expires + options.leeway.total_seconds() - options.steady.now()
        usable_until = min(asked_at + staleness, options.clock.monotonic() + left)
        refresh_at = asked_at + self._interval
        return ListSnapshot(
            statuses=brought.statuses,
            asked_at=asked_at,
            refresh_at=refresh_at,
            fresh_until=refresh_at + PATIENCE_SECONDS,
            usable_until=usable_until,
            recheck_at=min(refresh_at, usable_until),
        )


class FetchedStatus:
    """Lists that are fetched from the issuer as tokens point to them.

    Args:
        keys: The issuer's, which sign its lists.
        options: Issuer, clock and staleness.
        spawn: Runs a fetch.
        emit: Takes events.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_emit",
        "_keys",
        "_lists",
        "_lock",
        "_options",
        "_spawn",
    )

    def __init__(self, keys: KeySupply, options: Options, spawn: Spawn, emit: Emit) -> None:
        """Hold no lists yet."""
        self._keys = keys
        self._options = options
        self._spawn = spawn
        self._emit = emit
        self._lists: dict[str, FetchedList] = {}
        self._lock = threading.Lock()
        self._closed = False
        _fork.register(self)

    def stand(self, claims: AccessTokenClaims) -> Standing | None:
        """Return where the session of *claims* stands; see :class:`StatusSupply`."""
        if claims.status is UNSET:
            youngest = self._youngest()
            return None if youngest is None else Onlooker(youngest)
        reference = claims.status.status_list
        held = self._lists.get(reference.uri) or self._open(reference.uri)
        return Standing(held, reference.idx)

    def _youngest(self) -> FetchedList | None:
        """Return the list that was fetched last, if any was."""
        if not self._lists:
            return None  # of an issuer without lists, or not needed yet
        with self._lock:
            held = max(self._lists.values(), key=lambda each: each.snapshot.asked_at)
        return held if held.snapshot.asked_at > -math.inf else None

    def _open(self, uri: str) -> FetchedList:
        if not is_same_origin(uri, self._options.issuer):
            # Whoever mints a token must not choose whom this service asks.
            raise InvalidClaim("status")
        with self._lock:
            held = self._lists.get(uri)
            if held is None:
                if len(self._lists) >= MAX_LISTS:
                    lists = self._lists
                    del lists[min(lists, key=lambda name: lists[name].snapshot.asked_at)]
                held = FetchedList(uri, self._keys, self._options, self._spawn, self._emit)
                if self._closed:
                    held.stop()
                self._lists[uri] = held
        return held

    def health(self, now: float) -> StatusHealth:
        """Return how good the lists are at *now*."""
        with self._lock:
            lists = list(self._lists.values())
        failed = [
            (failure, serves)
            for failure, serves in (held.failure_at(now) for held in lists)
            if failure is not None
        ]
        return StatusHealth(
            lists=len(lists),
            failing=len(failed),
            unusable=sum(not serves for _, serves in failed),
            last_error=failed[-1][0] if failed else None,
        )

    def stop(self) -> tuple[Attempt, ...]:
        """Start no fetch any more; return those in flight, for their driver to end."""
        with self._lock:
            self._closed = True
            lists = list(self._lists.values())
        stopped = [held.stop() for held in lists]
        return tuple(attempt for attempt in stopped if attempt is not None)

    def after_fork(self) -> None:
        """Drop a lock that no thread of this process will release."""
        self._lock = threading.Lock()


class GivenList:
    """A list that is given, not fetched; it does not age."""

    __slots__ = ("snapshot",)

    def __init__(self) -> None:
        """Hold no list yet."""
        self.snapshot = ListSnapshot()

    def install(self, octets: bytes | None) -> None:
        """Hold *octets*, one bit for each session, from now on; or nothing any more."""
        if octets is None:
            self.snapshot = ListSnapshot()
        else:
            self.snapshot = ListSnapshot(statuses=StatusList(1, octets), recheck_at=math.inf)

    def tend(self, now: float, waited: Attempt | None) -> Attempt | None:
        """Refuse: without a list nobody knows who is still welcome.

        Raises:
            StatusUnavailable: Always; a list that is held needs no tending.
        """
        del now, waited
        raise StatusUnavailable


class UncheckedStatus:
    """Asks nobody."""

    __slots__ = ()

    def stand(self, claims: AccessTokenClaims) -> Standing | None:
        """Return that it is not to be checked."""
        del claims
        return None

    def health(self, now: float) -> StatusHealth:
        """Return that there are no lists."""
        del now
        return StatusHealth()

    def stop(self) -> tuple[Attempt, ...]:
        """Return: nothing is going on."""
        return ()
