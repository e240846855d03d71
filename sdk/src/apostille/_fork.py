"""Locks and running work do not survive a fork; this makes the child start clean.

Servers such as gunicorn with ``--preload`` and uWSGI load the application
once and fork it. The child inherits every lock in whatever state it was, and
none of the threads that would release it.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["ForkAware", "register"]


class ForkAware(Protocol):
    """Something with locks or work in flight."""

    def after_fork(self) -> None:
        """Forget both; called in the child, which has one thread."""


_REGISTERED: WeakSet[ForkAware] = WeakSet()


def register(member: ForkAware) -> None:
    """Have ``member.after_fork()`` called in every child; held weakly."""
    _REGISTERED.add(member)


def _in_child() -> None:
    for member in list(_REGISTERED):
        member.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has neither
    os.register_at_fork(after_in_child=_in_child)
