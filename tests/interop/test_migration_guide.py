"""The guide's code: what was before is Python, what comes after runs and says yes and no."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from apostille.testing import LocalIssuer
from apostille_contracts.manifest import parse_manifest
from interop.running_issuer import RunningIssuer
from support.readme import blocks

GUIDE = "docs/guides/migrating.md"
SNIPPETS = [block.text for block in blocks(GUIDE) if block.language == "python"]
BEFORE = [text for text in SNIPPETS if text.startswith("# before")]
AFTER = [text for text in SNIPPETS if text.startswith("# after")]

ASK = """
import os

def ask(get):
    assert get({}).status_code == 401
    assert get({"Authorization": "Bearer " + os.environ["POOR"]}).status_code == 403
    granted = get({"Authorization": "Bearer " + os.environ["RICH"]})
    assert granted.status_code == 200
    body = granted.json() if callable(granted.json) else granted.json
    assert body == {"apples": 12, "seen_by": os.environ["SUBJECT"]}
"""
ASK_FLASK = """
ask(lambda headers: app.test_client().get("/stock", headers=headers))
assert app.test_client().get("/greeting").text == "Welcome"
rich = {"Authorization": "Bearer " + os.environ["RICH"]}
assert app.test_client().get("/greeting", headers=rich).text == "Welcome back"
"""
ASK_FASTAPI = """
from fastapi.testclient import TestClient
with TestClient(app) as client:
    ask(lambda headers: client.get("/stock", headers=headers))
"""
SET_DJANGO_UP = """
import django
from django.conf import settings
settings.configure(
    APOSTILLE=APOSTILLE, INSTALLED_APPS=INSTALLED_APPS, REST_FRAMEWORK=REST_FRAMEWORK,
    ALLOWED_HOSTS=["testserver"], DATABASES={}, ROOT_URLCONF=__name__,
)
django.setup()
"""
ASK_DJANGO = """
from django.test import Client
ask(lambda headers: Client().get("/stock", headers=headers))
"""


def _after(mark: str) -> str:
    found = [text for text in AFTER if mark in text]
    assert len(found) == 1, mark
    return found[0]


@pytest.fixture
def local() -> Iterator[LocalIssuer]:
    issuer = LocalIssuer(audience="inventory")
    with issuer.serve():
        yield issuer


def _run(issuer: LocalIssuer, program: str) -> None:
    environment = {
        **os.environ,
        "SUBJECT": "0190f5f0-0000-7000-8000-000000000001",
        "POOR": issuer.token(permissions=["inventory.write"]),
    }
    environment["RICH"] = issuer.token(
        permissions=["inventory.read"], subject=environment["SUBJECT"]
    )
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            program.replace("https://iam.example.com", issuer.issuer),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_every_snippet_is_of_one_side() -> None:
    assert (len(BEFORE), len(AFTER)) == (4, 7)
    assert len(SNIPPETS) == len(BEFORE) + len(AFTER)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.partition("\n")[0])
def test_every_snippet_is_python(snippet: str) -> None:
    compile(snippet, GUIDE, "exec", dont_inherit=True)


def test_after_simplejwt(local: LocalIssuer) -> None:
    settings, views = _after("# after: settings.py"), _after("# after: urls.py and views.py")
    _run(local, settings + SET_DJANGO_UP + views + ASK + ASK_DJANGO)


def test_after_flask_jwt_extended(local: LocalIssuer) -> None:
    _run(local, _after("optional_principal") + ASK + ASK_FLASK)


def test_after_fastapi_users(local: LocalIssuer) -> None:
    _run(local, _after("AsyncVerifier") + ASK + ASK_FASTAPI)


def test_the_manifest_is_one() -> None:
    documents = [block.text for block in blocks(GUIDE) if block.language == "toml"]
    # Before the mapping of Django's groups, which has a test of its own.
    assert parse_manifest(tomllib.loads(documents[0])).service == "inventory"


def test_accounts_move_with_their_roles(issuer: RunningIssuer) -> None:
    names: dict[str, Any] = {}
    exec(_after("move_users.py"), names)
    with httpx.Client(base_url=issuer.url, headers=issuer.administrator, trust_env=False) as client:
        people = [("17", "ada@example.com", "reader"), ("18", "bob@example.com", "keeper")]
        subjects = names["move_users"](client, people)
        assert set(subjects) == {"17", "18"}
        for old_id, login, role in people:
            subject = uuid.UUID(subjects[old_id])
            assert client.get(f"/v1/users/{subject}").json()["login"] == login
            held = client.get(f"/v1/users/{subject}/roles").json()["items"]
            assert [assignment["role"] for assignment in held] == [role]


def test_rows_get_their_owners_subject() -> None:
    names: dict[str, Any] = {}
    exec(_after("rows.py"), names)
    kept, orphan = SimpleNamespace(owner_id=17), SimpleNamespace(owner_id=99)
    assert names["rewrite_owners"]([kept, orphan], {"17": "a subject"}) == [orphan]
    assert kept.owner == "a subject"


def test_the_test_passes(tmp_path: Path) -> None:
    (tmp_path / "test_stock.py").write_text(_after("test_stock.py"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
