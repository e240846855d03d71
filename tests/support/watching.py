"""A service in a process of its own that says when its tokens are refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import watching_service
from support.issuer_process import environment as without_ours

__all__ = ["watching"]


@contextmanager
def watching(issuer: str) -> Iterator[subprocess.Popen[str]]:
    """Run one; what it takes and says stands in :mod:`.watching_service`."""
    process = subprocess.Popen(
        [sys.executable, str(Path(watching_service.__file__)), issuer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=without_ours(),
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
