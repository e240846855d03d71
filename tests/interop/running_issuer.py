"""A real issuer process that knows the inventory service, for tests from the outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from apostille_issuer.tour.processes import free_port, running

ADMINISTRATOR = {"login": "root@example.com", "password": "correct horse battery staple"}
PASSWORD = "eleven walnuts in a tin drum"
MANIFEST = {
    "service": "inventory",
    "version": "1.0.0",
    "permissions": {
        "inventory.read": "See the stock",
        "inventory.write": "Change the stock",
    },
}


class Clerk(NamedTuple):
    """Somebody at the counter."""

    id: str
    credentials: dict[str, str]


class RunningIssuer:
    """What tests ask of the issuer, over HTTP."""

    def __init__(self, url: str, http: httpx.Client) -> None:
        self.url = url
        self._http = http
        token = self.login(ADMINISTRATOR)["access_token"]
        self.administrator = {"Authorization": f"Bearer {token}"}
        self._act("PUT", "/v1/services/inventory", MANIFEST)
        self._act("POST", "/v1/roles", {"name": "reader", "allow": ["inventory.read"]})
        self._act("POST", "/v1/roles", {"name": "keeper", "allow": ["inventory.*"]})

    def hire(self, login: str) -> Clerk:
        """Create a clerk who may read."""
        made = self._act("POST", "/v1/users", {"login": login, "password": PASSWORD})
        clerk = Clerk(made["id"], {"login": login, "password": PASSWORD})
        self.give(clerk, "reader")
        return clerk

    def give(self, clerk: Clerk, role: str) -> None:
        """Give the clerk a role."""
        self._act("PUT", f"/v1/users/{clerk.id}/roles/{role}", None)

    def login(self, credentials: dict[str, str], **fields: str) -> dict[str, Any]:
        """Log in and return the tokens."""
        return self._tokens("/v1/auth/login", {**credentials, **fields})

    def refresh(self, refresh_token: str) -> dict[str, Any]:
        """Use up a refresh token and return the next tokens."""
        return self._tokens("/v1/auth/refresh", {"refresh_token": refresh_token})

    def _tokens(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        answer = self._http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def _act(self, method: str, path: str, body: object) -> dict[str, Any]:
        answer = self._http.request(method, path, json=body, headers=self.administrator)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else {}


@contextmanager
def run_issuer(folder: Path) -> Iterator[RunningIssuer]:
    """Serve a new issuer with its data in *folder*."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "APOSTILLE_BOOTSTRAP_LOGIN": ADMINISTRATOR["login"],
        "APOSTILLE_BOOTSTRAP_PASSWORD": ADMINISTRATOR["password"],
    }
    arguments = ["apostille_issuer", "serve", "--data", str(folder / "data"), "--port", str(port)]
    ready, log = f"{url}/health/ready", folder / "issuer.log"
    with (
        running(arguments, ready_url=ready, log=log, environment=environment),
        httpx.Client(base_url=url, timeout=30, trust_env=False) as http,
    ):
        yield RunningIssuer(url, http)
