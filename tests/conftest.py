"""What holds for all tests: nothing is timed, and measuring coverage costs what it must."""

from __future__ import annotations

import gc

from hypothesis import settings

from support.greenlet_coverage import look_up_greenlets_cheaply

# Hypothesis would fail an example that takes 200 ms once and less the next
# time: that says how busy the machine was.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

look_up_greenlets_cheaply()


def pytest_collection_finish() -> None:
    """Spare the garbage collector what was imported and collected: it stays to the end."""
    gc.collect()
    gc.freeze()
