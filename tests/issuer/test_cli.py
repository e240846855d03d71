"""The command line, in this process: arguments, exit statuses, what is printed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apostille_issuer.cli import COMMANDS, main
from apostille_issuer.cli.serving import _address
from apostille_issuer.db.schema import revisions
from apostille_issuer.version import version
from support.issuer_process import environment
from support.postgresql import Server

HEAD = revisions()[-1]
PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("APOSTILLE_ARGON2_MEMORY_KIB", "7168")
    monkeypatch.setenv("APOSTILLE_ARGON2_TIME_COST", "1")


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def failure(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("apostille-issuer: ")
    assert err.count("\n") == 1
    return err.removeprefix("apostille-issuer: ").rstrip()


def test_the_version_is_the_distribution_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{version()}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert COMMANDS[command][1] in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["serve", "--port", "70000"]])
def test_wrong_arguments_are_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from apostille_issuer.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'litestar', 'sqlalchemy', 'alembic', 'uvicorn'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, check=True, text=True
    )
    assert "create-superuser" in done.stdout


def test_migrate_says_from_where_to_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(tmp_path / "data")
    assert main(["migrate", "--data", data]) == 0
    assert main(["migrate", "--data", data]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"the database went from empty to revision {HEAD}",
        f"the database is at revision {HEAD} already",
    ]


@pytest.mark.postgresql
def test_migrate_works_on_the_database_of_the_environment(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgresql.create_database()
    monkeypatch.setenv("APOSTILLE_DATABASE_URL", url)
    monkeypatch.setenv("APOSTILLE_KEY_ENCRYPTION_KEY", "A" * 43)
    assert main(["migrate"]) == 0
    postgresql.drop_database(url)
    assert capsys.readouterr().out == f"the database went from empty to revision {HEAD}\n"


def test_a_setting_that_is_wrong_is_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APOSTILLE_AUDIENCE", "")
    assert main(["migrate"]) == 2
    assert failure(capsys) == "APOSTILLE_AUDIENCE: must not be empty"


def test_a_superuser_is_created_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["create-superuser", "Ada", "--password-stdin", "--data", str(tmp_path)]
    type_in(monkeypatch, f"{PASSWORD}\n")
    assert main(arguments) == 0
    assert capsys.readouterr().out == "created superuser Ada\n"
    type_in(monkeypatch, f"{PASSWORD}\n")
    assert main([*arguments[:1], "aDA", *arguments[2:]]) == 1
    assert failure(capsys).startswith("login_taken: The login name is taken.")


def test_a_superuser_with_a_weak_password_is_refused_by_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    type_in(monkeypatch, "hunter2\n")
    arguments = ["create-superuser", "ada", "--password-stdin", "--data", str(tmp_path)]
    assert main(arguments) == 1
    line = failure(capsys)
    assert "password: " in line
    assert "hunter2" not in line


@pytest.mark.parametrize(("again", "status"), [(PASSWORD, 0), ("something else entirely", 1)])
def test_at_a_terminal_the_password_is_asked_for_twice(
    again: str,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([PASSWORD, again])
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(answers))
    assert main(["create-superuser", "ada", "--data", str(tmp_path)]) == status


def test_without_a_terminal_the_password_is_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    type_in(monkeypatch, "")
    assert main(["create-superuser", "ada", "--data", str(tmp_path)]) == 1
    assert "use --password-stdin" in failure(capsys)


def test_an_interrupt_is_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("apostille_issuer.cli.migrating.prepare_data_folder", interrupted)
    assert main(["migrate"]) == 130


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_the_address_that_is_shown_can_be_opened(host: str, url: str) -> None:
    assert _address(host, 80) == url
