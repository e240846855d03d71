"""What both drivers share: one step of verification, hooks and health.

A step never waits. Where it cannot go on it returns the attempt that must be
waited for; the driver waits, in its own way, and takes the step again.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import msgspec

from apostille_contracts.events import EventTag

from ._attempt import Attempt
from ._jwk import VerificationKey
from ._options import Options
from ._snapshot import CachedToken, Snapshot
from ._status_supply import StatusSupply
from ._supply import KeySupply
from ._verification import Candidate, recall
from .errors import ApostilleError, InvalidClaim, InvalidToken, Unavailable, UnknownKey
from .events import Event, Health, OnEvent
from .principal import Principal

__all__ = ["Engine"]

_logger = logging.getLogger("apostille")


class Engine:
    """Judges tokens over the present snapshots of keys and status lists.

    Args:
        options: Validated. Whoever makes an engine sets ``supply`` and ``statuses`` next.
    """

    __slots__ = (
        "_verification",
        "emit",
        "monotonic",
        "on_event",
        "options",
        "statuses",
        "supply",
        "time",
    )

    supply: KeySupply
    statuses: StatusSupply

    def __init__(self, options: Options) -> None:
        """Judge as *options* say."""
        self.options = options
        self.time = options.clock.time
        self.monotonic = options.clock.monotonic
        self.on_event = options.on_event
        # Not a method: supplies keep it, and must not keep the engine that keeps them.
        self.emit = partial(_emit, options.on_event)
        self._verification = options.verification()

    def step(self, token: str, waited: Attempt | None) -> Principal | Attempt:
        """Return whom *token* speaks for, or what must be waited for to know.

        Args:
            token: Whatever the caller was given.
            waited: What the step before returned, now done.

        Raises:
            InvalidToken: It must not be accepted.
            Unavailable: The issuer could not be asked.
        """
        snapshot = self.supply.snapshot
        now, wall = self.monotonic(), self.options.steady.now()
        known = recall(token, snapshot, wall)
        if known is not None:
            renewed = self._tend(token, snapshot, now, waited)
            return _stand(known, now, waited) if renewed is None else renewed
        candidate = self._verification.examine(token, snapshot)
        key = candidate.key
        if key is None or now >= snapshot.recheck_at:
            self._refuse_early(candidate, snapshot, now, wall)
            renewed = self._tend(token, snapshot, now, waited)
            if renewed is not None:
                return renewed
        if key is None:
            return self.supply.seek(candidate.kid, now, waited)
        known = self._conclude(candidate, key, snapshot, now, wall)
        snapshot.tokens.add(token, known)
        return _stand(known, now, waited)

    def _conclude(
        self,
        candidate: Candidate,
        key: VerificationKey,
        snapshot: Snapshot,
        now: float,
        wall: float,
    ) -> CachedToken:
        """Return what *candidate* says after steps 5 and 6; its header is remembered."""
        principal, (begins, ends) = self._verification.conclude(candidate, key, wall)
        standing = self.statuses.stand(principal.claims)
        known = principal, begins, ends, now + (ends - wall), standing
        if not candidate.header_is_known:
            snapshot.headers.add(candidate.parts.header_segment, key)
        return known

    def _tend(
        self, token: str, snapshot: Snapshot, now: float, waited: Attempt | None
    ) -> Principal | Attempt | None:
        """Look after the keys; return what comes of that, unless *snapshot* is still good."""
        if now < snapshot.recheck_at:
            return None
        attempt = self.supply.tend(now, waited)
        if attempt is not None:
            return attempt
        if self.supply.snapshot.tokens is not snapshot.tokens:
            return self.step(token, waited)  # the keys were replaced this instant
        return None

    def _refuse_early(
        self, candidate: Candidate, snapshot: Snapshot, now: float, wall: float
    ) -> None:
        """Return if the issuer should be asked for the sake of *candidate*.

        A token whose claims refuse it is not worth a request, nor a minute of
        cooldown in which honest tokens could not ask.

        Raises:
            InvalidToken: It is refused whatever the issuer answers.
        """
        fault = self._verification.fault_of(candidate, wall)
        if fault is None:
            return
        if now >= snapshot.usable_until:
            raise fault
        if candidate.key is None:
            raise UnknownKey
        self._verification.conclude(candidate, candidate.key, wall)

    def accepted(self) -> None:
        """Tell the hook that a token was verified."""
        if self.on_event is not None:
            self.emit(self._event(EventTag.TOKEN_VERIFIED))

    def rejected(self, error: ApostilleError) -> None:
        """Tell the hook that a token was not verified, and why."""
        if self.on_event is not None and isinstance(error, (InvalidToken, Unavailable)):
            claim = error.claim if isinstance(error, InvalidClaim) else None
            self.emit(self._event(EventTag.TOKEN_REJECTED, code=error.code, claim=claim))

    def health(self) -> Health:
        """Return how good keys and status lists are now."""
        now = self.monotonic()
        keys = self.supply.health(now)
        return msgspec.structs.replace(keys, status=self.statuses.health(now))

    def stop(self) -> tuple[Attempt, ...]:
        """Start no fetch any more; return those in flight, for their driver to end."""
        attempt = self.supply.stop()
        return self.statuses.stop() if attempt is None else (attempt, *self.statuses.stop())

    def _event(self, tag: EventTag, **details: Any) -> Event:
        return Event(tag=tag, issuer=self.options.issuer, **details)


def _stand(known: CachedToken, now: float, waited: Attempt | None) -> Principal | Attempt:
    """Step 7: return whom *known* speaks for, or what must be waited for to know.

    Raises:
        RevokedToken: The session has ended or changed.
        InvalidClaim: The session stands nowhere.
        StatusUnavailable: The issuer could not be asked.
    """
    principal, _, _, _, standing = known
    if standing is None:
        return principal
    return standing.check(now, waited) or principal


def _emit(on_event: OnEvent | None, event: Event) -> None:
    """Call the hook, if there is one, with *event*; whatever it raises stays here."""
    if on_event is None:
        return
    try:
        on_event(event)
    except Exception:
        _logger.exception("the on_event hook failed at %s", event.tag)
