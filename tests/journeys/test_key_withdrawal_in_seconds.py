"""A thief has the private key: how soon is it worth nothing, at every service?"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from apostille import Verifier
from apostille_issuer.db.engine import Database
from apostille_issuer.environment import read_environment
from apostille_issuer.keys.models import SigningKey
from apostille_issuer.keys.signers import LocalSigner, TokenSigner
from apostille_issuer.keys.store import key_purpose
from apostille_issuer.settings import Settings
from apostille_issuer.storage import database_url, key_encryption_keys
from support.desk import PASSWORD, bearer
from support.issuer_process import environment as without_ours
from support.lists import claims_in, header_of
from support.replicas import LOGIN, QUICK_HASHES, Replica, replicated
from support.watching import watching

pytestmark = pytest.mark.journey

SERVICES = 4
TTL_SECONDS = 2
UNUSED_PLACE = 77_777
"""Which nobody is given in this test, and nobody revokes."""


class Scene:
    """Two processes that serve one issuer, and the folder of its operator."""

    def __init__(self, replicas: tuple[Replica, ...], data: Path) -> None:
        self.replicas = replicas
        self.url = replicas[0].url
        self.data = data
        environment = read_environment(replicas[0].environment)
        self._settings = Settings(**{**environment, "data": data})

    async def _row(self, kid: str) -> SigningKey:
        database = Database(database_url(self._settings))
        try:
            async with database.read() as session:
                row = await session.get(SigningKey, kid)
                assert row is not None
                return row
        finally:
            await database.close()

    def steal(self, kid: str) -> TokenSigner:
        """Return what signs as the issuer does."""
        row = asyncio.run(self._row(kid))
        keys = key_encryption_keys(self._settings)
        private = keys.open(row.encrypted_private, key_purpose(kid), key_id=row.kek_id)
        return TokenSigner(LocalSigner(kid, "ES256", private))

    def withdrawn_at(self, kid: str) -> datetime:
        """Return when the key was withdrawn, by the database."""
        row = asyncio.run(self._row(kid))
        assert row.expires_at is not None
        return row.expires_at

    def withdraw(self, kid: str) -> list[str]:
        """Do what the guide says, and return what is said."""
        command = ["apostille_issuer", "keys", "withdraw", "--data", str(self.data), "--", kid]
        done = subprocess.run(
            [sys.executable, "-m", *command],
            env=without_ours(self.replicas[0].environment),
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.splitlines()


@pytest.fixture(params=["sqlite", "postgresql"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    settings = {**QUICK_HASHES, "APOSTILLE_STATUS_TTL": f"{TTL_SECONDS}s"}
    with replicated(request.param, tmp_path, settings=settings) as replicas:
        yield Scene(tuple(replicas), tmp_path)


def forged(signer: TokenSigner, token: str, place: int | None) -> str:
    """Return what the thief makes of *token*: his for longer, at a place of its own, or at none."""
    claims: dict[str, Any] = claims_in(token)
    claims["jti"] = claims["sid"] = str(uuid.uuid4())
    claims["exp"] += 3_000
    if place is None:
        del claims["status"]
    else:
        claims["status"]["status_list"]["idx"] = place
    return asyncio.run(signer.sign(msgspec.json.encode(claims), "at+jwt"))


def told(process: subprocess.Popen[str], tokens: list[str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    # Services that start together would ask together, and wait alike.
    time.sleep(random.uniform(0, TTL_SECONDS))
    process.stdin.write(" ".join(tokens) + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def reports(process: subprocess.Popen[str], number: int) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(number)]


def test_a_stolen_key_is_worth_nothing_within_the_ttl_and_a_second(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        first, second = [
            stack.enter_context(
                closing(httpx.Client(base_url=replica.url, timeout=60, trust_env=False))
            )
            for replica in scene.replicas
        ]
        login = {"login": LOGIN, "password": PASSWORD}
        session = first.post("/v1/auth/login", json=login).json()
        token = session["access_token"]
        kid = header_of(token)["kid"]
        thief = scene.steal(kid)
        tokens = [token, forged(thief, token, UNUSED_PLACE), forged(thief, token, None)]
        for client in (first, second):
            for each in tokens:
                mine = client.get("/v1/me", headers={"authorization": f"Bearer {each}"})
                assert mine.status_code == 200, mine.text
        services = [stack.enter_context(watching(scene.url)) for _ in range(SERVICES)]
        threads = stack.enter_context(ThreadPoolExecutor(SERVICES))
        assert {*threads.map(lambda each: told(each, tokens), services)} == {"accepted"}
        heard = [threads.submit(reports, each, len(tokens)) for each in services]
        withdrawn, signs, said = scene.withdraw(kid)
        found = [report for future in heard for report in future.result()]
        assert withdrawn == f"{kid} is withdrawn"
        assert said.startswith("the access tokens of 1 session are void; ")
        at = scene.withdrawn_at(kid).timestamp()
        latencies = sorted(report["at"] - at for report in found)
        with capsys.disabled():
            print(f"\nttl {TTL_SECONDS} s: refused after {latencies}")  # noqa: T201 - a measure
        assert len(latencies) == SERVICES * len(tokens)
        assert latencies[-1] <= TTL_SECONDS + 1
        assert {report["code"] for report in found} <= {"unknown_key", "revoked_token"}
        # The forged ones stand where nobody was revoked: it was the key.
        assert {each["code"] for each in found if each["place"] > 0} == {"unknown_key"}
        for client in (first, second):
            for each in tokens:
                mine = client.get("/v1/me", headers={"authorization": f"Bearer {each}"})
                assert mine.status_code == 401, mine.text
        # Nobody had to log in again.
        body = {"refresh_token": session["refresh_token"]}
        renewed = second.post("/v1/auth/refresh", json=body).json()
        assert header_of(renewed["access_token"])["kid"] == signs.split()[0] != kid
        with Verifier(scene.url, audience="apostille") as verifier:
            assert verifier.verify(renewed["access_token"]).subject
        assert told(services[0], [renewed["access_token"]]) == "accepted"
        mine = first.get("/v1/me", headers=bearer(renewed))
        assert mine.status_code == 200, mine.text
        services[0].kill()  # which waits for an end that does not come
