"""``apostille-issuer revoke``."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from apostille_contracts.claims import AccessTokenClaims
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.cli import main
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.sessions.schemas import LoginRequest, TokenSet
from support.application import quick_settings
from support.desk import PASSWORD
from support.issuer_process import environment
from support.lists import bit_in, claims_in, place_of
from support.tenants import insert_membership, insert_organization, insert_tenant

T = TypeVar("T")
PEOPLE = ("ada@example.com", "bob@example.com")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)


def act(folder: Path, work: Callable[[Issuer], Awaitable[T]]) -> T:
    """Do *work* with an issuer that runs only meanwhile."""

    async def run() -> T:
        async with Issuer(quick_settings(folder)).running() as issuer:
            return await work(issuer)

    return asyncio.run(run())


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, list[TokenSet]]:
    """Two sessions of each of two people."""

    async def begin(issuer: Issuer) -> dict[str, list[TokenSet]]:
        begun: dict[str, list[TokenSet]] = {}
        for login in PEOPLE:
            await issuer.accounts.create(UserDraft(login=login, password=PASSWORD), COMMAND_LINE)
            request = LoginRequest(login=login, password=PASSWORD)
            begun[login] = [await issuer.sessions.login(request, COMMAND_LINE) for _ in range(2)]
        return begun

    return act(tmp_path, begin)


def revoked(folder: Path, tokens: dict[str, list[TokenSet]]) -> dict[str, list[bool]]:
    async def look(issuer: Issuer) -> dict[str, list[bool]]:
        found: dict[str, list[bool]] = {}
        for login, held in tokens.items():
            places = [place_of(each.access_token) for each in held]
            documents = [await issuer.status.document(list_id) for list_id, _ in places]
            found[login] = [
                bit_in(document.token, idx) == 1
                for document, (_, idx) in zip(documents, places, strict=True)
            ]
        return found

    return act(folder, look)


def command(folder: Path, *arguments: str) -> int:
    return main(["revoke", "--data", str(folder), *arguments])


def test_a_user_is_named_in_whatever_case(
    tmp_path: Path, tokens: dict[str, list[TokenSet]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path, "--user", "ADA@example.com") == 0
    assert capsys.readouterr().out == "ended 2 sessions; services know within 10 s and a second\n"
    assert revoked(tmp_path, tokens) == {PEOPLE[0]: [True, True], PEOPLE[1]: [False, False]}


def test_one_session(
    tmp_path: Path, tokens: dict[str, list[TokenSet]], capsys: pytest.CaptureFixture[str]
) -> None:
    claims: AccessTokenClaims = claims_in(tokens[PEOPLE[0]][1].access_token, AccessTokenClaims)
    for ended in ("1 session;", "0 sessions;"):
        assert command(tmp_path, "--session", str(claims.sid)) == 0
        assert capsys.readouterr().out.startswith(f"ended {ended}")
    assert revoked(tmp_path, tokens) == {PEOPLE[0]: [False, True], PEOPLE[1]: [False, False]}


def test_everybody(
    tmp_path: Path, tokens: dict[str, list[TokenSet]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path, "--all") == 0
    assert capsys.readouterr().out.startswith("ended 4 sessions;")
    assert revoked(tmp_path, tokens) == {login: [True, True] for login in PEOPLE}


def test_who_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(tmp_path, "--user", "nobody@example.com") == 1
    assert capsys.readouterr().err.startswith("apostille-issuer: ")
    assert command(tmp_path, "--session", str(uuid.uuid4())) == 0
    assert capsys.readouterr().out.startswith("ended 0 sessions;")


@pytest.mark.parametrize(
    "arguments", [[], ["--all", "--user", "ada"], ["--session", "one"], ["--organization", "x"]]
)
def test_it_must_be_said_who(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command(tmp_path, *arguments)
    assert ended.value.code == 2


def test_an_organization_and_those_below_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def begin(issuer: Issuer) -> tuple[list[uuid.UUID], dict[str, list[TokenSet]]]:
        tenant, root = await insert_tenant(issuer)
        works = await insert_organization(issuer, tenant, "Works", root)
        draft = UserDraft(login=PEOPLE[0], password=PASSWORD)
        ada = await issuer.accounts.create(draft, COMMAND_LINE)
        begun = []
        for place in (root, works, None):
            if place is not None:
                await insert_membership(issuer, place, ada.id)
            request = LoginRequest(login=PEOPLE[0], password=PASSWORD, organization=place)
            begun.append(await issuer.sessions.login(request, COMMAND_LINE))
        return [root, works], {PEOPLE[0]: begun}

    (root, works), tokens = act(tmp_path, begin)
    assert command(tmp_path, "--organization", str(root)) == 0
    assert capsys.readouterr().out.startswith("ended 1 session;")
    assert revoked(tmp_path, tokens) == {PEOPLE[0]: [True, False, False]}
    assert command(tmp_path, "--organization", str(root), "--subtree") == 0
    assert capsys.readouterr().out.startswith("ended 1 session;")
    assert revoked(tmp_path, tokens) == {PEOPLE[0]: [True, True, False]}
    assert command(tmp_path, "--organization", str(works), "--subtree") == 0
    assert capsys.readouterr().out.startswith("ended 0 sessions;")


def test_an_organization_must_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(tmp_path, "--organization", str(uuid.uuid4())) == 1
    assert "not_found" in capsys.readouterr().err
    assert command(tmp_path, "--user", "ada@example.com", "--subtree") == 2
    assert "--organization" in capsys.readouterr().err
