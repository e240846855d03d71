"""How the synchronous verifier runs a fetch and waits for it: threads."""

from __future__ import annotations

import logging
import threading

from ._attempt import Attempt
from ._fetched import Emit
from ._inquiry import FetchFailed
from ._options import Options
from ._supply import FetchedKeys
from .events import FetchFailure

__all__ = ["ThreadRunner"]

GRACE_SECONDS = 0.25
"""How much longer than the fetch itself, which has its own deadline, a caller waits.

The system's name resolution knows no deadline: a fetch stuck in it is given
up by those who wait.
"""

_logger = logging.getLogger("apostille")


class ThreadRunner:
    """Runs each fetch in a thread of its own, which lives no longer than the fetch."""

    __slots__ = ("_options",)

    def __init__(self, options: Options) -> None:
        """Wait as long as *options* say."""
        self._options = options

    def fetched_keys(self, emit: Emit) -> FetchedKeys:
        """Return keys that this runner fetches."""
        # Imported with the first verifier that fetches, not with the package.
        from . import _fetch_sync  # noqa: F401, PLC0415
        from ._discovery import Discovery  # noqa: PLC0415

        return FetchedKeys(Discovery(self._options), self._options, self.spawn, emit)

    def spawn(self, attempt: Attempt) -> None:
        """Run *attempt* in a thread."""
        thread = threading.Thread(
            target=self._run, args=(attempt,), name="apostille-fetch", daemon=True
        )
        attempt.runner = thread
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter shuts down
            attempt.owner.fail(attempt, FetchFailure.INTERNAL)

    def _run(self, attempt: Attempt) -> None:
        from . import _fetch_sync  # noqa: PLC0415 - as above

        owner = attempt.owner
        try:
            brought = _fetch_sync.fetch(owner.inquiry, self._options.timeout.total_seconds())
        except FetchFailed as error:
            owner.fail(attempt, error.failure)
        except Exception:
            _logger.exception("a fetch failed in an unforeseen way")
            owner.fail(attempt, FetchFailure.INTERNAL)
        else:
            owner.complete(attempt, brought)

    def wait(self, attempt: Attempt) -> None:
        """Return when *attempt* is done, or has taken too long."""
        patience = self._options.timeout.total_seconds() + GRACE_SECONDS
        try:
            attempt.done.result(patience)
        except TimeoutError:
            attempt.owner.fail(attempt, FetchFailure.TIMEOUT)

    def close(self, attempt: Attempt) -> None:
        """Let *attempt* end by itself: its thread holds up nobody."""
