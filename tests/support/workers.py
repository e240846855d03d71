"""The threads in which aiosqlite keeps its connections."""

from __future__ import annotations

import asyncio
import threading

__all__ = ["workers", "workers_ended"]


def workers() -> frozenset[threading.Thread]:
    """Return those that run now."""
    return frozenset(each for each in threading.enumerate() if "_connection_worker" in each.name)


async def workers_ended(others: frozenset[threading.Thread]) -> None:
    """Wait for all but *others*: one that could not open its file ends a moment later."""
    for thread in workers() - others:
        await asyncio.to_thread(thread.join, 5)
