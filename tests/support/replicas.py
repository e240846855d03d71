"""Issuer processes on one database, as an operator replicates them."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from apostille_issuer.tour.processes import free_port
from support.desk import PASSWORD
from support.issuer_process import environment as without_ours
from support.postgresql import NoPostgreSQL, running_server

__all__ = ["LOGIN", "QUICK_HASHES", "Replica", "replicated"]

LOGIN = "ada@example.com"
"""The superuser, whose password is :data:`support.desk.PASSWORD`."""

QUICK_HASHES = {"APOSTILLE_ARGON2_MEMORY_KIB": "7168", "APOSTILLE_ARGON2_TIME_COST": "1"}
"""The least that settings allow, for tests that log in often."""


READY_WITHIN_SECONDS = 60
END_WITHIN_SECONDS = 20


class Replica:
    """One process of an issuer, which can be ended and started again at its port.

    Args:
        data: The data folder that all replicas share.
        port: Where it listens on loopback.
        environment: ``APOSTILLE_*`` variables; a change counts at the next start.
        python: What runs it.
    """

    def __init__(
        self,
        data: Path,
        port: int,
        environment: Mapping[str, str],
        python: Sequence[str] = (sys.executable,),
    ) -> None:
        """Start nothing yet."""
        self.url = f"http://127.0.0.1:{port}"
        self.environment = dict(environment)
        self.log = data / f"{port}.log"
        """What it says, all starts one after the other."""
        self._process: subprocess.Popen[bytes] | None = None
        serve = ["apostille_issuer", "serve", "--data", str(data), "--port", str(port)]
        self._command = [*python, "-m", *serve]

    def start(self) -> None:
        """Start it, and do not wait."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=without_ours(self.environment),
            )

    def wait_until_ready(self) -> None:
        """Wait until it answers, or fail with what it said."""
        assert self._process is not None
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if self.is_ready():
                return
            time.sleep(0.02)
        pytest.fail(f"{self.url} was not ready; it said: {self.said()[-2_000:]}")

    def is_ready(self) -> bool:
        """Say whether it answers, and that it is ready."""
        try:
            ready = httpx.get(f"{self.url}/health/ready", timeout=1, trust_env=False)
        except httpx.TransportError:
            return False
        return ready.is_success

    def command(self, *arguments: str) -> str:
        """Run ``apostille-issuer`` beside it, whether or not it runs; return what that printed."""
        done = subprocess.run(
            [sys.executable, "-m", "apostille_issuer", *arguments, "--data", str(self.log.parent)],
            env=without_ours(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def said(self) -> str:
        """Return the log."""
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """End it as a crash does, without a word (SIGKILL), whatever it is doing."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it as an operator does, if it runs."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def replicated(
    dialect: str,
    data: Path,
    *,
    ports: Sequence[int] = (),
    count: int = 2,
    settings: Mapping[str, str] | None = None,
    python: Sequence[str] = (sys.executable,),
) -> Iterator[Sequence[Replica]]:
    """Run some processes on one database; skip the test where there is no PostgreSQL.

    Args:
        dialect: ``sqlite`` or ``postgresql``.
        data: The data folder.
        ports: Where they listen.
        count: How many there are, on free ports, if *ports* are not given.
        settings: ``APOSTILLE_*`` variables. Unless they say otherwise the
            issuer's name is the address of the first process.
        python: What runs them.
    """
    ports = ports or [free_port() for _ in range(count)]
    environment = {
        "APOSTILLE_ISSUER_URL": f"http://127.0.0.1:{ports[0]}",
        "APOSTILLE_BOOTSTRAP_LOGIN": LOGIN,
        "APOSTILLE_BOOTSTRAP_PASSWORD": PASSWORD,
        **(settings or {}),
    }
    with ExitStack() as stack:
        if dialect == "postgresql":
            environment |= _postgresql(stack)
        replicas = [Replica(data, port, environment, python) for port in ports]
        for replica in replicas:
            stack.callback(replica.stop)
            replica.start()
            # One after the other: the first start makes what all of them share.
            replica.wait_until_ready()
        yield replicas


def _postgresql(stack: ExitStack) -> dict[str, str]:
    """Return the variables that name a migrated database on a server of our own."""
    try:
        server = stack.enter_context(running_server())
    except NoPostgreSQL as error:
        pytest.skip(str(error))
    url = server.create_database()
    stack.callback(server.drop_database, url)
    environment = {
        "APOSTILLE_DATABASE_URL": url,
        "APOSTILLE_KEY_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode(),
    }
    command = [sys.executable, "-m", "apostille_issuer", "migrate"]
    subprocess.run(command, env=without_ours(environment), check=True, capture_output=True)
    return environment
