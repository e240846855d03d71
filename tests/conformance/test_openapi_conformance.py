"""Schemathesis asks every operation of the OpenAPI document for what it promises.

No request, however odd, is answered by a server error or in a way that the
document does not mention, and every example in it is accepted. The issuer is a
real process; who asks is its superuser, and for what would end his own session
somebody who has nothing to lose.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from support.issuer_process import IssuerProcess, running_issuer

pytestmark = pytest.mark.conformance

ROOT, NOBODY = "root@example.com", "nobody@example.com"
PASSWORD = "correct horse battery staple"

CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance"),
)
EXAMPLES = os.environ.get("APOSTILLE_CONFORMANCE_EXAMPLES", "25")
"""Odd requests for each operation, besides the documented examples and all edges of the schema."""

SUICIDAL = r"^/v1/(me($|/)|auth/)"
"""What would end the session that asks, or its account."""

FATAL = r"^/v1/keys/"
"""What would end everybody's: a key that is withdrawn."""


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerProcess]:
    settings = {
        "APOSTILLE_BOOTSTRAP_LOGIN": ROOT,
        "APOSTILLE_BOOTSTRAP_PASSWORD": PASSWORD,
        "APOSTILLE_ACCESS_TOKEN_LIFETIME": "1h",
        "APOSTILLE_ARGON2_MEMORY_KIB": "7168",
        "APOSTILLE_ARGON2_TIME_COST": "1",
        "APOSTILLE_LOGIN_LIMIT_PER_ADDRESS": "1000000/1m",
    }
    with running_issuer(tmp_path_factory.mktemp("issuer") / "data", extra=settings) as running:
        yield running


def token(issuer: IssuerProcess, login: str) -> str:
    body = {"login": login, "password": PASSWORD}
    answer = httpx.post(f"{issuer.url}/v1/auth/login", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def customer(issuer: IssuerProcess) -> dict[str, str]:
    """Make a tenant with one of everything, and return what names each in a path."""
    headers = {"Authorization": f"Bearer {token(issuer, ROOT)}"}
    # Nothing that Schemathesis may have thought of before.
    tag = f"t{uuid.uuid4().hex}"
    with httpx.Client(base_url=issuer.url, headers=headers) as client:

        def made(path: str, **body: object) -> dict[str, str]:
            answer = client.post(path, json=body)
            assert answer.status_code == 201, answer.text
            found: dict[str, str] = answer.json()
            return found

        tenant = made("/v1/tenants", name=tag)["id"]
        listed = client.get("/v1/organizations", params={"tenant_id": tenant}).json()
        root = listed["items"][0]["id"]
        here = made("/v1/organizations", parent_id=root, name=f"{tag} Works")["id"]
        user = made("/v1/users", login=f"{tag}@example.com", password=PASSWORD)["id"]
        role = made(f"/v1/organizations/{here}/roles", name=tag, allow=["iam.users.read"])
        made(f"/v1/organizations/{here}/members", user_id=user, roles=[tag])
        invitation = made(
            f"/v1/organizations/{here}/invitations", email=f"new-{tag}@example.com", roles=[tag]
        )
        account = made("/v1/service-accounts", name="job", organization_id=here)["id"]
        key = made(f"/v1/service-accounts/{account}/keys", name="first")
        domain = made(f"/v1/tenants/{tenant}/domains", host=f"{tag}.example")
    return {
        "tenant_id": tenant,
        "organization_id": here,
        "user_id": user,
        "role": role["name"],
        "invitation_id": invitation["id"],
        "account_id": account,
        "key_id": key["id"],
        "domain_id": domain["id"],
        "name": "iam.users.read",
        "service": "apostille",
    }


def ask(
    issuer: IssuerProcess,
    access_token: str,
    tmp_path: Path,
    *which: str,
    ids: Mapping[str, str] | None = None,
) -> None:
    """Run Schemathesis; it prints what is wrong, and how to ask the same by curl.

    Of the document as it is but for "any other problem", by which every status
    would be documented.
    """
    described = httpx.get(f"{issuer.url}/openapi.json").json()
    for path in described["paths"].values():
        for operation in path.values():
            del operation["responses"]["default"]
    config = tmp_path / "schemathesis.toml"
    named = (f'"path.{name}" = "{value}"' for name, value in (ids or {}).items())
    config.write_text("\n".join(("[parameters]", *named)))
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(described))
    program = Path(sys.executable).with_name("st")
    run = subprocess.run(
        [
            *(str(program), "--config-file", str(config)),
            *("run", str(document), "--url", issuer.url),
            *("--header", f"Authorization: Bearer {access_token}"),
            *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"),
            *("--max-examples", EXAMPLES, "--seed", "1", "--generation-database", "none"),
            *("--continue-on-failure", "--no-color", "--suppress-health-check", "all"),
            *which,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    tested = re.search(r"Operations:\s+(\d+) selected", run.stdout)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:] + issuer.log.read_text()
    assert tested, run.stdout
    assert int(tested[1]) > 0


def test_whatever_administrators_ask(issuer: IssuerProcess, tmp_path: Path) -> None:
    """First of what is not there, then of what is; deleting comes last, for it ends that."""
    which = ("--exclude-path-regex", f"{SUICIDAL}|{FATAL}")
    ask(issuer, token(issuer, ROOT), tmp_path, *which)
    ids, deleting = customer(issuer), ("--exclude-method", "DELETE")
    ask(issuer, token(issuer, ROOT), tmp_path, *which, *deleting, ids=ids)
    ask(issuer, token(issuer, ROOT), tmp_path, *which, "--include-method", "DELETE", ids=ids)
    ask(issuer, token(issuer, ROOT), tmp_path, "--include-path-regex", FATAL)


def test_whatever_people_ask_for_themselves(issuer: IssuerProcess, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {token(issuer, ROOT)}"}
    body = {"login": NOBODY, "password": PASSWORD}
    created = httpx.post(f"{issuer.url}/v1/users", json=body, headers=headers)
    assert created.status_code == 201, created.text
    ask(issuer, token(issuer, NOBODY), tmp_path, "--include-path-regex", SUICIDAL)
