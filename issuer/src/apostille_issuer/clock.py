"""The time, as services are given it.

A service takes a :data:`Clock` by constructor and never asks the system
itself, so a test can stand at any moment it likes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

__all__ = ["Clock", "utc_now"]

Clock = Callable[[], dt.datetime]
"""Returns the present moment as an aware UTC time."""


def utc_now() -> dt.datetime:
    """Return the system's time, aware, in UTC."""
    return dt.datetime.now(dt.UTC)
