"""The path the tour walks, step by step, on real HTTP."""

from __future__ import annotations

import base64
import json
import secrets
import time
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import httpx

from apostille_issuer.tour.transcript import Transcript

__all__ = ["Journey"]

AUDIENCE = "inventory"

PATIENCE_SECONDS = 20.0
"""Longest wait for a service to hear of the end of a session; the list is renewed sooner."""


class Journey:
    """A clerk and an administrator, from login to logout.

    Args:
        issuer: Base address of the issuer.
        services: Name to base address of the services that run.
        administrator: Login name and password of the first superuser.
        transcript: Where each step is printed, and judged.
    """

    def __init__(
        self,
        issuer: str,
        services: Mapping[str, str],
        administrator: tuple[str, str],
        transcript: Transcript,
    ) -> None:
        """Open one HTTP client for all of it."""
        self._issuer = issuer
        self._services = services
        self._administrator = administrator
        self._transcript = transcript
        self._client = httpx.Client(timeout=10, trust_env=False)
        self._clerk_login = "clerk@example.com"
        self._clerk_password = secrets.token_urlsafe(18)

    def walk(self, expired_token: str) -> None:
        """Walk all of it; the first step that goes otherwise ends it.

        Args:
            expired_token: A token with the issuer's own signature whose time is over.

        Raises:
            StepFailed: A step did not go as said.
        """
        with self._client:
            self._transcript.heading("The administrator prepares")
            admin, clerk_id = self._prepare()
            self._transcript.heading("The clerk may read, not write")
            first = self._login(self._clerk_login, self._clerk_password, AUDIENCE)
            self._read_stock(first["access_token"])
            self._write_stock(first["access_token"], 403, "permission_denied", "inventory.write")
            self._transcript.heading("The administrator grants a role; the clerk refreshes")
            self._grant(admin, clerk_id, "stock-keeper")
            second = self._refresh(first["refresh_token"])
            self._write_stock(second["access_token"], 200)
            self._transcript.heading("What must be refused")
            self._refuse(second["access_token"], expired_token)
            self._refuse_reuse(first["refresh_token"], second["refresh_token"])
            self._transcript.heading("The end")
            self._log_out()

    def _prepare(self) -> tuple[str, str]:
        login, password = self._administrator
        token = self._login(login, password)["access_token"]
        path = files("apostille_examples") / "permissions.toml"
        manifest = tomllib.loads(path.read_text(encoding="utf-8"))
        self._call(
            "registers the service",
            "PUT",
            "/v1/services/inventory",
            token=token,
            body=manifest,
            status=201,
        )
        for name, grants in (
            ("clerk", ["inventory.read"]),
            ("stock-keeper", ["inventory.read", "inventory.write"]),
        ):
            role = {"name": name, "allow": grants}
            self._call(
                f"creates the role {name}", "POST", "/v1/roles", token=token, body=role, status=201
            )
        user = {"login": self._clerk_login, "password": self._clerk_password}
        made = self._call(
            "creates the clerk", "POST", "/v1/users", token=token, body=user, status=201
        )
        self._grant(token, made["id"], "clerk")
        return token, made["id"]

    def _login(self, login: str, password: str, audience: str | None = None) -> dict[str, str]:
        body = {"login": login, "password": password}
        what = f"{login} logs in"
        if audience is not None:
            body["audience"] = audience
            what += f" for {audience}"
        return self._tokens(what, "/v1/auth/login", body)

    def _grant(self, token: str, user_id: str, role: str) -> None:
        path = f"/v1/users/{user_id}/roles/{role}"
        self._call(f"gives the clerk the role {role}", "PUT", path, token=token, status=204)

    def _refresh(self, refresh_token: str) -> dict[str, str]:
        body = {"refresh_token": refresh_token}
        return self._tokens("the clerk refreshes", "/v1/auth/refresh", body)

    def _tokens(self, what: str, path: str, body: object) -> dict[str, str]:
        answer = self._call(what, "POST", path, body=body)
        return {name: str(answer[name]) for name in ("access_token", "refresh_token")}

    def _read_stock(self, token: str) -> None:
        for name, address in self._services.items():
            response = self._client.get(f"{address}/stock", headers=_bearer(token))
            self._transcript.expect(f"{name}: the clerk reads the stock", response, 200)

    def _write_stock(
        self, token: str, status: int, code: str | None = None, detail: str = ""
    ) -> None:
        for name, address in self._services.items():
            response = self._client.put(
                f"{address}/stock/apples", headers=_bearer(token), json={"quantity": 12}
            )
            what = f"{name}: the clerk writes the stock"
            self._transcript.expect(what, response, status, code, detail)

    def _refuse(self, good_token: str, expired_token: str) -> None:
        forged = with_all_permissions(good_token)
        for name, address in self._services.items():
            for what, headers, code in (
                ("no token", {}, "missing_token"),
                ("a forged token", _bearer(forged), "bad_signature"),
                ("an expired token", _bearer(expired_token), "expired_token"),
            ):
                response = self._client.get(f"{address}/stock", headers=headers)
                self._transcript.expect(f"{name}: {what}", response, 401, code)
        response = self._client.get(f"{self._issuer}/v1/users", headers=_bearer(good_token))
        what = "issuer: a token for another audience"
        self._transcript.expect(what, response, 401, "wrong_audience")

    def _refuse_reuse(self, oldest: str, latest: str) -> None:
        latest = self._refresh(latest)["refresh_token"]
        for what, refresh_token, code in (
            ("a refresh token used before: theft", oldest, "refresh_token_reused"),
            ("its session has ended for everybody", latest, "session_ended"),
        ):
            response = self._client.post(
                f"{self._issuer}/v1/auth/refresh", json={"refresh_token": refresh_token}
            )
            self._transcript.expect(what, response, 401, code)

    def _log_out(self) -> None:
        tokens = self._login(self._clerk_login, self._clerk_password, AUDIENCE)
        self._read_stock(tokens["access_token"])
        body = {"refresh_token": tokens["refresh_token"]}
        self._call("the clerk logs out", "POST", "/v1/auth/logout", body=body, status=204)
        response = self._client.post(f"{self._issuer}/v1/auth/refresh", json=body)
        self._transcript.expect("refreshing afterwards", response, 401, "session_ended")
        self._await_revocation(tokens["access_token"])

    def _await_revocation(self, token: str) -> None:
        """Show that services hear of the end by themselves, from the status list."""
        ended = time.monotonic()
        for name, address in self._services.items():
            while True:
                response = self._client.get(f"{address}/stock", headers=_bearer(token))
                seconds = time.monotonic() - ended
                if response.status_code != httpx.codes.OK or seconds > PATIENCE_SECONDS:
                    break
                time.sleep(0.1)
            what = f"{name}: the old access token, {seconds:.1f} s later"
            self._transcript.expect(what, response, 401, "revoked_token")

    def _call(  # noqa: PLR0913 - the parts of one HTTP exchange
        self,
        what: str,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: object = None,
        status: int = 200,
    ) -> Any:
        headers = _bearer(token) if token else {}
        response = self._client.request(method, self._issuer + path, headers=headers, json=body)
        self._transcript.expect(f"issuer: {what}", response, status)
        return response.json() if response.content else None


def with_all_permissions(token: str) -> str:
    """Return *token* as a forger would have it: all permissions, the old signature."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["permissions"] = ["*"]
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{header}.{forged}.{signature}"


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
