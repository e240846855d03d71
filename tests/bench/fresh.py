"""Interpreters of their own, for what can be measured only once per process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["TESTS", "environment", "probe", "resident_bytes"]

TESTS = Path(__file__).resolve().parent.parent


def environment(**variables: str) -> dict[str, str]:
    """Return our environment with *variables*, in which modules of the bench can be run."""
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    return {**os.environ, **variables, "PYTHONPATH": path}


def probe(module: str, *arguments: str) -> str:
    """Run *module* in a fresh interpreter and return what it printed.

    Raises:
        CalledProcessError: It failed; what it said stands on our stderr.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, env=environment(), stdout=subprocess.PIPE, text=True, check=True, timeout=120
    )
    return done.stdout


def resident_bytes(process: int | str = "self") -> int:
    """Return how much memory of *process* is in RAM (``VmRSS``)."""
    fields = Path(f"/proc/{process}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
