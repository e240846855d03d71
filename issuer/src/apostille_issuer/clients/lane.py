"""A narrow lane: for who is to be served, but not at the cost of others."""

from __future__ import annotations

from asyncio import Semaphore
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from apostille_contracts.problems import ProblemCode
from apostille_issuer.problems import IssuerProblem

__all__ = ["Lane"]

AT_ONCE: Final = 2
"""Let through at a time: far fewer than the database has connections."""

MOST_WAITING: Final = 50
"""Who comes after so many is told to come again."""

RETRY_AFTER_SECONDS: Final = 1


class Lane:
    """Lets few through at once, in the order in which they came; belongs to one event loop."""

    def __init__(self, *, at_once: int = AT_ONCE, waiting: int = MOST_WAITING) -> None:
        """Take how many go through at once, and how many may wait."""
        self._places = Semaphore(at_once)
        self._most_waiting = waiting
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it for as long as the block runs.

        Raises:
            IssuerProblem: ``overloaded``; too many wait already.
        """
        if self._waiting >= self._most_waiting:
            raise IssuerProblem(ProblemCode.OVERLOADED, retry_after=RETRY_AFTER_SECONDS)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()
