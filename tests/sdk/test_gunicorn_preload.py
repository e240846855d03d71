"""A service under ``gunicorn --preload``: verifier warmed once, forked into every worker."""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from apostille.testing import LocalIssuer

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gunicorn") is None, reason="needs gunicorn (pip install gunicorn)"
)

SERVICE = """
import os
from datetime import timedelta
from apostille import InvalidToken, Verifier

iam = Verifier(os.environ["ISSUER"], audience="inventory", cooldown=timedelta(seconds=1))
iam.warm()  # in the parent; its threads and locks are not the workers'

def application(environ, start_response):
    token = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
    try:
        status, body = "200 OK", iam.verify(token).subject
    except InvalidToken as error:
        status, body = "401 Unauthorized", error.code.value
    start_response(status, [("Content-Type", "text/plain"), ("X-Worker", str(os.getpid()))])
    return [body.encode()]
"""


def _ask(url: str, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
    return httpx.get(url, headers=headers, timeout=10, trust_env=False)


def _from_every_worker(url: str, token: str, workers: int) -> dict[str, str]:
    """Ask until each worker has answered; return what the last answer of each was."""
    answers: dict[str, str] = {}
    for _ in range(500):
        response = _ask(url, token)
        answers[response.headers["x-worker"]] = response.text
        if len(answers) == workers:
            break
    return answers


def test_every_worker_verifies_and_learns_of_a_rotation(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(SERVICE)
    issuer = LocalIssuer(audience="inventory")
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with issuer.serve() as address, (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--preload", "--workers", "2"),
                *("--bind", f"fd://{listener.fileno()}", "--no-control-socket", "service"),
            ],
            cwd=tmp_path,
            env={"ISSUER": address, "PYTHONPATH": str(tmp_path)},
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=log,
        )
        try:
            first = _from_every_worker(url, issuer.token(subject="before"), 2)
            assert set(first.values()) == {"before"}
            assert len(first) == 2
            issuer.rotate()
            deadline = time.monotonic() + 20
            after = issuer.token(subject="after")
            while set(_from_every_worker(url, after, 2).values()) != {"after"}:
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        finally:
            listener.close()
            process.send_signal(signal.SIGTERM)
            process.wait(20)
