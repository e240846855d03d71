"""Service accounts, their keys and their tokens, over HTTP."""

from __future__ import annotations

import base64
import uuid
from datetime import timedelta
from typing import Any

import httpx
from msgspec import Struct

from apostille._signing import SigningKey
from support.desk import Desk
from support.lists import bit_in, place_of

__all__ = ["ACCOUNTS", "Machine", "Machines", "basic", "make_key", "oauth_error"]

ACCOUNTS = "/v1/service-accounts"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Machine(Struct, frozen=True):
    """A service account with a key that is a secret."""

    id: str
    key_id: str
    secret: str


class Machines:
    """What a test does with service accounts; as the superuser, or whoever *headers* are of."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def ask(
        self, method: str, path: str = "", *, headers: dict[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        """Make a request about service accounts."""
        given = self.desk.root() if headers is None else headers
        return self.desk.http.request(method, f"{ACCOUNTS}{path}", headers=given, **options)

    def account(self, *roles: str, organization: uuid.UUID | None = None, **fields: Any) -> str:
        """Create an account that holds *roles*, and return its identifier."""
        body = {"name": "Nightly import", **fields}
        if organization is not None:
            body["organization_id"] = str(organization)
        answer = self.ask("POST", json=body)
        assert answer.status_code == 201, answer.text
        account: str = answer.json()["id"]
        for role in roles:
            path = f"/v1/users/{account}/roles/{role}"
            if organization is not None:
                path = f"/v1/organizations/{organization}/members/{account}/roles/{role}"
            given = self.desk.as_root("PUT", path)
            assert given.status_code == 204, given.text
        return account

    def key(self, account: str, **fields: Any) -> dict[str, Any]:
        """Make a key and return the answer."""
        answer = self.ask("POST", f"/{account}/keys", json={"name": "first", **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def machine(self, *roles: str, organization: uuid.UUID | None = None) -> Machine:
        """Create an account that holds *roles*, with a secret."""
        account = self.account(*roles, organization=organization)
        made = self.key(account)
        return Machine(account, made["id"], made["secret"])

    def request(
        self, form: dict[str, Any], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Ask for a token."""
        body = {"grant_type": "client_credentials", **form}
        return self.desk.http.post("/oauth/token", data=body, headers=headers or {})

    def token(self, machine: Machine, **form: Any) -> dict[str, Any]:
        """Return the answer to a machine's request for a token."""
        answer = self.request(form, basic(machine.id, machine.secret))
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def refused(self, machine: Machine) -> bool:
        """Say whether a machine is told that it is no client."""
        answer = self.request({}, basic(machine.id, machine.secret))
        return not answer.is_success and oauth_error(answer, 401) == "invalid_client"

    def voided(self, tokens: dict[str, Any]) -> bool:
        """Say whether services refuse the access token by now."""
        self.desk.wait(timedelta(seconds=1))
        list_id, idx = place_of(tokens["access_token"])
        return bit_in(self.desk.http.get(f"/status-lists/{list_id}").text, idx) == 1

    def assertion(self, account: str, key: SigningKey, **changes: Any) -> str:
        """Return an assertion of an account, good now; ``None`` leaves a claim out."""
        header = {"typ": "JWT", "alg": key.algorithm, "kid": key.kid} | changes.pop("header", {})
        now = int(self.desk.clock.time())
        claims = {
            "iss": account,
            "sub": account,
            "aud": self.desk.issuer.settings.issuer_url,
            "exp": now + 60,
            "iat": now,
            "jti": str(uuid.uuid4()),
            **changes,
        }
        said = {name: value for name, value in claims.items() if value is not None}
        return key.token({n: v for n, v in header.items() if v is not None}, said)

    def assert_with(self, assertion: str, **form: Any) -> httpx.Response:
        """Ask for a token by an assertion."""
        proof = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        return self.request({**proof, **form})


def basic(client_id: str, secret: str) -> dict[str, str]:
    """Return the header of ``client_secret_basic``."""
    encoded = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return {"authorization": f"Basic {encoded}"}


def oauth_error(answer: httpx.Response, status: int = 400) -> str:
    """Return the code of an error as RFC 6749 section 5.2 writes it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) is (status == 401)
    body = answer.json()
    assert body.keys() == {"error", "error_description"}
    return str(body["error"])


def make_key(algorithm: Any = "ES256") -> tuple[SigningKey, dict[str, Any]]:
    """Return a key pair of a client, and its public half."""
    key = SigningKey.generate(algorithm)
    return key, key.public_jwk()
