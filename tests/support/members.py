"""Members of organizations over HTTP, for tests."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

from support.desk import Person
from support.firm import Firm

__all__ = ["add", "at", "listed", "shown"]


def add(
    firm: Firm,
    organization: uuid.UUID,
    who: Person | None,
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> httpx.Response:
    """Ask for a member: *who*, or whom *fields* name."""
    body = fields if who is None else {"user_id": str(who.id)} | fields
    return firm.ask("POST", f"{organization}/members", json=body, headers=headers)


def at(organization: uuid.UUID, person: Person, role: str | None = None) -> str:
    """Return where a member is, or a role of his, below the organizations."""
    path = f"{organization}/members/{person.id}"
    return path if role is None else f"{path}/roles/{role}"


def shown(firm: Firm, organization: uuid.UUID, person: Person) -> Any:
    """Return a member as he is shown."""
    answer = firm.ask("GET", at(organization, person))
    assert answer.status_code == 200, answer.text
    return answer.json()


def listed(
    firm: Firm, organization: uuid.UUID, headers: dict[str, str] | None = None, **wanted: Any
) -> list[tuple[str, str]]:
    """Return login and organization of the members on all pages of a list."""
    found: list[tuple[str, str]] = []
    while True:
        answer = firm.ask("GET", f"{organization}/members", params=wanted, headers=headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [(item["login"], item["organization_id"]) for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        wanted["cursor"] = page["next_cursor"]
