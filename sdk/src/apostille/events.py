"""What a verifier tells its ``on_event`` hook and its health probe.

An event carries no token, no key material and nothing the sender of a token
chose: it can go to any log.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum

from msgspec import Struct

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode

__all__ = [
    "Event",
    "EventTag",
    "FetchFailure",
    "Health",
    "KeyState",
    "OnEvent",
    "StatusHealth",
]


class FetchFailure(StrEnum):
    """Why keys or a status list could not be had; a stable code for logs and metrics."""

    UNREACHABLE = "unreachable"
    """No connection, a broken one, or a failed TLS handshake."""
    TIMEOUT = "timeout"
    """Not complete within the overall timeout."""
    REDIRECTED = "redirected"
    """The issuer answered with a redirect; none is followed (ASVS V15.3.2)."""
    BAD_STATUS = "bad_status"
    """Another status than 200."""
    TOO_LARGE = "too_large"
    """More than 1 MiB, or a status list that unpacks to more."""
    WRONG_CONTENT = "wrong_content"
    """Not what was asked for, by its media type or by its bytes."""
    NO_KEYS = "no_keys"
    """A key set without a single usable key; the keys at hand no longer serve."""
    ISSUER_MISMATCH = "issuer_mismatch"
    """The metadata speaks for another issuer (RFC 8414 section 3.3)."""
    INSECURE_ADDRESS = "insecure_address"
    """An address is not https: ``jwks_uri`` though the issuer is, or a status list's."""
    NO_METADATA = "no_metadata"
    """Neither metadata document exists."""
    UNTRUSTED = "untrusted"
    """A status list whose signature does not fit, by a key nobody knows, or another list."""
    EXPIRED = "expired"
    """A status list that is over by its own account."""
    INTERNAL = "internal"
    """The fetch could not run, such as when the interpreter shuts down."""


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened in a verifier."""

    tag: EventTag
    issuer: str
    """The issuer as configured, not as claimed."""
    code: ProblemCode | None = None
    """With ``sdk:token:rejected``: why, as in the problem document."""
    claim: str | None = None
    """With the code ``invalid_claim``: which, by its name in contract v1."""
    failure: FetchFailure | None = None
    """With ``failed``, ``stale`` and ``cooldown`` of keys and status: what went wrong."""
    keys: int | None = None
    """With a key set that was read: how many usable keys it has."""
    skipped: int | None = None
    """Likewise: how many were unusable and left out."""
    duration: timedelta | None = None
    """With ``refreshed`` and ``failed`` of keys and status: how long the fetch took."""


OnEvent = Callable[[Event], None]
"""A hook. It is called in the verifying thread or task: it must not block.

What it raises is logged and otherwise ignored: it cannot break verification.
"""


class KeyState(StrEnum):
    """How good the keys at hand are."""

    FRESH = "fresh"
    STALE = "stale"
    """Older than ``fresh_for``; they serve while the issuer cannot be asked."""
    NONE = "none"
    """Never fetched, or older than ``stale_if_error`` allows: verifying answers 503."""


class StatusHealth(Struct, frozen=True, kw_only=True):
    """How it stands with the status lists that tokens have pointed to."""

    lists: int = 0
    """Number of lists held."""
    failing: int = 0
    """How many of them could not be had when they were last asked for."""
    unusable: int = 0
    """How many of these are older than ``max_staleness``: their tokens are answered with 503."""
    last_error: FetchFailure | None = None
    """Why one of those failed; ``None`` if none did."""


class Health(Struct, frozen=True, kw_only=True):
    """What a readiness probe wants to know; asking does no I/O."""

    issuer: str
    state: KeyState
    keys: int
    """Number of usable keys."""
    age: timedelta | None = None
    """Time since the keys were asked for; ``None`` without keys, and for given keys."""
    last_error: FetchFailure | None = None
    """Why the last fetch of keys failed; ``None`` if it did not."""
    status: StatusHealth = StatusHealth()
    """Does not count for :attr:`ready`: a list is asked for when a token needs it, so a
    service that gets no requests would never recover."""

    @property
    def ready(self) -> bool:
        """Whether tokens can be verified at this moment."""
        return self.state is not KeyState.NONE
