"""Every shell command of the README, run word for word in a copy of the tree."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.readme import ROOT, commands

START, TEST, TOUR, SERVICE, CLIENT = commands("README.md")
KEPT = ("contracts", "sdk", "adapters", "issuer", "constraints.txt", "noxfile.py", "pyproject.toml")

pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl (apt-get install curl)"),
]


class Shell:
    """Runs commands in the copy, and ends what is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []
        kept = {k: v for k, v in os.environ.items() if not k.startswith("APOSTILLE_")}
        # The commands say python3; here that is the interpreter that runs the tests.
        path = f"{Path(sys.executable).resolve().parent}{os.pathsep}{kept['PATH']}"
        self._environment = {**kept, "PATH": path, "PYTHONUNBUFFERED": "1"}

    def start(self, command: str, log: str) -> Path:
        output = self.folder / log
        with output.open("w") as stream:
            process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self._environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self._started.append(process)
        return output

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def end(self) -> None:
        for process in self._started:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(10)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    for name in KEPT:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, tmp_path / name, ignore=ignore)
        else:
            shutil.copy(source, tmp_path / name)
    shell = Shell(tmp_path)
    yield shell
    shell.end()


def _await(url: str, log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=1, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"{url} did not answer: {log.read_text()}")


def test_the_commands_do_what_the_readme_says(shell: Shell) -> None:
    assert len(START) == 1
    log = shell.start(START[0], "issuer.log")
    _await("http://127.0.0.1:8000/health/ready", log, 240)
    printed = log.read_text()
    password = printed.split("password", 1)[1].split()[0]

    push, serve = SERVICE
    assert "inventory" in shell.run(push)
    service_log = shell.start(serve, "service.log")
    _await("http://127.0.0.1:8001/health", service_log, 20)

    script = "\n".join(CLIENT).replace("what serve printed", password)
    answers = shell.run(script)
    assert "401 Unauthorized" in answers
    assert "missing_token" in answers
    assert "200 OK" in answers
    assert "yes" in answers.splitlines()[-1].lower() or "inventory.write" in answers

    assert "steps went as said" in shell.run(TOUR[0])


def test_the_test_command_is_one_line_that_ci_runs_too() -> None:
    assert len(TEST) == 1
    assert TEST[0].endswith(".venv/bin/nox -s tests")
    assert "README.md" in (ROOT / ".ci" / "run").read_text()
