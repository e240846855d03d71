"""Every Python block of the README runs, and does what the text around it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from apostille.testing import LocalIssuer
from support.readme import blocks

SNIPPETS = [block.text for block in blocks("README.md") if block.language == "python"]
ISSUER_IN_README = "https://iam.example.com"

ASK_FASTAPI = """
from fastapi.testclient import TestClient as Client
with Client(app) as client:
    ask(lambda headers: client.get("/stock", headers=headers))
"""
ASK_FLASK = """
ask(lambda headers: app.test_client().get("/stock", headers=headers))
"""
ASK_LITESTAR = """
from litestar.testing import TestClient
with TestClient(app) as client:
    ask(lambda headers: client.get("/stock", headers=headers))
"""
ASK_DJANGO = """
import django
from django.conf import settings
settings.configure(
    APOSTILLE=APOSTILLE, INSTALLED_APPS=INSTALLED_APPS, REST_FRAMEWORK=REST_FRAMEWORK,
    ALLOWED_HOSTS=["testserver"], DATABASES={}, ROOT_URLCONF=__name__,
)
django.setup()
"""
ASK_DJANGO_VIEW = """
from django.urls import path
from django.test import Client
urlpatterns = [path("stock", StockView.as_view())]
ask(lambda headers: Client().get("/stock", headers=headers))
"""
ASK = """
import os
def ask(get):
    assert get({}).status_code == 401
    poor, rich = os.environ["POOR"], os.environ["RICH"]
    denied = get({"Authorization": "Bearer " + poor})
    assert denied.status_code == 403
    assert b"inventory.read" in (denied.content if hasattr(denied, "content") else denied.data)
    granted = get({"Authorization": "Bearer " + rich})
    assert granted.status_code == 200
"""
ASK_VERIFIER = """
import os
from apostille import PermissionDenied
handle(os.environ["RICH"])
try:
    handle(os.environ["POOR"])
except PermissionDenied as error:
    assert error.missing == ("inventory.write",)
else:
    raise SystemExit("nothing was refused")
"""


def _snippet(*marks: str) -> str:
    """Return the one snippet that contains all *marks*."""
    found = [text for text in SNIPPETS if all(mark in text for mark in marks)]
    assert len(found) == 1, marks
    return found[0]


def _run(issuer: LocalIssuer, program: str) -> None:
    environment = {
        **os.environ,
        "RICH": issuer.token(permissions=["inventory.read", "inventory.write"]),
        "POOR": issuer.token(),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program.replace(ISSUER_IN_README, issuer.issuer)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("mark", "asking"),
    [
        ("from fastapi import", ASK_FASTAPI),
        ("from flask import", ASK_FLASK),
        ("from litestar import", ASK_LITESTAR),
    ],
)
def test_a_protected_route(served_issuer: LocalIssuer, mark: str, asking: str) -> None:
    _run(served_issuer, _snippet(mark) + ASK + asking)


def test_a_protected_view_of_rest_framework(served_issuer: LocalIssuer) -> None:
    settings, view = _snippet("# settings.py"), _snippet("# views.py")
    _run(served_issuer, settings + ASK_DJANGO + view + ASK + ASK_DJANGO_VIEW)


def test_a_verifier_alone(served_issuer: LocalIssuer) -> None:
    _run(served_issuer, _snippet("def handle(token: str)") + ASK_VERIFIER)


def test_whom_a_token_speaks_for(served_issuer: LocalIssuer) -> None:
    asking = f"""
from apostille import Verifier
import os
principal = Verifier({ISSUER_IN_README!r}, audience="inventory").verify(os.environ["RICH"])
"""
    _run(served_issuer, asking + _snippet("principal.tenant, principal.organization"))


def test_an_issuer_outside_pytest(served_issuer: LocalIssuer) -> None:
    _run(served_issuer, _snippet("from apostille.testing import LocalIssuer"))


def test_the_pytest_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_snippet.py").write_text(_snippet("apostille_issuer"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_every_snippet_is_run_above() -> None:
    assert len(SNIPPETS) == 9
