"""The service of :mod:`support.asking_service` as a process, and as its callers see it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path

import httpx

from apostille_issuer.tour.processes import free_port
from support import asking_service
from support.issuer_process import environment as without_ours

__all__ = ["Service", "serving"]

WITHIN_SECONDS = 60
"""Whatever is waited for happens long before."""


class Service:
    """The service process, as its callers see it."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def ask(self, token: str) -> httpx.Response:
        return self._http.get("/me", headers={"authorization": f"Bearer {token}"})

    def health(self) -> dict[str, int]:
        answer: dict[str, int] = self._http.get("/health").json()
        return answer

    def state(self, token: str) -> tuple[int, int]:
        """Return the status for *token*, and how many lists could not be renewed."""
        status = self.ask(token).status_code
        return status, self.health()["failing"]

    def states_until(
        self, token: str, reached: Callable[[tuple[int, int]], bool]
    ) -> list[tuple[int, int]]:
        """Ask again and again; return the states one after the other, the last one *reached*."""
        deadline = time.monotonic() + WITHIN_SECONDS
        states = [self.state(token)]
        while not reached(states[-1]):
            assert time.monotonic() < deadline, states
            time.sleep(0.02)
            states.append(self.state(token))
        return [state for state, _ in groupby(states)]

    def states_for(self, token: str, seconds: float) -> list[tuple[int, int]]:
        """Ask for so long, and return the states one after the other."""
        over = time.monotonic() + seconds
        return self.states_until(token, lambda _: time.monotonic() > over)


@contextmanager
def serving(
    issuer: str,
    log: Path,
    max_staleness_seconds: float,
    *,
    python: Sequence[str] = (sys.executable,),
) -> Iterator[Service]:
    """Run the service until the block is left.

    Args:
        issuer: Whose tokens it takes.
        log: What it says goes there.
        max_staleness_seconds: How old a list may be.
        python: What runs it.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = str(Path(asking_service.__file__))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*python, program, issuer, str(port), str(max_staleness_seconds)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=without_ours(),
        )
    service = Service(url, process)
    try:
        deadline = time.monotonic() + WITHIN_SECONDS
        while True:
            with suppress(httpx.TransportError):
                service.health()
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield service
    finally:
        service.close()
        process.terminate()
        process.wait(WITHIN_SECONDS)
