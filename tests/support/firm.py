"""A customer with a tree of companies, over HTTP: Ada administers its root."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import select

from apostille_issuer.audit.models import AuditEvent
from apostille_issuer.db.reach import EVERY_TENANT
from support.desk import Desk, Person, bearer
from support.lists import bit_in, place_of
from support.tenants import insert_membership, insert_organization, insert_role, insert_tenant

__all__ = ["Firm"]

ORGANIZATIONS = "/v1/organizations"


class Firm:
    """A tenant of its own for each test, on a desk that tests share."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.tenant, self.root = desk.run(insert_tenant(desk.issuer))
        self.ada = desk.hire()
        self.join(self.root, self.ada, "admin")
        self.above = bearer(desk.tokens(self.ada.login, organization=str(self.root)))
        """Headers of Ada's requests."""

    def put(self, name: str, parent: uuid.UUID | None = None) -> uuid.UUID:
        """Write an organization, past every rule."""
        work = insert_organization(self.desk.issuer, self.tenant, name, parent or self.root)
        return self.desk.run(work)

    def chain(self, length: int, parent: uuid.UUID | None = None) -> list[uuid.UUID]:
        """Write organizations, each below the one before."""
        links: list[uuid.UUID] = []
        for number in range(length):
            links.append(self.put(f"Level {number}", links[-1] if links else parent))
        return links

    def join(self, organization: uuid.UUID, person: Person, *roles: str) -> None:
        """Make somebody a member, past every rule."""
        self.desk.run(insert_membership(self.desk.issuer, organization, person.id, *roles))

    def member(self, organization: uuid.UUID, *roles: str) -> Person:
        """Hire somebody who is a member there and nowhere else."""
        person = self.desk.hire()
        self.join(organization, person, *roles)
        return person

    def role(self, organization: uuid.UUID, *allow: str, **options: Any) -> str:
        """Write a role of an organization and return its name."""
        return self.desk.run(insert_role(self.desk.issuer, organization, *allow, **options))

    def speak(self, person: Person, organization: uuid.UUID) -> dict[str, Any]:
        """Return the tokens by which somebody speaks for an organization."""
        return self.desk.tokens(person.login, organization=str(organization))

    def ask(
        self,
        method: str,
        path: str = "",
        *,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """Make a request about organizations, as Ada or whoever *headers* are of."""
        wanted = f"{ORGANIZATIONS}/{path}" if path else ORGANIZATIONS
        return self.desk.http.request(method, wanted, headers=headers or self.above, **options)

    def create(self, name: str, parent: uuid.UUID | None = None, **fields: Any) -> httpx.Response:
        """Ask for a subsidiary."""
        body = {"name": name, "parent_id": str(parent or self.root)}
        headers = fields.pop("headers", None)
        return self.ask("POST", json=body | fields, headers=headers)

    def patch(
        self, organization: uuid.UUID, headers: dict[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        """Ask for a change."""
        return self.ask("PATCH", str(organization), json=fields, headers=headers)

    def move(
        self,
        organization: uuid.UUID,
        parent: uuid.UUID,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Ask for a move."""
        body = {"parent_id": str(parent)}
        return self.ask("POST", f"{organization}/move", json=body, headers=headers)

    def show(self, organization: uuid.UUID, headers: dict[str, str] | None = None) -> Any:
        """Return an organization as it is shown."""
        answer = self.ask("GET", str(organization), headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def names(self, headers: dict[str, str] | None = None, **wanted: Any) -> list[str]:
        """Return the names in all pages of a list."""
        found: list[str] = []
        while True:
            answer = self.ask("GET", params=wanted, headers=headers)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += [item["name"] for item in page["items"]]
            if page["next_cursor"] is None:
                return found
            wanted["cursor"] = page["next_cursor"]

    def voided(self, tokens: dict[str, Any]) -> bool:
        """Say whether services refuse the access token by now."""
        self.desk.wait(timedelta(seconds=1))
        list_id, idx = place_of(tokens["access_token"])
        return bit_in(self.desk.http.get(f"/status-lists/{list_id}").text, idx) == 1

    def events(self, organization: uuid.UUID, **wanted: Any) -> list[dict[str, Any]]:
        """Return what the trail says of an organization, newest first."""
        return self.desk.events(target=f"organization:{organization}", **wanted)

    def trails(self, about: uuid.UUID | str) -> set[uuid.UUID | None]:
        """Return in whose trails the events about an organization, or another target, are."""
        target = about if isinstance(about, str) else f"organization:{about}"
        found = select(AuditEvent.tenant_id).where(AuditEvent.target == target)

        async def look() -> set[uuid.UUID | None]:
            async with self.desk.issuer.database.read(EVERY_TENANT) as session:
                return set(await session.scalars(found))

        return self.desk.run(look())
