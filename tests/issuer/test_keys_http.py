"""Keys over HTTP and on the command line, against a running issuer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from apostille_contracts.problems import ProblemCode
from apostille_issuer.cli import main
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem
from support.desk import Desk, bearer, open_desk, problem_of, settings_for
from support.issuer_process import environment

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "encrypted_private", "private"}


@pytest.fixture
def own_desk(database_url: str) -> Iterator[Desk]:
    """An issuer whose keys nobody else moves."""
    with open_desk(database_url) as opened:
        yield opened


def keys_of(desk: Desk, **states: str) -> list[dict[str, Any]]:
    answer = desk.as_root("GET", "/v1/keys", params={"limit": 200})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return [key for key in items if key["state"] in states.values()] if states else items


def published(desk: Desk) -> set[str]:
    return {key["kid"] for key in desk.http.get("/.well-known/jwks.json").json()["keys"]}


def test_administrators_see_public_parts_alone(own_desk: Desk) -> None:
    keys = keys_of(own_desk)
    assert sorted(key["state"] for key in keys) == ["active", "next"]
    for key in keys:
        assert PRIVATE.isdisjoint(key)
        assert PRIVATE.isdisjoint(key["public_jwk"])
        assert own_desk.as_root("GET", f"/v1/keys/{key['kid']}").json() == key
    assert published(own_desk) == {key["kid"] for key in keys}
    assert problem_of(own_desk.as_root("GET", "/v1/keys/never"), 404) == "not_found"


def test_a_key_is_rotated_and_the_document_changes_its_tag(own_desk: Desk) -> None:
    before = own_desk.http.get("/.well-known/jwks.json")
    own_desk.clock.advance(timedelta(minutes=11))
    answer = own_desk.as_root("POST", "/v1/keys/rotate", json={})
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "active"
    (retiring,) = keys_of(own_desk, state="retiring")
    assert retiring["kid"] in published(own_desk)
    assert len(published(own_desk)) == 3
    tag = {"if-none-match": before.headers["etag"]}
    assert own_desk.http.get("/.well-known/jwks.json", headers=tag).status_code == 200
    (event,) = own_desk.events(tag="keys:key:rotated")
    assert event["actor_id"] is not None
    assert event["target"] == f"key:{answer.json()['kid']}"


def test_tokens_from_before_a_rotation_stay_good_here(own_desk: Desk) -> None:
    own_desk.clock.advance(timedelta(minutes=11))
    token = bearer(own_desk.tokens("root@example.com"))
    assert own_desk.http.get("/v1/me", headers=token).status_code == 200
    assert own_desk.as_root("POST", "/v1/keys/rotate", json={}).status_code == 200
    assert own_desk.http.get("/v1/me", headers=token).status_code == 200


def test_a_withdrawn_key_s_tokens_are_refused_and_the_session_goes_on(own_desk: Desk) -> None:
    (active,) = keys_of(own_desk, state="active")
    tokens = own_desk.tokens("root@example.com")
    assert own_desk.http.get("/v1/me", headers=bearer(tokens)).status_code == 200
    answer = own_desk.as_root("POST", f"/v1/keys/{active['kid']}/withdraw")
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "retired"
    assert active["kid"] not in published(own_desk)
    # At once, although the token was verified before.
    refused = own_desk.http.get("/v1/me", headers=bearer(tokens))
    assert problem_of(refused, 401) == "unknown_key"
    renewed = own_desk.renewed(tokens["refresh_token"])
    assert own_desk.http.get("/v1/me", headers=bearer(renewed)).status_code == 200


def test_a_refresh_secret_is_rotated_under_a_living_session(own_desk: Desk) -> None:
    tokens = own_desk.tokens("root@example.com")
    keys = own_desk.issuer.key_administration
    version = own_desk.run(keys.rotate_secret(COMMAND_LINE))
    assert version == 2
    own_desk.clock.advance(timedelta(minutes=1))
    own_desk.run(own_desk.issuer.keys.tend())
    renewed = own_desk.renewed(tokens["refresh_token"])
    # What the new secret made: good, and it is not what the old one would have made.
    again = own_desk.renewed(renewed["refresh_token"])
    own_desk.run(keys.withdraw_secret(1, COMMAND_LINE))
    assert own_desk.refresh(again["refresh_token"]).status_code == 200
    assert problem_of(own_desk.refresh(tokens["refresh_token"]), 401) == "invalid_refresh_token"


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        ({"algorithm": "RS256"}, "validation_failed", 422),
        ({"algorithm": "HS256"}, "validation_failed", 422),
        ({"algorithms": "ES256"}, "validation_failed", 422),
    ],
)
def test_what_cannot_be_rotated_is_said(
    desk: Desk, body: dict[str, str], code: str, status: int
) -> None:
    assert problem_of(desk.as_root("POST", "/v1/keys/rotate", json=body), status) == code


@pytest.mark.parametrize("kid", ["never", "A" * 43, "%00", "%00" * 43, "é", "A" * 43 + "%0A"])
def test_a_key_that_never_was_is_not_found(desk: Desk, kid: str) -> None:
    answers: list[httpx.Response] = [
        desk.as_root("GET", f"/v1/keys/{kid}"),
        desk.as_root("POST", f"/v1/keys/{kid}/withdraw"),
    ]
    assert [problem_of(answer, 404) for answer in answers] == ["not_found"] * 2


def test_who_wants_nothing_that_was_kept_gets_what_the_database_says(
    own_desk: Desk, database_url: str
) -> None:
    (active,) = keys_of(own_desk, state="active")

    async def withdraw_elsewhere() -> None:
        async with Issuer(settings_for(database_url), clock=own_desk.clock.now).running() as other:
            await other.keys.tools.rotation.withdraw(active["kid"], COMMAND_LINE)

    own_desk.run(withdraw_elsewhere())
    document = own_desk.http.get("/.well-known/jwks.json", headers={"cache-control": "no-cache"})
    assert active["kid"] not in {key["kid"] for key in document.json()["keys"]}
    assert document.headers["cache-control"] == "public, max-age=300"
    tag = {"if-none-match": document.headers["etag"], "cache-control": "No-Cache"}
    assert own_desk.http.get("/.well-known/jwks.json", headers=tag).status_code == 304


def test_keys_are_published_from_memory_while_there_is_no_database(
    own_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = own_desk.http.get("/.well-known/jwks.json")

    async def away() -> None:
        raise IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE)

    monkeypatch.setattr(own_desk.issuer.keys, "catch_up", away)
    asked = own_desk.http.get("/.well-known/jwks.json", headers={"cache-control": "no-cache"})
    assert (asked.status_code, asked.content) == (200, before.content)


# The command line.


class Terminal:
    """Runs commands on one data folder, and returns what they print."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data = data
        self._capsys = capsys

    def run(self, *arguments: str, status: int = 0) -> list[str]:
        assert main(["keys", arguments[0], "--data", str(self.data), *arguments[1:]]) == status
        out, err = self._capsys.readouterr()
        assert bool(err) == bool(status), err
        return (err if status else out).splitlines()

    def kid(self, state: str) -> str:
        (line,) = [line for line in self.run("list") if f" {state} " in line]
        return line.split()[0]


@pytest.fixture
def terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("APOSTILLE_JWKS_MAX_AGE", "1s")
    monkeypatch.setenv("APOSTILLE_VERIFIER_FRESHNESS", "1s")
    monkeypatch.setenv("APOSTILLE_KEY_CHECK_INTERVAL", "100ms")
    return Terminal(tmp_path / "data", capsys)


def test_keys_are_listed(terminal: Terminal) -> None:
    upcoming, active, secret = sorted(terminal.run("list"), key=lambda line: "next" not in line)
    assert "signs from 20" in upcoming
    assert "signs since 20" in active
    assert secret.startswith("refresh secret 1: makes tokens, made 20")


def test_keys_are_listed_for_programs(terminal: Terminal) -> None:
    lines = terminal.run("list", "--json")
    assert len(lines) == 2
    for line in lines:
        assert line.startswith('{"kid":"')
        assert '"d":' not in line


def test_a_rotation_is_planned_or_done(terminal: Terminal) -> None:
    upcoming = terminal.kid("next")
    (line,) = terminal.run("rotate")
    assert line.startswith(f"{upcoming} signs ")
    assert terminal.run("rotate", "--refresh-secret") == [
        "refresh secret 2 makes tokens within seconds"
    ]
    assert any(line.startswith("refresh secret 2: ") for line in terminal.run("list"))


def test_a_key_is_withdrawn(terminal: Terminal) -> None:
    active, upcoming = terminal.kid("active"), terminal.kid("next")
    # A key id may begin with a dash.
    assert terminal.run("withdraw", "--", active) == [
        f"{active} is withdrawn",
        f"{upcoming} signs",
        "the access tokens of 0 sessions are void; services know within 10 s and a second",
    ]
    assert not any(active in line for line in terminal.run("list"))
    assert any(active in line for line in terminal.run("list", "--retired"))


def test_a_refresh_secret_is_withdrawn(terminal: Terminal) -> None:
    assert terminal.run("withdraw", "--refresh-secret", "1") == ["refresh secret 1 is withdrawn"]


def test_one_thing_is_withdrawn_at_a_time(terminal: Terminal) -> None:
    for arguments in ([], ["kid", "--refresh-secret", "1"]):
        (line,) = terminal.run("withdraw", *arguments, status=2)
        assert "name either a KID or --refresh-secret VERSION" in line
    (line,) = terminal.run("withdraw", "never", status=1)
    assert "not_found" in line


def test_a_new_line_in_the_key_file_and_rewrap_replace_the_key_encryption_key(
    terminal: Terminal,
) -> None:
    active = terminal.kid("active")
    file = terminal.data / "key-encryption.key"
    old = file.read_text()
    new = "A" * 43 + "=\n"
    file.write_text(new + old)
    assert terminal.run("rewrap") == ["encrypted anew: 2 keys, 1 secrets"]
    file.write_text(new)
    assert terminal.kid("active") == active
    file.write_text(old)
    (line,) = terminal.run("list", status=1)
    assert "the key-encryption key is not the one" in line
