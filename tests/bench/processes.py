"""Servers and the load generator as processes, each held to a core of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import msgspec

from bench import fresh
from bench.load import Conversation, Order, Outcome, Refused

__all__ = ["LoadGenerator", "Server", "cores", "held_to", "started"]

READY_SECONDS = 30.0
STOP_SECONDS = 10.0


def cores() -> tuple[int, int]:
    """Return the server's core and the load generator's; the same one if there is only one."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]


@contextmanager
def held_to(core: int) -> Iterator[None]:
    """Hold this thread, and the processes it starts, to one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    ready_seconds: float
    """From before it was started until it answered 200."""
    log: Path

    def resident_mebibytes(self) -> float:
        """Return the memory in RAM of the process and its children."""
        return sum(fresh.resident_bytes(pid) for pid in self._processes()) / 2**20

    def busy_seconds(self) -> float:
        """Return how long threads of the process and its children have run so far."""
        nanoseconds = 0
        for pid in self._processes():
            for task in Path(f"/proc/{pid}/task").iterdir():
                nanoseconds += int((task / "schedstat").read_text().split()[0])
        return nanoseconds / 1e9

    def _processes(self) -> list[int]:
        return [self.process.pid, *_children(self.process.pid)]


@contextmanager
def started(
    command: Sequence[str],
    port: int,
    *,
    log: Path,
    path: str = "/",
    environment: Mapping[str, str] | None = None,
    core: int | None = None,
) -> Iterator[Server]:
    """Run *command* until the block ends.

    Args:
        command: Program and arguments.
        port: Where it will listen on loopback.
        log: File for everything it says.
        path: Answers 200 as soon as the server is ready.
        environment: Replaces ours.
        core: What it is held to; the servers' by default.

    Raises:
        RuntimeError: It ended or was not ready in time; with the end of its log.
    """
    given = environment or fresh.environment()
    with log.open("wb") as output, held_to(cores()[0] if core is None else core):
        begin = time.perf_counter()
        process = subprocess.Popen(command, env=given, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(process, port, path, log)
        yield Server(process, port, time.perf_counter() - begin, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while not answers(port, path):
        if process.poll() is not None or time.monotonic() > end:
            said = log.read_text(errors="replace")[-2_000:]
            raise RuntimeError(f"{process.args!r} was not ready; it said: {said}")
        time.sleep(0.002)


def answers(port: int, path: str) -> bool:
    """Say whether a server on *port* answers *path* with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            return connection.recv(4_096)[9:12] == b"200"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += map(int, (task / "children").read_text().split())
    return children + [below for child in children for below in _children(child)]


class LoadGenerator:
    """The process of :mod:`bench.load`, on the core the servers do not use."""

    def __init__(self) -> None:
        """Start it."""
        with held_to(cores()[1]):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.load"],
                env=fresh.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        self._decoder = msgspec.json.Decoder(Outcome)
        self._known: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream(self._process.stdin).close()
        self._process.wait(STOP_SECONDS)
        self._stream(self._process.stdout).close()

    def run(
        self,
        name: str,
        port: int,
        opening: Sequence[Conversation],
        *,
        seconds: float,
        rate: float | None = None,
    ) -> Outcome:
        """Hold the conversations called *name*; they go on where the last run ended.

        Raises:
            Refused: An answer was neither 2xx nor 304, or none came.
        """
        order = Order(port=port, conversations=name, seconds=seconds, rate=rate)
        if name not in self._known:
            self._known.add(name)
            order.opening = list(opening)
        sink = self._stream(self._process.stdin)
        sink.write(msgspec.json.encode(order) + b"\n")
        sink.flush()
        outcome = self._decoder.decode(self._stream(self._process.stdout).readline())
        if outcome.error:
            raise Refused(f"{name}: {outcome.error}")
        return outcome

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None
        return stream
