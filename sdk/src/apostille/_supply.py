"""Where keys come from: given, or fetched from the issuer.

What holds for everything that is fetched stands in ``_fetched``. Of keys it
is further true:

- Key ids nobody knows are asked for no sooner than one cooldown after the
  start of the last attempt, whatever became of it.
- A key id that a successful fetch did not bring is remembered as unknown.
- A status list says which key set is in force. If that is not the one at hand,
  it is fetched at once, whatever was asked lately: who wants to keep us from
  asking can have the cooldown of unknown key ids run all the time, but cannot
  sign a list. For the same key set once per cooldown, for different ones
  :data:`MAX_NAMED_SETS` times: an issuer that is wrong about its keys is not
  asked more often. Until the fetch has ended the keys count as stale.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple, Protocol

from apostille_contracts.events import EventTag

from ._attempt import Attempt, Outcome
from ._fetched import Emit, Fetched, Spawn
from ._inquiry import Inquiry
from ._keyring import Keyring
from ._options import Options
from ._snapshot import HeaderCache, Snapshot, TokenCache
from .errors import KeysUnavailable, UnknownKey
from .events import FetchFailure, Health, KeyState
from .keys import StaticKeys

__all__ = ["Attempt", "FetchedKeySet", "FetchedKeys", "GivenKeys", "KeySupply", "Outcome"]

REFRESH_AHEAD = 0.8
"""Part of the freshness after which keys are fetched in the background."""

MAX_UNKNOWN_KIDS = 1024
"""Most key ids remembered as unknown."""

MAX_NAMED_SETS = 4
"""Most key sets that are asked for in one cooldown because a status list names them."""


class FetchedKeySet(NamedTuple):
    """What a fetch brought."""

    keyring: Keyring
    max_age: float | None
    """Seconds for which the issuer says it may be kept; ``None`` if it does not say."""


class KeySupply(Protocol):
    """Where the present snapshot stands, and what to do when it does not suffice."""

    snapshot: Snapshot

    def tend(self, now: float, waited: Attempt | None) -> Attempt | None:
        """Look after the age of the keys; return what must be waited for, if anything.

        Args:
            now: Monotonic seconds.
            waited: The attempt the caller has waited for already.

        Raises:
            KeysUnavailable: There are no usable keys, and asking has to wait.
        """
        ...

    def seek(self, kid: str, now: float, waited: Attempt | None) -> Attempt:
        """Return what must be waited for before *kid* can be said to be unknown.

        Raises:
            UnknownKey: The issuer has been asked recently, and has no such key.
            KeysUnavailable: It could not be asked.
        """

    def heed(self, key_set: str, now: float) -> None:
        """Have the keys fetched if they are not the set that *key_set* names.

        Args:
            key_set: Out of a status list whose signature has been checked.
            now: Monotonic seconds.
        """

    def health(self, now: float) -> Health:
        """Return how good the keys are at *now*."""

    def stop(self) -> Attempt | None:
        """Start no fetch any more; return the one in flight, if any."""


class GivenKeys:
    """Keys that a :class:`StaticKeys` hands over; they never age and are never asked for."""

    __slots__ = ("__weakref__", "_cache_size", "_issuer", "snapshot")

    def __init__(self, options: Options, source: StaticKeys) -> None:
        """Follow *source*."""
        self._issuer = options.issuer
        self._cache_size = options.cache_size
        self.snapshot = Snapshot.empty()
        source.watch(self._install)

    def _install(self, keyring: Keyring) -> None:
        if not keyring:
            self.snapshot = Snapshot.empty()
        elif keyring != self.snapshot.keyring:
            self.snapshot = Snapshot.given(keyring, self._cache_size)

    def tend(self, now: float, waited: Attempt | None) -> Attempt | None:
        """Return: given keys do not age.

        Raises:
            KeysUnavailable: None have been given yet. Without any, every token
                would be signed with an unknown key, the good ones too.
        """
        del now, waited
        if self.snapshot.keyring:
            return None
        raise KeysUnavailable

    def seek(self, kid: str, now: float, waited: Attempt | None) -> Attempt:
        """Refuse: the keys at hand are all there are."""
        del kid, now, waited
        raise UnknownKey

    def heed(self, key_set: str, now: float) -> None:
        """Return: whoever gives the keys knows which are in force."""

    def health(self, now: float) -> Health:
        """Return that the keys are fresh, if there are any."""
        del now
        keys = len(self.snapshot.keyring)
        state = KeyState.FRESH if keys else KeyState.NONE
        return Health(issuer=self._issuer, state=state, keys=keys)

    def stop(self) -> Attempt | None:
        """Return: nothing is going on."""


class FetchedKeys(Fetched[Snapshot, FetchedKeySet]):
    """Keys that are fetched from the issuer and age; safe to share between threads.

    Args:
        inquiry: Finds the issuer's key set.
        options: Freshness, staleness, cooldown and issuer.
        spawn: Runs a fetch.
        emit: Takes events.
    """

    __slots__ = ("_cooldown_told", "_named", "_named_at", "_unknown")

    FAILED = EventTag.KEYS_FAILED
    STALE = EventTag.KEYS_STALE

    def __init__(
        self, inquiry: Inquiry[FetchedKeySet], options: Options, spawn: Spawn, emit: Emit
    ) -> None:
        """Hold no keys yet."""
        super().__init__(Snapshot.empty(), inquiry, options, spawn, emit)
        self._cooldown_told = False
        self._unknown: dict[str, float] = {}
        self._named: str | None = None
        self._named_at: dict[str, float] = {}

    def seek(self, kid: str, now: float, waited: Attempt | None) -> Attempt:
        """Ask for the key *kid*, or refuse to; see :class:`KeySupply`."""
        settled = self._has_settled(waited)
        started = attempt = told = None
        with self._lock:
            if now < self._unknown.get(kid, -math.inf):
                raise UnknownKey
            if settled:
                if self._failure is None:
                    self._remember_unknown(kid, now)
            elif self._in_flight is not None:
                attempt = self._in_flight
            elif self._closed or now < self._next_start():
                # Once per cooldown: a flood of key ids is no flood of events.
                told, self._cooldown_told = self._cooldown_told, True
            else:
                attempt = started = self._start(now)
            failure, retry_after = self._failure, self._retry_after(now)
        if started is not None:
            self._spawn(started)
        if attempt is not None:
            return attempt
        if told is False:
            self._report(EventTag.KEYS_COOLDOWN, failure=failure)
        if failure is None:
            raise UnknownKey
        raise KeysUnavailable(retry_after)

    def heed(self, key_set: str, now: float) -> None:
        """Have the keys fetched if they are another set; see :class:`KeySupply`."""
        with self._lock:
            self._named = key_set
            started = self._start_for_named(now)
        if started is not None:
            self._spawn(started)

    def health(self, now: float) -> Health:
        """Return how good the keys are at *now*."""
        snapshot = self.snapshot
        if now < snapshot.fresh_until:
            state = KeyState.FRESH
        else:
            state = KeyState.STALE if now < snapshot.usable_until else KeyState.NONE
        asked = snapshot.asked_at > -math.inf
        return Health(
            issuer=self._options.issuer,
            state=state,
            keys=len(snapshot.keyring),
            age=timedelta(seconds=now - snapshot.asked_at) if asked else None,
            last_error=self._failure,
        )

    def complete(self, attempt: Attempt, brought: FetchedKeySet) -> None:
        """Install what *attempt* brought."""
        keyring = brought.keyring
        with self._lock:
            if self._in_flight is not attempt:
                return  # it has been given up; whoever waited has been answered
            self._in_flight = None
            if keyring:
                self._failure = None
                self.snapshot = self._renewed(brought)
                attempt.outcome = Outcome.SUCCEEDED
            else:
                # The issuer has withdrawn all its keys, so none serves any
                # more; but "no keys" is no verdict on anybody's token.
                self._failure = FetchFailure.NO_KEYS
                self.snapshot = Snapshot.empty()
                attempt.outcome = Outcome.FAILED
            duration = self._since_start()
            # It may have been asked before a list said that there are others.
            started = self._start_for_named(self._options.clock.monotonic())
        attempt.done.set_result(None)
        if started is not None:
            self._spawn(started)
        counts = {"keys": len(keyring), "skipped": len(keyring.faults), "duration": duration}
        if keyring:
            self._report(EventTag.KEYS_REFRESHED, **counts)
        else:
            self._report(EventTag.KEYS_FAILED, failure=FetchFailure.NO_KEYS, **counts)

    def _cooldown(self) -> float:
        return self._options.cooldown.total_seconds()

    def _unavailable(self, retry_after: timedelta) -> KeysUnavailable:
        return KeysUnavailable(retry_after)

    # Inside the lock.

    def _start(self, now: float) -> Attempt:
        self._cooldown_told = False
        return super()._start(now)

    def _start_for_named(self, now: float) -> Attempt | None:
        """Start a fetch if a list has named another set, and that may be asked for."""
        named = self._named
        if named is None or named == self.snapshot.keyring.thumbprint:
            self._named = None
            return None
        if self._closed or self._in_flight is not None:
            return None  # what is in flight ends here again
        lately = now - self._cooldown()
        self._named_at = {name: at for name, at in self._named_at.items() if at > lately}
        if named in self._named_at or len(self._named_at) >= MAX_NAMED_SETS:
            return None
        self._named_at[named] = now
        # Stale: callers wait, so that nobody is let in by a key that has been withdrawn.
        held = self.snapshot
        self.snapshot = replace(
            held,
            refresh_at=min(held.refresh_at, now),
            fresh_until=min(held.fresh_until, now),
            recheck_at=min(held.recheck_at, now),
        )
        return self._start(now)

    def _remember_unknown(self, kid: str, now: float) -> None:
        if len(self._unknown) >= MAX_UNKNOWN_KIDS:
            del self._unknown[next(iter(self._unknown))]
        self._unknown[kid] = now + self._options.fresh_for.total_seconds()

    def _renewed(self, fetched: FetchedKeySet) -> Snapshot:
        """Return a snapshot of *fetched*; of the same keys it keeps what they verified."""
        options, old = self._options, self.snapshot
        fresh = options.fresh_for.total_seconds()
        if fetched.max_age is not None:
            # Not below one cooldown: a header must not turn every verify into a fetch.
            least = min(options.cooldown.total_seconds(), fresh)
            fresh = min(fresh, max(fetched.max_age, least))
        asked_at = self._last_start
        same = old.asked_at > -math.inf and fetched.keyring == old.keyring
        return Snapshot(
            keyring=fetched.keyring,
            tokens=old.tokens if same else TokenCache(options.cache_size),
            headers=old.headers if same else HeaderCache(),
            asked_at=asked_at,
            refresh_at=asked_at + fresh * REFRESH_AHEAD,
            fresh_until=asked_at + fresh,
            usable_until=asked_at + fresh + options.stale_if_error.total_seconds(),
            recheck_at=asked_at + fresh * REFRESH_AHEAD,
        )
