"""``apostille-issuer manifest push``, into the database and over HTTP."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from apostille_issuer.access.schemas import RoleDraft
from apostille_issuer.cli import main
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.settings import Settings
from support.desk import Desk
from support.web import wsgi_server

MANIFEST = """
service = "inventory"
version = "1.0.0"

[permissions]
"inventory.read" = "See stock levels"
"inventory.write" = "Change stock levels"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "permissions.toml"
    path.write_text(MANIFEST, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APOSTILLE_DATA", str(tmp_path / "data"))


def test_a_push_into_the_embedded_database_says_what_changed(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["manifest", "push", str(file), "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "service inventory would be at version 1.0.0",
        "  + inventory.read",
        "  + inventory.write",
    ]
    assert main(["manifest", "push", str(file)]) == 0
    assert capsys.readouterr().out.startswith("service inventory is at version 1.0.0\n")
    assert main(["manifest", "push", str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "nothing changed"
    assert main(["manifest", "push", str(file), "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "nothing would change"


def test_what_is_changed_removed_and_kept_for_a_role_is_told_apart(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["manifest", "push", str(file)])
    asyncio.run(_grant(tmp_path / "data", "inventory.write"))
    file.write_text(
        'service = "inventory"\nversion = "2"\n[permissions]\n"inventory.read" = "Look"\n',
        encoding="utf-8",
    )
    capsys.readouterr()
    assert main(["manifest", "push", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "service inventory is at version 2",
        "  ~ inventory.read",
        "  ! inventory.write is deprecated: still granted by keeper",
    ]


async def _grant(data: Path, permission: str) -> None:
    """Make a role that names *permission*, as somebody who holds it."""
    async with Issuer(Settings(data=data)).running() as issuer:
        draft = RoleDraft(name="keeper", deny=(permission,))
        await issuer.access.roles.create(draft, COMMAND_LINE)


def test_a_refusal_is_one_line_that_names_the_place(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(
        'service = "inventory"\nversion = "1"\n[permissions]\n"iam.users.read" = "x"\n',
        encoding="utf-8",
    )
    assert main(["manifest", "push", str(file)]) == 1
    assert capsys.readouterr().err == (
        "apostille-issuer: conflict: The request conflicts with the present state. "
        "(permissions.iam.users.read: the module iam belongs to apostille)\n"
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("service =", "Invalid value"),
        ('service = "x"', "missing required field `version`"),
        ("\xff", "permissions.toml"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_in_one_line(
    file: Path, text: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text, encoding="latin-1")
    assert main(["manifest", "push", str(file)]) == 1
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_a_file_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["manifest", "push", str(tmp_path / "absent.toml")]) == 1
    assert "absent.toml: No such file" in capsys.readouterr().err


@pytest.fixture
def held(tmp_path: Path) -> Callable[[str], str]:
    """Write a token to a file and return its path."""

    def write(token: str) -> str:
        path = tmp_path / "token"
        path.write_text(f"{token}\n", encoding="utf-8")
        return str(path)

    return write


def bearer_of(desk: Desk) -> str:
    return desk.root()["authorization"].removeprefix("Bearer ")


def test_a_push_over_http_does_the_same(
    desk: Desk, file: Path, held: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(MANIFEST.replace("inventory", "pushed"), encoding="utf-8")
    token = bearer_of(desk)
    there = ["--issuer", f"{desk.url}/", "--token-file", held(token)]
    assert main(["manifest", "push", str(file), "--dry-run", *there]) == 0
    assert "service pushed would be at version 1.0.0" in capsys.readouterr().out
    assert main(["manifest", "push", str(file), *there]) == 0
    assert "  + pushed.read" in capsys.readouterr().out
    registered = desk.as_root("GET", "/v1/services/pushed").json()
    assert registered["permissions"]["pushed.write"] == "Change stock levels"
    file.write_text(MANIFEST.replace('"inventory.', '"iam.'), encoding="utf-8")
    assert main(["manifest", "push", str(file), *there]) == 1
    assert "the module iam belongs to apostille" in capsys.readouterr().err


def test_the_token_may_come_from_standard_input(
    desk: Desk, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{bearer_of(desk)}\n"))
    there = ["--issuer", desk.url, "--token-file", "-"]
    assert main(["manifest", "push", str(file), "--dry-run", *there]) == 0
    assert "service inventory would be at version 1.0.0" in capsys.readouterr().out


def test_no_token_is_taken_from_the_command_line(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ["--issuer", "http://127.0.0.1:1", "--token", "secret"]
    with pytest.raises(SystemExit) as stopped:
        main(["manifest", "push", str(file), *there])
    assert stopped.value.code == 2
    assert "--token" in capsys.readouterr().err


@pytest.mark.parametrize("token", ["", "two words", "\u00e9", "Bearer\nx"])
def test_a_file_that_holds_no_token_is_named_and_not_shown(
    file: Path, token: str, held: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = held(token)
    there = ["--issuer", "http://127.0.0.1:1", "--token-file", path]
    assert main(["manifest", "push", str(file), *there]) == 1
    assert capsys.readouterr().err == f"apostille-issuer: {path} holds no access token\n"


def test_a_token_file_that_is_not_there_is_named(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ["--issuer", "http://127.0.0.1:1", "--token-file", str(tmp_path / "absent")]
    assert main(["manifest", "push", str(file), *there]) == 1
    assert "absent: No such file" in capsys.readouterr().err


def test_an_empty_standard_input_holds_no_token(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    there = ["--issuer", "http://127.0.0.1:1", "--token-file", "-"]
    assert main(["manifest", "push", str(file), *there]) == 1
    assert "standard input holds no access token" in capsys.readouterr().err


def test_who_lacks_the_permission_is_told_which(
    desk: Desk, file: Path, held: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    token = desk.tokens(desk.hire("staff").login)["access_token"]
    there = ["--issuer", desk.url, "--token-file", held(token)]
    assert main(["manifest", "push", str(file), *there]) == 1
    assert "iam.services.write" in capsys.readouterr().err


def test_an_issuer_that_is_none_or_away_is_one_line(
    file: Path, held: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    def somebody_else(_environ: object, start_response: object) -> list[bytes]:
        start_response("200 OK", [])  # type: ignore[operator]
        return [b"<html>"]

    with wsgi_server(somebody_else) as url:
        there = ["--issuer", url, "--token-file", held("x")]
        assert main(["manifest", "push", str(file), *there]) == 1
    assert "does not answer like an issuer" in capsys.readouterr().err
    assert main(["manifest", "push", str(file), *there]) == 1
    assert f"cannot reach {url}" in capsys.readouterr().err


def test_an_address_without_a_token_is_no_way_in(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["manifest", "push", str(file), "--issuer", "http://127.0.0.1:1"]) == 2
    assert "--issuer and --token-file go together" in capsys.readouterr().err
