"""Serving, in this process: the socket, the loop, the signals."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from apostille_issuer import server
from apostille_issuer.cli import main
from apostille_issuer.problems import StartupError
from support.application import ROOT_LOGIN, ROOT_PASSWORD
from support.issuer_process import environment


@pytest.fixture(autouse=True)
def clean_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("APOSTILLE_ARGON2_MEMORY_KIB", "7168")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("apostille_issuer", "apostille", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def serve_until_visited(*arguments: str, port: int, path: str = "/health/ready") -> int:
    """Run ``serve`` here; a visitor asks once, then sends SIGTERM. Return the exit status."""
    seen: list[int] = []
    ended = threading.Event()

    def visit() -> None:
        while not seen and not ended.wait(0.05):
            with suppress(httpx.TransportError):
                seen.append(httpx.get(f"http://127.0.0.1:{port}{path}").status_code)
        if seen:
            os.kill(os.getpid(), signal.SIGTERM)

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        status = main(["serve", "--port", str(port), *arguments])
    finally:
        ended.set()
        visitor.join()
    assert seen == [200]
    return status


def test_it_serves_until_a_signal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert serve_until_visited("--data", str(tmp_path), port=port) == 0
    greeting = capsys.readouterr().out
    assert "login     admin" in greeting
    ready = greeting.splitlines()[-1]
    assert ready.endswith(f"is ready at http://127.0.0.1:{port}")
    assert serve_until_visited("--data", str(tmp_path), port=port) == 0
    assert capsys.readouterr().out.splitlines() == [ready]


def test_the_issuer_that_is_set_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APOSTILLE_ISSUER_URL", "https://iam.example.com")
    monkeypatch.setenv("APOSTILLE_BOOTSTRAP_LOGIN", ROOT_LOGIN)
    monkeypatch.setenv("APOSTILLE_BOOTSTRAP_PASSWORD", ROOT_PASSWORD)
    port = free_port()
    assert serve_until_visited("--data", str(tmp_path), port=port) == 0
    greeting = capsys.readouterr().out
    assert "password  the one you chose" in greeting
    assert ROOT_PASSWORD not in greeting


def test_what_stops_the_start_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["serve", "--port", "0", "--data", str(tmp_path / "file" / "data")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("apostille-issuer: cannot write in the data folder")
    assert err.count("\n") == 1


def test_a_port_in_use_is_found_out_first() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError) as refused:
            server.listening_socket("127.0.0.1", port)
    assert str(refused.value) == f"cannot listen on 127.0.0.1:{port}: Address already in use"


def test_a_host_without_address_is_one_line() -> None:
    with pytest.raises(StartupError) as refused:
        server.listening_socket("no.such.host.invalid", 0)
    assert str(refused.value).startswith("cannot listen on no.such.host.invalid:0: ")


def test_without_uvloop_the_standard_loop_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert server._loop_factory() is None
