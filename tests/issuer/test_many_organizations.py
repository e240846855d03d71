"""Somebody in a hundred organizations, with fifty permissions in each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import event

from apostille_contracts.manifest import Manifest
from apostille_issuer.http.context import COMMAND_LINE
from support.desk import Desk, Person, bearer
from support.tenants import insert_membership, insert_organization, insert_role, insert_tenant

ORGANIZATIONS, PERMISSIONS = 100, 50

MANIFEST = Manifest(
    service="inventory",
    version="1",
    permissions={
        f"inventory.warehouse{number:02d}.reserve": "Reserve goods" for number in range(PERMISSIONS)
    },
)


@pytest.fixture
def places(desk: Desk) -> tuple[Person, list[uuid.UUID]]:
    """Somebody, and the organizations that he is in."""

    async def build(user_id: uuid.UUID) -> list[uuid.UUID]:
        issuer = desk.issuer
        await issuer.access.push_manifest(MANIFEST, COMMAND_LINE)
        tenant_id, root = await insert_tenant(issuer)
        found = [root]
        found += [
            await insert_organization(issuer, tenant_id, f"Works {number}", root)
            for number in range(1, ORGANIZATIONS)
        ]
        for place in found:
            role = await insert_role(issuer, place, *MANIFEST.permissions)
            await insert_membership(issuer, place, user_id, role)
        return found

    ada = desk.hire()
    return ada, desk.run(build(ada.id))


@pytest.fixture
def statements(desk: Desk) -> Iterator[list[str]]:
    """What the database is asked, as it is asked."""
    asked: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        # Of the act itself, not of what goes on in the background.
        if "policy_revision" in statement or "UPDATE sessions" in statement:
            asked.append(statement)

    engines = {desk.issuer.database._reader.sync_engine, desk.issuer.database._writer.sync_engine}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield asked
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


def test_a_token_speaks_for_one_and_stays_small(
    desk: Desk, places: tuple[Person, list[uuid.UUID]], statements: list[str]
) -> None:
    ada, organizations = places
    tokens = desk.tokens(ada.login, organization=str(organizations[7]), audience="inventory")
    assert len(tokens["access_token"]) < 4096
    assert set(desk.claims(tokens, "inventory").permissions) == set(MANIFEST.permissions)
    statements.clear()
    tokens = desk.renewed(tokens["refresh_token"])
    many = list(statements)

    single = desk.hire()
    desk.run(insert_membership(desk.issuer, organizations[7], single.id, "staff"))
    one = desk.tokens(single.login, organization=str(organizations[7]), audience="inventory")
    statements.clear()
    desk.renewed(one["refresh_token"])
    # It is asked as little for somebody who is in a hundred as for who is in one.
    assert (len(many), many) == (2, statements)

    answer = desk.http.get("/v1/me/memberships", headers=bearer(desk.tokens(ada.login)))
    assert answer.status_code == 200
    assert len(answer.json()["items"]) > 0
