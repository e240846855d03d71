"""One attempt to fetch something, for any number of callers to wait for."""

from __future__ import annotations

from concurrent.futures import Future
from enum import Enum, auto
from typing import Any, Protocol

from ._inquiry import Inquiry
from .events import FetchFailure

__all__ = ["Attempt", "Outcome"]


class Owner(Protocol):
    """Whom an attempt is made for; a driver reports to it."""

    @property
    def inquiry(self) -> Inquiry[Any]:
        """What to ask, and what to make of the answers."""

    def complete(self, attempt: Attempt, brought: Any) -> None:
        """Install what *attempt* brought."""

    def fail(self, attempt: Attempt, failure: FetchFailure) -> None:
        """Note that *attempt* failed."""

    def abandon(self, attempt: Attempt) -> None:
        """Forget *attempt*, which was cancelled."""


class Outcome(Enum):
    """How an attempt to fetch ended."""

    SUCCEEDED = auto()
    FAILED = auto()
    ABANDONED = auto()
    """It was cancelled and says nothing about the issuer."""


class Attempt:
    """One attempt to fetch something, for any number of callers to wait for."""

    __slots__ = ("done", "outcome", "owner", "previous_start", "runner")

    def __init__(self, owner: Owner, previous_start: float) -> None:
        """Begin for *owner*, with nobody running it yet."""
        self.owner = owner
        self.done: Future[None] = Future()
        # Running futures cannot be cancelled: a caller that is cancelled
        # while it waits takes nobody along.
        self.done.set_running_or_notify_cancel()
        self.outcome: Outcome | None = None
        self.previous_start = previous_start
        self.runner: object = None
        """The thread or task that runs it; kept so that it lives."""
