"""How the asynchronous verifier runs a fetch and waits for it: tasks."""

from __future__ import annotations

import logging

from ._attempt import Attempt
from ._fetched import Emit
from ._inquiry import FetchFailed
from ._options import Options
from ._supply import FetchedKeys
from .events import FetchFailure

__all__ = ["TaskRunner"]

GRACE_SECONDS = 0.25
"""How much longer than the fetch itself, which has its own deadline, a caller waits."""

_logger = logging.getLogger("apostille")


class TaskRunner:
    """Runs fetches as tasks of the event loop that asks first.

    A fetch is nobody's: the caller who started it may be cancelled, and it
    goes on for the others, who may live in other loops.
    """

    __slots__ = ("_options",)

    def __init__(self, options: Options) -> None:
        """Wait as long as *options* say."""
        self._options = options

    def fetched_keys(self, emit: Emit) -> FetchedKeys:
        """Return keys that this runner fetches."""
        # Imported with the first verifier that fetches, not with the package.
        from . import _fetch_async  # noqa: F401, PLC0415
        from ._discovery import Discovery  # noqa: PLC0415

        return FetchedKeys(Discovery(self._options), self._options, self.spawn, emit)

    def spawn(self, attempt: Attempt) -> None:
        """Run *attempt* as a task of the present event loop."""
        import asyncio  # noqa: PLC0415 - a fifth of the import time, for who runs a loop

        attempt.runner = asyncio.get_running_loop().create_task(self._run(attempt))

    async def _run(self, attempt: Attempt) -> None:
        from . import _fetch_async  # noqa: PLC0415 - as above

        owner = attempt.owner
        try:
            brought = await _fetch_async.fetch(owner.inquiry, self._options.timeout.total_seconds())
        except FetchFailed as error:
            owner.fail(attempt, error.failure)
        except Exception:
            _logger.exception("a fetch failed in an unforeseen way")
            owner.fail(attempt, FetchFailure.INTERNAL)
        except BaseException:
            owner.abandon(attempt)  # cancelled: the issuer is not to blame
            raise
        else:
            owner.complete(attempt, brought)

    async def wait(self, attempt: Attempt) -> None:
        """Return when *attempt* is done, or has taken too long."""
        import asyncio  # noqa: PLC0415 - a fifth of the import time, for who runs a loop

        task = attempt.runner
        if isinstance(task, asyncio.Task) and task.get_loop().is_closed():
            attempt.owner.abandon(attempt)  # its loop is gone, and the task with it
            return
        # Cancelling the waiter leaves the attempt alone, which cannot be cancelled.
        waiter = asyncio.wrap_future(attempt.done)
        patience = self._options.timeout.total_seconds() + GRACE_SECONDS
        try:
            done, _ = await asyncio.wait({waiter}, timeout=patience)
        except asyncio.CancelledError:
            waiter.cancel()
            raise
        if not done:
            waiter.cancel()
            attempt.owner.fail(attempt, FetchFailure.TIMEOUT)

    async def close(self, attempt: Attempt) -> None:
        """End *attempt*, if it runs in this loop."""
        import asyncio  # noqa: PLC0415 - a fifth of the import time, for who runs a loop

        task = attempt.runner
        if isinstance(task, asyncio.Task) and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait({task})
