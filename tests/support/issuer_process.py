"""``apostille-issuer`` as a real process, as an operator starts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
from msgspec import Struct

__all__ = ["IssuerProcess", "environment", "running_issuer"]

READY = re.compile(r"is ready at (http://\S+)$", re.MULTILINE)
READY_WITHIN_SECONDS = 60
END_WITHIN_SECONDS = 20


class IssuerProcess(Struct, frozen=True):
    """A running issuer."""

    url: str
    process: subprocess.Popen[str]
    greeting: str
    """What it printed; the last line says where it is ready."""
    log: Path
    """Where its standard error goes."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of this process without our variables, and *extra*."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("APOSTILLE_")}
    return {**inherited, **(extra or {})}


@contextmanager
def running_issuer(
    data: Path, *arguments: str, extra: Mapping[str, str] | None = None
) -> Iterator[IssuerProcess]:
    """Run ``apostille-issuer serve`` on a free port until the block is left.

    Args:
        data: Its data folder; the log goes beside it.
        arguments: More arguments.
        extra: More environment.
    """
    log = data.with_name(f"{data.name}.{time.monotonic_ns()}.log")
    with log.open("w") as errors:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "apostille_issuer", "serve"),
                *("--data", str(data), "--port", "0", *arguments),
            ],
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            env=environment(extra),
            text=True,
        )
    assert process.stdout is not None
    try:
        greeting = _until_ready(process.stdout)
        found = READY.search(greeting)
        if found is None:
            raise AssertionError(f"the issuer did not start: {greeting}{log.read_text()}")
        httpx.get(f"{found[1]}/health/ready", timeout=READY_WITHIN_SECONDS).raise_for_status()
        yield IssuerProcess(found[1], process, greeting, log)
    finally:
        process.terminate()
        try:
            process.wait(END_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _until_ready(output: IO[str]) -> str:
    """Read what is printed up to the line with the address, or to the end of the process."""
    lines: list[str] = []
    for line in output:
        lines.append(line)
        if READY.search(line):
            break
    return "".join(lines)
