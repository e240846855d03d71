"""The first superuser: created once, never with a password anybody knows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.bootstrap import FirstSuperuser, _reason, ensure_superuser
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem, StartupError
from apostille_issuer.sessions.schemas import LoginRequest, TokenSet
from support.application import ROOT_LOGIN, ROOT_PASSWORD, quick_settings

pytestmark = pytest.mark.anyio

RANDOM = {"bootstrap_login": None, "bootstrap_password": None}


async def tokens(issuer: Issuer, login: str, password: str) -> TokenSet:
    return await issuer.sessions.login(LoginRequest(login=login, password=password), COMMAND_LINE)


async def test_without_settings_the_password_is_random_and_kept_nowhere(tmp_path: Path) -> None:
    made: list[str] = []
    for folder in ("one", "two"):
        async with Issuer(quick_settings(tmp_path / folder, **RANDOM)).running() as issuer:
            first = await ensure_superuser(issuer)
            assert first is not None
            assert first.login == "admin"
            assert first.password is not None
            assert len(first.password) == 24
            assert first.password not in repr(first)
            made.append(first.password)
            await issuer.sessions.login(
                LoginRequest(login="admin", password=first.password), COMMAND_LINE
            )
            assert await ensure_superuser(issuer) is None
    assert made[0] != made[1]


async def test_a_chosen_password_is_not_given_back(tmp_path: Path) -> None:
    async with Issuer(quick_settings(tmp_path)).running() as issuer:
        assert await ensure_superuser(issuer) == FirstSuperuser(ROOT_LOGIN, None)
        await issuer.sessions.login(
            LoginRequest(login=ROOT_LOGIN, password=ROOT_PASSWORD), COMMAND_LINE
        )


async def test_replicas_that_start_at_once_make_one(tmp_path: Path, database_url: str) -> None:
    if database_url.startswith("sqlite"):
        settings = quick_settings(tmp_path)
    else:
        settings = quick_settings(tmp_path, database_url)
    async with Issuer(settings).running() as one, Issuer(settings).running() as two:
        made = await asyncio.gather(ensure_superuser(one), ensure_superuser(two))
    assert [first is None for first in made].count(False) == 1


async def test_a_login_of_somebody_else_is_not_raised(tmp_path: Path) -> None:
    async with Issuer(quick_settings(tmp_path)).running() as issuer:
        await issuer.accounts.create(UserDraft(login=ROOT_LOGIN.upper()), COMMAND_LINE)
        with pytest.raises(StartupError) as refused:
            await ensure_superuser(issuer)
    assert "APOSTILLE_BOOTSTRAP_LOGIN is taken by somebody else" in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"bootstrap_password": "hunter2"}, "APOSTILLE_BOOTSTRAP_PASSWORD: "),
        ({"bootstrap_login": "a\0b"}, "APOSTILLE_BOOTSTRAP_LOGIN: "),
    ],
)
async def test_what_cannot_be_is_named_and_not_quoted(
    fields: dict[str, str], named: str, tmp_path: Path
) -> None:
    async with Issuer(quick_settings(tmp_path, **fields)).running() as issuer:
        with pytest.raises(StartupError) as refused:
            await ensure_superuser(issuer)
    assert named in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_any_other_reason_is_told_by_its_code() -> None:
    assert _reason(IssuerProblem(ProblemCode.OVERLOADED)).startswith("overloaded: ")
