"""System roles that an installation adds by a file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from apostille.clock import ManualClock
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.configured_roles import ConfiguredRoles, read_configured_roles
from apostille_issuer.access.schemas import RoleDraft, RolePatch
from apostille_issuer.cli import main
from apostille_issuer.db.engine import Database
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import StartupError
from support.application import quick_settings
from support.policy import Office, context, refused
from support.readme import blocks

pytestmark = pytest.mark.anyio

AUDITOR = """
[roles.auditor]
description = "Reads everything"
allow = ["iam.audit.read", "inventory.*"]
deny = ["inventory.write"]
inherited = true

[roles.greeter]
"""


@pytest.fixture
async def office(database: Database, clock: ManualClock) -> Office:
    return await Office(database, clock).open()


def configured(*drafts: RoleDraft, released: tuple[str, ...] = ()) -> ConfiguredRoles:
    return ConfiguredRoles(drafts, released)


def written(folder: Path, text: str, name: str = "roles.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", ["toml", "json"])
def test_the_file_is_toml_or_json(tmp_path: Path, kind: str) -> None:
    text = AUDITOR
    if kind == "json":
        auditor = {
            "description": "Reads everything",
            "allow": ["iam.audit.read", "inventory.*"],
            "deny": ["inventory.write"],
            "inherited": True,
        }
        text = json.dumps({"roles": {"auditor": auditor, "greeter": {}}})
    found = read_configured_roles(written(tmp_path, text, f"roles.{kind}"))
    assert found.roles == (
        RoleDraft(
            name="auditor",
            description="Reads everything",
            allow=("iam.audit.read", "inventory.*"),
            deny=("inventory.write",),
            inherited=True,
        ),
        RoleDraft(name="greeter"),
    )
    assert found.released == ()


BAD_FILES: list[tuple[str, str, str]] = [
    ("roles.toml", "[roles.x", "Expected ']' at the end of a table declaration"),
    ("roles.toml", "[rules.x]", "unknown field `rules`"),
    ("roles.toml", "[roles.x]\ngrants = []", "unknown field `grants` - at `$.roles[...]`"),
    ("roles.json", '{"roles": []}', "Expected `object`, got `array` - at `$.roles`"),
    ("roles.json", "{", "Input data was truncated"),
    ("roles.toml", "[roles.superuser]", "roles.superuser: is the issuer's own"),
    ("roles.toml", "[roles.X]", "roles.X: name: 1 to 63 characters"),
    ("roles.toml", '[roles.x]\nallow = ["*"]', "roles.x: allow[0]: '*' belongs to"),
    ("roles.toml", '[roles.x]\ndeny = ["a"]', "roles.x: deny[0]: "),
    ("roles.toml", '[roles.x]\ndescription = "a\\nb"', "roles.x: description: one line"),
    ("roles.toml", 'released = ["x"]\n[roles.x]', "released: 'x' is a system role"),
    ("roles.toml", 'released = ["admin"]', "released: 'admin' is a system role"),
]


@pytest.mark.parametrize(("name", "text", "complaint"), BAD_FILES)
def test_a_bad_file_is_refused_in_one_line(
    tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    with pytest.raises(StartupError) as error:
        read_configured_roles(written(tmp_path, text, name))
    message = str(error.value)
    assert message.startswith("APOSTILLE_SYSTEM_ROLES_FILE: ")
    assert complaint in message
    assert "\n" not in message


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"cannot read .*absent\.toml: No such file"):
        read_configured_roles(tmp_path / "absent.toml")
    path = tmp_path / "roles.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(StartupError, match="codec can't decode"):
        read_configured_roles(path)
    path.write_bytes(b"#" * 1_048_577)
    with pytest.raises(StartupError, match="longer than 1,048,576 bytes"):
        read_configured_roles(path)


async def test_the_roles_are_there_and_protected(office: Office, tmp_path: Path) -> None:
    found = read_configured_roles(written(tmp_path, AUDITOR))
    for _ in range(2):
        await office.access.seed(found)
    auditor = await office.access.roles.get("auditor")
    assert (auditor.system, auditor.inherited) == (True, True)
    assert (auditor.allow, auditor.deny) == (
        ("iam.audit.read", "inventory.*"),
        ("inventory.write",),
    )
    with refused(ProblemCode.PROTECTED):
        await office.access.roles.delete("auditor", office.superuser)
    with refused(ProblemCode.PROTECTED):
        patch = RolePatch(description="Mine")
        await office.access.roles.update("auditor", patch, office.superuser)
    events = await office.events(target="role:auditor", outcome="success")
    assert [event.tag for event in events] == ["access:role:created"]
    assert events[0].actor_id is None


async def test_replicas_that_start_at_once_agree(
    office: Office, database_url: str, clock: ManualClock
) -> None:
    databases = [Database(database_url) for _ in range(3)]
    offices = [Office(database, clock) for database in databases]
    roles = configured(RoleDraft(name="auditor", allow=("iam.audit.read",)))
    await asyncio.gather(*(each.access.seed(roles) for each in offices))
    assert len(await office.events(target="role:auditor")) == 1
    for database in databases:
        await database.close()


async def test_to_change_one_is_to_change_the_file(office: Office) -> None:
    await office.register()
    first = RoleDraft(name="auditor", allow=("inventory.*",), description="Old")
    await office.access.seed(configured(first))
    ada = await office.user("ada", "auditor")
    assert await office.permissions(ada, "inventory") == ("inventory.*",)
    second = RoleDraft(name="auditor", allow=("inventory.read",), inherited=True)
    for _ in range(2):
        await office.access.seed(configured(second))
    assert await office.permissions(ada, "inventory") == ("inventory.read",)
    updated, created = await office.events(target="role:auditor")
    assert (updated.tag, updated.before) == ("access:role:updated", created.after)
    third = RoleDraft(name="auditor", allow=("inventory.read",))
    await office.access.seed(configured(third))
    await office.access.seed()
    role = await office.access.roles.get("auditor")
    assert (role.inherited, role.system) == (False, True)


async def test_what_is_released_is_a_custom_role(office: Office) -> None:
    await office.access.seed(configured(RoleDraft(name="auditor")))
    for _ in range(2):
        await office.access.seed(configured(released=("auditor", "never-there")))
    assert not (await office.access.roles.get("auditor")).system
    (released, _) = await office.events(target="role:auditor")
    assert (released.before, released.after) == ({"system": True}, {"system": False})
    # It is somebody's own from now on.
    with pytest.raises(StartupError, match=r"roles\.auditor: name: there is a role of this name"):
        await office.access.seed(configured(RoleDraft(name="auditor")))
    await office.access.roles.delete("auditor", office.superuser)


async def test_a_role_that_is_somebodys_own_is_not_taken_over(office: Office) -> None:
    await office.role("auditor", "iam.audit.read")
    with pytest.raises(StartupError, match=r"roles\.auditor: name: there is a role of this name"):
        await office.access.seed(configured(RoleDraft(name="auditor")))


async def test_a_superuser_is_denied_nothing_by_configuration(office: Office) -> None:
    await office.access.seed(configured(RoleDraft(name="auditor")))
    boss = office.superuser.actor_id
    assert boss is not None
    await office.access.assignments.assign(boss, "auditor", context(boss))
    denying = RoleDraft(name="auditor", deny=("inventory.write",))
    with pytest.raises(StartupError, match=r"roles\.auditor: deny: a superuser holds no role"):
        await office.access.seed(configured(denying))
    assert (await office.access.roles.get("auditor")).deny == ()


async def test_an_issuer_starts_with_them(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"system_roles_file": written(tmp_path, AUDITOR)}
    async with Issuer(quick_settings(tmp_path, **fields)).running() as issuer:
        assert (await issuer.access.roles.get("greeter")).system


def test_a_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "[roles.superuser]")
    monkeypatch.setenv("APOSTILLE_SYSTEM_ROLES_FILE", str(path))
    assert main(["keys", "list", "--data", str(tmp_path / "data")]) == 1
    assert capsys.readouterr().err == (
        "apostille-issuer: APOSTILLE_SYSTEM_ROLES_FILE: roles.superuser: is the issuer's own\n"
    )


def test_the_file_of_the_guide_is_one(tmp_path: Path) -> None:
    (text,) = (
        block.text
        for block in blocks("docs/guides/tenants.md")
        if block.language == "toml" and "[roles." in block.text
    )
    (auditor,) = read_configured_roles(written(tmp_path, text)).roles
    assert (auditor.name, auditor.inherited) == ("auditor", True)
