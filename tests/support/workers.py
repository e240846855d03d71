"""The threads in which aiosqlite keeps its connections."""

from __future__ import annotations

import asyncio
import threading

__all__ = ["workers_ended"]


async def workers_ended() -> None:
    """Wait for them: one that could not open its file ends a moment later."""
    for thread in threading.enumerate():
        if "_connection_worker" in thread.name:
            await asyncio.to_thread(thread.join, 5)
