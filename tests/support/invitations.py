"""Letters of a customer's administrator, over HTTP: sent, found and answered."""

from __future__ import annotations

import time
import uuid
from itertools import count
from typing import Any

import httpx

from apostille_issuer.tenancy.invitation_tokens import InvitationTokens
from support.desk import PASSWORD, Desk
from support.firm import Firm

__all__ = ["Letters"]

_numbers = count(1)


class Letters:
    """Invitations to the organizations of a firm."""

    def __init__(self, firm: Firm) -> None:
        self.firm = firm
        self.desk: Desk = firm.desk

    def address(self) -> str:
        """Return an address that nobody has yet."""
        return f"guest{next(_numbers)}@example.org"

    def ask(
        self,
        email: str,
        *roles: str,
        to: uuid.UUID | None = None,
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> httpx.Response:
        """Ask for an invitation to the root, or to another organization."""
        body = {"email": email, "roles": list(roles), **fields}
        path = f"{to or self.firm.root}/invitations"
        return self.firm.ask("POST", path, json=body, headers=headers)

    def send(self, email: str | None = None, *roles: str, **options: Any) -> dict[str, Any]:
        """Invite somebody and return the invitation."""
        answer = self.ask(email or self.address(), *roles, **options)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def at(self, made: dict[str, Any]) -> str:
        """Return where an invitation is, below the organizations."""
        return f"{made['organization_id']}/invitations/{made['id']}"

    def shown(self, made: dict[str, Any]) -> dict[str, Any]:
        """Return an invitation as it is now."""
        answer = self.firm.ask("GET", self.at(made), headers=self.desk.root())
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def settled(self, made: dict[str, Any]) -> dict[str, Any]:
        """Return an invitation once its newest letter has been sent."""
        until = time.monotonic() + 30
        while (shown := self.shown(made))["delivery"] == "waiting":
            assert time.monotonic() < until, "the letter was not sent"
            time.sleep(0.01)
        return shown

    def token(self, made: dict[str, Any], generation: int = 0) -> str:
        """Return what is in the letter."""
        tokens = InvitationTokens(self.desk.issuer.keys.refresh_macs)
        return tokens.make(uuid.UUID(made["id"]), generation)

    def show(self, token: str) -> httpx.Response:
        """Ask what a letter invites to."""
        return self.desk.http.post("/v1/invitations/show", json={"token": token})

    def accept(
        self, token: str, headers: dict[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        """Answer a letter: by default as somebody who has no account yet."""
        proof = fields if fields or headers else {"password": PASSWORD}
        body = {"token": token} | proof
        return self.desk.http.post("/v1/invitations/accept", json=body, headers=headers)

    def accepted(self, made: dict[str, Any]) -> dict[str, Any]:
        """Accept an invitation as a new user and return the answer."""
        answer = self.accept(self.token(made))
        assert answer.status_code == 200, answer.text
        taken: dict[str, Any] = answer.json()
        return taken
