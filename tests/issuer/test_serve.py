"""``apostille-issuer serve``: a real process, from its first line to its end."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import msgspec
import pytest

from apostille import Verifier
from support.issuer_process import environment, running_issuer

LINE = re.compile(r"apostille-issuer: [^\n]+\n")


def failed_serve(
    *arguments: str, extra: dict[str, str] | None = None, cwd: Path | None = None
) -> tuple[int, str]:
    """Run ``serve`` that must fail; return its status and the one line it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "apostille_issuer", "serve", *arguments],
        env=environment(extra),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert LINE.fullmatch(done.stderr), done.stderr
    assert done.stdout == ""
    return done.returncode, done.stderr.removeprefix("apostille-issuer: ").rstrip("\n")


def test_the_first_start_shows_a_newcomer_the_way_and_later_ones_do_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_issuer(data) as first:
        found = re.search(r"login +(\S+)\n +password +(\S+)", first.greeting)
        assert found is not None
        lines = first.greeting[first.greeting.index("Log in") :].splitlines()
        commands = "\n".join(line for line in lines if line.startswith("  "))
        shown = subprocess.run(
            ["bash", "-c", commands], capture_output=True, text=True, timeout=30, check=True
        )
        assert msgspec.json.decode(shown.stdout)["items"][0]["login"] == found[1] == "admin"
        token = _login(first.url, found[1], found[2])
        with Verifier(first.url, audience="apostille") as verifier:
            assert verifier.verify(token).has("iam.users.write")
    with running_issuer(data) as second:
        assert "password" not in second.greeting
        assert len(second.greeting.splitlines()) == 1
        assert _login(second.url, found[1], found[2])
    assert found[2] not in first.log.read_text() + second.log.read_text()


def test_what_it_makes_is_for_its_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_issuer(data):
        modes = {path.name: path.stat().st_mode & 0o777 for path in (data, *data.iterdir())}
    assert modes.pop("data") == 0o700
    assert set(modes) >= {"apostille.sqlite3", "key-encryption.key"}
    assert set(modes.values()) == {0o600}


def test_the_bootstrap_superuser_can_be_chosen_and_is_not_printed(tmp_path: Path) -> None:
    password = "eleven walnuts in a tin drum"
    chosen = {
        "APOSTILLE_BOOTSTRAP_LOGIN": "ada@example.com",
        "APOSTILLE_BOOTSTRAP_PASSWORD": password,
    }
    with running_issuer(tmp_path / "data", extra=chosen) as issuer:
        assert _login(issuer.url, "ada@example.com", password)
    assert password not in issuer.greeting + issuer.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(number: signal.Signals, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_issuer(data) as issuer:
        issuer.process.send_signal(number)
        assert issuer.process.wait(20) == 0
    assert "Traceback" not in issuer.log.read_text()
    assert not (data / "apostille.sqlite3-wal").exists()


def test_the_log_is_json_lines_without_secrets(tmp_path: Path) -> None:
    extra = {"APOSTILLE_LOG_LEVEL": "debug"}
    with running_issuer(tmp_path / "data", extra=extra) as issuer:
        httpx.get(f"{issuer.url}/v1/users?token=hunter2", headers={"authorization": "Bearer h2"})
        httpx.post(f"{issuer.url}/v1/auth/login", json={"login": "x", "password": "hunter2"})
    lines = [msgspec.json.decode(line) for line in issuer.log.read_text().splitlines()]
    requests = [line for line in lines if line["logger"] == "apostille_issuer.access"]
    assert {"GET /v1/users 401", "POST /v1/auth/login 401", "GET /health/ready 200"} <= {
        f"{line['method']} {line['path']} {line['status']}" for line in requests
    }
    assert "hunter2" not in issuer.log.read_text()


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, line = failed_serve("--data", str(tmp_path / "data"), "--port", str(port))
    assert (status, line) == (1, f"cannot listen on 127.0.0.1:{port}: Address already in use")
    assert not (tmp_path / "data").exists()


def test_a_host_that_is_not_ours_is_one_line(tmp_path: Path) -> None:
    status, line = failed_serve("--data", str(tmp_path / "data"), "--host", "192.0.2.1")
    assert status == 1
    assert line.startswith("cannot listen on 192.0.2.1:8000: ")


def test_a_data_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "data"
    status, line = failed_serve("--data", str(folder), "--port", "0")
    assert (status, line) == (1, f"cannot write in the data folder {folder}: Not a directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_data_folder_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o500)
    status, line = failed_serve("--data", str(folder), "--port", "0")
    assert (status, line) == (1, f"cannot write in the data folder {folder}: Permission denied")


def test_an_unknown_setting_is_one_line(tmp_path: Path) -> None:
    status, line = failed_serve("--data", str(tmp_path), extra={"APOSTILLE_LOG_LEVLE": "info"})
    assert (status, line) == (
        2,
        "APOSTILLE_LOG_LEVLE is not a setting; did you mean APOSTILLE_LOG_LEVEL?",
    )


def test_folders_above_the_data_folder_are_made_too(tmp_path: Path) -> None:
    with running_issuer(tmp_path / "data", "--data", str(tmp_path / "a" / "b" / "data")):
        assert (tmp_path / "a" / "b" / "data" / "apostille.sqlite3").exists()


def test_a_bad_bootstrap_password_is_one_line_that_does_not_quote_it(tmp_path: Path) -> None:
    status, line = failed_serve(
        *("--data", str(tmp_path / "data"), "--port", "0"),
        extra={"APOSTILLE_BOOTSTRAP_PASSWORD": "hunter2"},
    )
    assert status == 1
    assert "APOSTILLE_BOOTSTRAP_PASSWORD" in line
    assert "hunter2" not in line


def test_the_wrong_key_encryption_key_is_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_issuer(data):
        pass
    (data / "key-encryption.key").write_text("A" * 43)
    status, line = failed_serve("--data", str(data), "--port", "0")
    assert status == 1
    assert "the key-encryption key is not the one it was encrypted with" in line


def test_a_locked_database_is_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_issuer(data):
        pass
    blocker = sqlite3.connect(data / "apostille.sqlite3", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    try:
        status, line = failed_serve(
            *("--data", str(data), "--port", "0"), extra={"APOSTILLE_DATABASE_TIMEOUT": "200ms"}
        )
    finally:
        blocker.close()
    assert (status, line) == (1, "cannot use the database: database is locked")


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "apostille.sqlite3").write_text("not a database at all, only text " * 40)
    status, line = failed_serve("--data", str(data), "--port", "0")
    assert (status, line) == (1, "cannot use the database: file is not a database")


def _login(url: str, login: str, password: str) -> str:
    answer = httpx.post(f"{url}/v1/auth/login", json={"login": login, "password": password})
    return str(answer.raise_for_status().json()["access_token"])
