"""Runs a program whose wall clock is off by what a file says, from one reading to the next.

``python set_clock.py FILE -m MODULE ARGUMENTS...``, or the path of a script in
place of ``-m MODULE``. *FILE* holds seconds; :func:`set_clock` writes them. Of
the process it is Python's clock alone: nothing below it tells our programs the
time of day. The monotonic clock is nobody's to set, here as anywhere.
"""

from __future__ import annotations

import datetime as dt
import runpy
import sys
import time
from datetime import timedelta
from pathlib import Path

__all__ = ["set_clock", "with_clock"]


def with_clock(file: Path) -> list[str]:
    """Return the beginning of a command whose clock goes by *file*; it is right until it is set."""
    set_clock(file, timedelta(0))
    return [sys.executable, __file__, str(file)]


def set_clock(file: Path, off: timedelta) -> None:
    """Let the clock of every process that goes by *file* be off by that from now on."""
    draft = file.with_suffix(".new")
    draft.write_text(str(off.total_seconds()))
    draft.replace(file)  # nobody reads half a number


def _main(file: Path, *command: str) -> None:
    right = time.time

    def shifted() -> float:
        return right() + float(file.read_text())

    # Before anything else is imported: whoever reads the clock keeps this one.
    setattr(time, "time", shifted)  # noqa: B010 - a type checker would mind
    if command[0] != "-m":
        sys.argv = list(command)
        runpy.run_path(command[0], run_name="__main__")
        return
    from apostille_issuer import clock

    setattr(clock, "utc_now", lambda: dt.datetime.fromtimestamp(shifted(), dt.UTC))  # noqa: B010
    sys.argv = list(command[1:])
    runpy.run_module(command[1], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), *sys.argv[2:])
