"""Start the issuer and the example services, wait until they answer, end them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx

__all__ = ["ProcessFailed", "free_port", "running"]

_READY_WITHIN_SECONDS = 20.0
_END_WITHIN_SECONDS = 5.0


class ProcessFailed(Exception):
    """A process ended, or did not answer in time; the message ends with its output."""


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    arguments: Sequence[str],
    *,
    ready_url: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python -m ARGUMENTS`` until the block is left.

    Args:
        arguments: Module and its arguments.
        ready_url: Polled until it answers 200; at most 20 seconds.
        log: File that takes the output of the process.
        environment: Variables beside those of this process; ``APOSTILLE_*``
            variables of this process are not handed on.

    Raises:
        ProcessFailed: It ended early or did not get ready.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("APOSTILLE_")}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own modules, no shell
            [sys.executable, "-m", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**inherited, **(environment or {})},
        )
    try:
        _await_ready(process, ready_url, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            message = f"ended with status {process.returncode}: {_tail(log)}"
            raise ProcessFailed(message)
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=1, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.02)
    message = f"did not answer at {url} within {_READY_WITHIN_SECONDS:.0f} s: {_tail(log)}"
    raise ProcessFailed(message)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:].strip()
