"""The guide on service accounts: its commands run against a real issuer, its service verifies."""

from __future__ import annotations

import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apostille import Verifier
from apostille.errors import InvalidToken, RevokedToken
from apostille_issuer.app import create_app
from apostille_issuer.clients.secrets import FORM
from apostille_issuer.environment import VARIABLES
from apostille_issuer.settings import Settings
from support.desk import PASSWORD
from support.issuer_process import environment, running_issuer
from support.machines import make_key
from support.readme import blocks
from support.replicas import QUICK_HASHES
from support.subjects import eventually

# The guide's client signs with PyJWT, which the issuer itself does not need.
pytest.importorskip("jwt")

GUIDE = "docs/guides/service-accounts.md"
TEXT = (Path(__file__).parents[2] / GUIDE).read_text("utf-8")
ADDRESS = "http://127.0.0.1:8000"
LOGIN = "root@example.com"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    extra = {
        "APOSTILLE_BOOTSTRAP_LOGIN": LOGIN,
        "APOSTILLE_BOOTSTRAP_PASSWORD": PASSWORD,
        "APOSTILLE_STATUS_TTL": "1s",
        **QUICK_HASHES,
    }
    data = tmp_path_factory.mktemp("guide") / "data"
    with running_issuer(data, extra=extra) as process:
        yield process.url


@pytest.fixture(scope="module")
def admin(issuer: str) -> str:
    body = {"login": LOGIN, "password": PASSWORD}
    answer = httpx.post(f"{issuer}/v1/auth/login", json=body).raise_for_status()
    return str(answer.json()["access_token"])


def snippets(issuer: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in blocks(GUIDE):
        if block.language == "python":
            exec(compile(block.text.replace(ADDRESS, issuer), GUIDE, "exec"), names)
    return names


@pytest.mark.skipif(shutil.which("curl") is None, reason="the guide's commands need curl")
def test_its_commands_run_and_a_service_sees_the_revocation(issuer: str, admin: str) -> None:
    lines = [
        block.text.replace(ADDRESS, issuer) for block in blocks(GUIDE) if block.language == "sh"
    ]
    script = "\n".join(["set -euo pipefail", *lines, 'printf "\\n%s %s" "$ACCOUNT" "$TOKEN"'])
    ran = subprocess.run(
        ["bash", "-c", script],
        env=environment({"ADMIN_TOKEN": admin}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    account, token = ran.stdout.rpartition("\n")[2].split()
    assert snippets(issuer)["who"](token).startswith(f"{account} with key ")
    with Verifier(issuer, audience="apostille") as iam:
        key = iam.verify(token).session
        path = f"{issuer}/v1/service-accounts/{account}/keys/{key}"
        headers = {"Authorization": f"Bearer {admin}"}
        assert httpx.delete(path, headers=headers).status_code == 204
        refusals: list[InvalidToken] = []

        def refused() -> bool:
            try:
                iam.verify(token)
            except InvalidToken as error:
                refusals.append(error)
            return bool(refusals)

        eventually(refused)
        assert isinstance(refusals[0], RevokedToken)


def test_its_client_with_a_private_key_gets_a_token(issuer: str, admin: str) -> None:
    key, jwk = make_key()
    with httpx.Client(base_url=issuer, headers={"Authorization": f"Bearer {admin}"}) as http:
        made = http.post("/v1/service-accounts", json={"name": "Signer"}).raise_for_status()
        account = made.json()["id"]
        body = {"name": "pair", "public_jwk": jwk}
        http.post(f"/v1/service-accounts/{account}/keys", json=body).raise_for_status()
    private = key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    token = snippets(issuer)["token"](account, private, key.kid)
    with Verifier(issuer, audience="apostille") as iam:
        assert uuid.UUID(iam.verify(token).subject) == uuid.UUID(account)


def test_every_setting_is_one() -> None:
    assert set(re.findall(r"APOSTILLE_[A-Z_]+", TEXT)) <= set(VARIABLES)


def test_every_route_is_one() -> None:
    routes = {
        (method, re.sub(r":\w+", "", route.path))
        for route in create_app(Settings()).routes
        for method in getattr(route, "methods", ())
    }
    named = re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[a-z0-9/{}_-]+)`", TEXT)
    assert len(named) >= 10
    assert set(named) <= routes


def test_the_regular_expression_is_the_one() -> None:
    (shown,) = [block.text.strip() for block in blocks(GUIDE) if block.language == "text"]
    assert shown == FORM
