"""Coverage of greenlets, of which one is looked up at a fraction of the usual cost.

Coverage keeps a stack of frames per greenlet, as SQLAlchemy's async engine
needs. Which one, its tracer looks up at every line of any function, in a
:class:`weakref.WeakKeyDictionary`, which is Python code. Here it is handed a
dictionary instead, which forgets greenlets once they have ended. What is
measured stays the same, as a test holds.
"""

from __future__ import annotations

import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coverage import Coverage
    from greenlet import greenlet  # type: ignore[import-untyped]

    Stacks = dict[greenlet, int]
else:
    Stacks = dict

__all__ = ["StackNumbers", "look_up_greenlets_cheaply"]

ENDED_AT_MOST = 64
"""Ended greenlets that are held before the first search for them."""

_one_at_a_time = threading.Lock()


class StackNumbers(Stacks):
    """The number of each greenlet's stack; of a thread's own, as its tracer is."""

    def __init__(self) -> None:
        super().__init__()
        self._search_at = ENDED_AT_MOST

    def __missing__(self, key: greenlet) -> int:
        """Say that *key* is new, after a look for those that will not come back.

        Raises:
            KeyError: Always; the tracer then makes a stack and enters it here.
        """
        if len(self) >= self._search_at:
            for ended in [each for each in self if each.dead]:
                del self[ended]
            self._search_at = 2 * len(self) + ENDED_AT_MOST
        raise KeyError(key)


def look_up_greenlets_cheaply() -> None:
    """Do so from now on in this process, if it is being measured by the tracer in C."""
    if "coverage" not in sys.modules:
        return
    from coverage import Coverage

    measuring = Coverage.current()
    if measuring is not None:
        _apply(measuring)


def _apply(measuring: Coverage) -> None:
    from coverage.collector import Collector

    start_tracer = Collector._start_tracer

    def start_cheaper_tracer(collector: Collector) -> Any:
        if collector.concur_id_func is None or collector.tracer_name() != "CTracer":
            return start_tracer(collector)
        asking = threading.get_ident()
        with _one_at_a_time:
            usual = weakref.WeakKeyDictionary

            def chosen(*arguments: Any) -> Any:
                mine = threading.get_ident() == asking
                return StackNumbers() if mine else usual(*arguments)

            # The tracer makes its dictionary at its first event: here.
            weakref.WeakKeyDictionary = chosen  # type: ignore[misc, assignment]
            try:
                trace: Any = start_tracer(collector)
                trace(sys._getframe(), "return", None)
            finally:
                weakref.WeakKeyDictionary = usual  # type: ignore[misc]
        return trace

    measuring.stop()
    Collector._start_tracer = start_cheaper_tracer  # type: ignore[method-assign, assignment]
    measuring.start()
