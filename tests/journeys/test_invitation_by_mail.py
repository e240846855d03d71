"""A process dies while it sends an invitation: another one sends it, and its token is in no log."""

from __future__ import annotations

import re
import sqlite3
import time
from pathlib import Path

import httpx
import pytest

from support.desk import OTHER_PASSWORD, PASSWORD
from support.issuer_process import IssuerProcess, running_issuer
from support.smtp_server import MailServer, mail_server

pytestmark = pytest.mark.journey

WITHIN_SECONDS = 30


def arrived(server: MailServer, letters: int) -> None:
    until = time.monotonic() + WITHIN_SECONDS
    while len(server.letters) < letters:
        assert time.monotonic() < until, f"only {len(server.letters)} letters arrived"
        time.sleep(0.01)


def log_in(issuer: IssuerProcess, login: str, password: str, **fields: str) -> dict[str, str]:
    body = {"login": login, "password": password, **fields}
    answer = httpx.post(f"{issuer.url}/v1/auth/login", json=body).raise_for_status()
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


def invite(issuer: IssuerProcess) -> tuple[str, str]:
    """Return the organization, and the path of the invitation to it."""
    root = log_in(issuer, "root", PASSWORD)
    tenant = httpx.post(f"{issuer.url}/v1/tenants", json={"name": "Acme"}, headers=root)
    organization: str = tenant.raise_for_status().json()["root_organization_id"]
    path = f"{issuer.url}/v1/organizations/{organization}/invitations"
    body = {"email": "bob@example.org", "roles": ["staff"]}
    answer = httpx.post(path, json=body, headers=root).raise_for_status()
    return organization, answer.headers["location"]


def settled(url: str, headers: dict[str, str]) -> tuple[str, str]:
    """Return the state of an invitation, and what became of its letter."""
    until = time.monotonic() + WITHIN_SECONDS
    while (shown := httpx.get(url, headers=headers).json())["delivery"] == "waiting":
        assert time.monotonic() < until, "nobody said that the letter was sent"
        time.sleep(0.01)
    return shown["state"], shown["delivery"]


def end_the_lease(data: Path) -> None:
    """Let the time pass for which the dead process had the letter for itself."""
    with sqlite3.connect(data / "apostille.sqlite3") as database:
        database.execute("UPDATE outgoing_mail SET due_at = created_at")
    database.close()


def test_a_letter_survives_the_process_that_was_sending_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with mail_server() as server:
        extra = {
            "APOSTILLE_BOOTSTRAP_LOGIN": "root",
            "APOSTILLE_BOOTSTRAP_PASSWORD": PASSWORD,
            "APOSTILLE_MAIL_URL": f"smtp://127.0.0.1:{server.port}",
        }
        # It has the letter, and the process dies before it hears so.
        server.silent = True
        with running_issuer(data, extra=extra) as first:
            organization, path = invite(first)
            arrived(server, 1)
            first.process.kill()
            first.process.wait()
        server.silent = False
        end_the_lease(data)
        with running_issuer(data, extra=extra) as second:
            arrived(server, 2)
            one, other = (received.message for received in server.letters)
            assert one["message-id"] == other["message-id"]
            body = other.get_body(("plain",))
            assert body is not None
            (token,) = re.findall(r"#token=(apo_in_\S+)", body.get_content())
            answer = httpx.post(
                f"{second.url}/v1/invitations/accept",
                json={"token": token, "password": OTHER_PASSWORD},
            )
            assert answer.status_code == 200, answer.text
            log_in(second, "bob@example.org", OTHER_PASSWORD, organization=organization)
            root = log_in(second, "root", PASSWORD)
            assert settled(f"{second.url}{path}", root) == ("accepted", "sent")
            said = [first.log.read_text(), second.log.read_text()]
            said.append(httpx.get(f"{second.url}/v1/audit/events", headers=root).text)
    assert not [text for text in said if "apo_in_" in text]
    assert len(server.letters) == 2
