"""Work in a child of the test process."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable

import pytest

__all__ = ["in_child"]


def in_child(work: Callable[[], object]) -> None:
    """Run *work* in a fork of this process; fail if it raises there, or never ends."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - it must not unwind into the parent's test run
            traceback.print_exc()
        finally:
            os._exit(code)
    watchdog = threading.Timer(60, os.kill, (child, 9))
    watchdog.start()
    _, status = os.waitpid(child, 0)
    watchdog.cancel()
    assert status == 0
