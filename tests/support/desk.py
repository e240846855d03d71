"""An issuer over real HTTP, with its superuser at the desk and a clock that tests turn."""

from __future__ import annotations

import asyncio
import base64
import threading
import uuid
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import httpx
import uvicorn
from msgspec import Struct

from apostille import StaticKeys, Verifier
from apostille.clock import ManualClock
from apostille.status import UnsafeNoStatus
from apostille_contracts.claims import AccessTokenClaims
from apostille_issuer.app import create_app
from apostille_issuer.issuer import Issuer
from apostille_issuer.keys.pairs import KeySource
from apostille_issuer.settings import RateLimit, Settings

__all__ = [
    "OTHER_PASSWORD",
    "PASSWORD",
    "Desk",
    "Person",
    "open_desk",
    "problem_of",
    "settings_for",
]

T = TypeVar("T")

PASSWORD = "correct horse battery staple"
OTHER_PASSWORD = "eleven walnuts in a tin drum"
ROOT = "root@example.com"

_numbers = count(1)


class Person(Struct, frozen=True):
    """Somebody with an account."""

    id: uuid.UUID
    login: str
    password: str


class Desk:
    """Everything a test does with a running issuer, over HTTP."""

    def __init__(self, issuer: Issuer, url: str, clock: ManualClock) -> None:
        self.issuer = issuer
        self.url = url
        self.clock = clock
        self.loop: asyncio.AbstractEventLoop | None = None
        self.http = httpx.Client(base_url=url, timeout=30)
        self._root_tokens: dict[str, Any] = {}
        self._root_until = clock.now()

    # Acts of the superuser.

    def root(self) -> dict[str, str]:
        """Return the headers of a request by the superuser."""
        if self.clock.now() >= self._root_until:
            self._root_tokens = self.tokens(ROOT)
            self._root_until = self.clock.now() + timedelta(minutes=9)
        return bearer(self._root_tokens)

    def leave_one_superuser(self) -> None:
        """Take the role away from all others who have it: other tests may have left some."""
        me = self.as_root("GET", "/v1/me").json()["id"]
        holders = self.as_root("GET", "/v1/roles/superuser/members", params={"limit": 200})
        assert holders.status_code == 200, holders.text
        for user_id in {held["user_id"] for held in holders.json()["items"]} - {me}:
            path = f"/v1/users/{user_id}/roles/superuser"
            assert self.as_root("DELETE", path).status_code == 204

    def forget_root(self) -> None:
        """Log the superuser in anew when he is needed next."""
        self._root_until = self.clock.now()

    def hire(
        self, *roles: str, login: str | None = None, password: str | None = PASSWORD
    ) -> Person:
        """Create a user who holds *roles*; his login name is unique."""
        name = login or f"person{next(_numbers)}@example.com"
        body = {"login": name} | ({} if password is None else {"password": password})
        answer = self.http.post("/v1/users", json=body, headers=self.root())
        assert answer.status_code == 201, answer.text
        person = Person(uuid.UUID(answer.json()["id"]), name, password or "")
        for role in roles:
            path = f"/v1/users/{person.id}/roles/{role}"
            assert self.http.put(path, headers=self.root()).status_code == 204
        return person

    def as_root(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Make a request as the superuser."""
        return self.http.request(method, path, headers=self.root(), **options)

    def events(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return audit events, newest first."""
        answer = self.as_root("GET", "/v1/audit/events", params={"limit": 200, **wanted})
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    # Acts of anybody.

    def login(self, login: str, password: str = PASSWORD, **fields: Any) -> httpx.Response:
        """Try to log in."""
        body = {"login": login, "password": password, **fields}
        return self.http.post("/v1/auth/login", json=body)

    def tokens(self, login: str, password: str = PASSWORD, **fields: Any) -> dict[str, Any]:
        """Log in and return the answer."""
        answer = self.login(login, password, **fields)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def refresh(self, refresh_token: str) -> httpx.Response:
        """Try to use up a refresh token."""
        return self.http.post("/v1/auth/refresh", json={"refresh_token": refresh_token})

    def renewed(self, refresh_token: str) -> dict[str, Any]:
        """Use up a refresh token and return the answer."""
        answer = self.refresh(refresh_token)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def claims(self, tokens: dict[str, Any], audience: str = "apostille") -> AccessTokenClaims:
        """Verify the access token as a service would and return its claims."""
        jwks = self.http.get("/.well-known/jwks.json").content
        with Verifier(
            self.issuer.settings.issuer_url,
            audience=audience,
            keys=StaticKeys(jwks),
            # Its lists are not at the address that tokens name.
            status=UnsafeNoStatus(),
            clock=self.clock,
        ) as verifier:
            return verifier.verify(tokens["access_token"]).claims

    # Time, and what HTTP cannot reach.

    def wait(self, step: timedelta) -> None:
        """Let time pass."""
        self.clock.advance(step)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* on the issuer's own event loop."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    """Return the header that carries the access token."""
    return {"authorization": f"Bearer {tokens['access_token']}"}


def problem_of(answer: httpx.Response, status: int) -> str:
    """Return the code of an error answer, which must have *status*."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    code: str = body["code"]
    return code


def settings_for(database_url: str, **changes: Any) -> Settings:
    """Return settings for tests: hashing at the least cost allowed, no limits in the way."""
    defaults: dict[str, Any] = {
        "database_url": database_url,
        "key_encryption_key": base64.b64encode(bytes(32)).decode(),
        "bootstrap_login": ROOT,
        "bootstrap_password": PASSWORD,
        "argon2_memory_kib": 7_168,
        "argon2_time_cost": 1,
        "login_limit_per_account": RateLimit(1_000, timedelta(minutes=1)),
        "login_limit_per_address": RateLimit(10_000, timedelta(minutes=1)),
        "client_limit_per_key": RateLimit(1_000, timedelta(minutes=1)),
        "client_limit_per_address": RateLimit(10_000, timedelta(minutes=1)),
    }
    return Settings(**(defaults | changes))


@contextmanager
def open_desk(database_url: str, **changes: Any) -> Iterator[Desk]:
    """Serve an issuer on a migrated database for as long as the block runs.

    *changes* are settings, and ``key_source`` as for :func:`create_app`.
    """
    key_source = changes.pop("key_source", None)
    clock = ManualClock(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    with (
        TemporaryDirectory(prefix="apostille-data-") as data,
        _opened(
            settings_for(database_url, **({"data": Path(data)} | changes)), clock, key_source
        ) as desk,
    ):
        yield desk


@contextmanager
def _opened(settings: Settings, clock: ManualClock, key_source: KeySource | None) -> Iterator[Desk]:
    app = create_app(settings, clock=clock.now, key_source=key_source)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="issuer")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the issuer did not start"
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        desk = Desk(app.state.issuer, f"http://127.0.0.1:{port}", clock)
        desk.loop = loops[0]
        with desk.http:
            yield desk
    finally:
        server.should_exit = True
        thread.join(30)
