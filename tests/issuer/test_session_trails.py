"""In whose audit trail it is what happens to sessions and accounts, over HTTP on both databases."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from msgspec import Struct
from sqlalchemy import select

from apostille_issuer.audit.models import AuditEvent
from apostille_issuer.db.reach import EVERY_TENANT
from support.desk import OTHER_PASSWORD, PASSWORD, Desk, Person, bearer, problem_of
from support.tenants import insert_membership, insert_tenant

ENDED = "session:session:ended"


class Twice(Struct):
    """Two customers, and somebody who is logged in at both and nowhere."""

    desk: Desk
    acme: uuid.UUID
    bolt: uuid.UUID
    acme_root: uuid.UUID
    bolt_root: uuid.UUID
    ada: Person

    def at(self, organization: uuid.UUID | None) -> dict[str, Any]:
        named = {} if organization is None else {"organization": str(organization)}
        return self.desk.tokens(self.ada.login, **named)

    def session(self, tokens: dict[str, Any]) -> str:
        return str(self.desk.claims(tokens).sid)

    def trail(self, tag: str, target: str) -> list[tuple[uuid.UUID | None, Any, Any]]:
        """Return in whose trail what is said: tenants, before and after, oldest first."""

        async def look() -> list[tuple[uuid.UUID | None, Any, Any]]:
            async with self.desk.issuer.database.read(EVERY_TENANT) as session:
                rows = await session.scalars(
                    select(AuditEvent)
                    .where(AuditEvent.tag == tag, AuditEvent.target == target)
                    .order_by(AuditEvent.id)
                )
                return [(row.tenant_id, row.before, row.after) for row in rows]

        return self.desk.run(look())

    def counts(self, reason: str) -> dict[uuid.UUID | None, int]:
        """Return how many of her sessions ended, by whom that is told."""
        told = self.trail(ENDED, f"user:{self.ada.id}")
        assert {after["reason"] for _, _, after in told} == {reason}
        assert max(Counter(tenant for tenant, _, _ in told).values()) == 1
        return {tenant: after["sessions"] for tenant, _, after in told}


@pytest.fixture
def twice(desk: Desk) -> Twice:
    acme, acme_root = desk.run(insert_tenant(desk.issuer, "Acme"))
    bolt, bolt_root = desk.run(insert_tenant(desk.issuer, "Bolt"))
    ada = desk.hire()
    for root in (acme_root, bolt_root):
        desk.run(insert_membership(desk.issuer, root, ada.id, "member"))
    return Twice(desk, acme, bolt, acme_root, bolt_root, ada)


def test_the_end_of_a_session_is_told_to_whom_it_spoke_for(twice: Twice) -> None:
    here = bearer(twice.at(twice.acme_root))
    for organization, tenant in ((twice.bolt_root, twice.bolt), (None, None)):
        session = twice.session(twice.at(organization))
        answer = twice.desk.http.delete(f"/v1/me/sessions/{session}", headers=here)
        assert answer.status_code == 204
        assert twice.trail(ENDED, f"session:{session}") == [(tenant, None, {"reason": "by_user"})]


def test_each_tenant_learns_of_the_sessions_that_spoke_for_it(twice: Twice) -> None:
    here = bearer(twice.at(twice.acme_root))
    for organization in (twice.acme_root, twice.bolt_root, twice.bolt_root, None, None, None):
        twice.at(organization)
    answer = twice.desk.http.delete("/v1/me/sessions", headers=here)
    assert answer.status_code == 204
    assert twice.counts("by_user") == {twice.acme: 1, twice.bolt: 2, None: 3}


def test_a_new_password_is_in_no_tenants_trail(twice: Twice) -> None:
    here = bearer(twice.at(twice.acme_root))
    twice.at(twice.bolt_root)
    body = {"current_password": OTHER_PASSWORD, "new_password": OTHER_PASSWORD}
    path, who = "/v1/me/password", f"user:{twice.ada.id}"
    assert problem_of(twice.desk.http.post(path, json=body, headers=here), 401)
    body["current_password"] = PASSWORD
    assert twice.desk.http.post(path, json=body, headers=here).status_code == 204
    assert twice.counts("password_changed") == {twice.bolt: 1}
    assert twice.trail("account:password:changed", who) == [(None, None, None)]
    assert twice.trail("session:login:failed", who) == [(None, None, None)]


def test_a_logout_and_a_theft_are_told_to_whom_the_session_spoke_for(twice: Twice) -> None:
    for organization, tenant in ((twice.bolt_root, twice.bolt), (None, None)):
        tokens = twice.at(organization)
        target = f"session:{twice.session(tokens)}"
        form = {"refresh_token": tokens["refresh_token"]}
        assert twice.desk.http.post("/v1/auth/logout", json=form).status_code == 204
        assert twice.trail(ENDED, target) == [(tenant, None, {"reason": "logout"})]

        tokens = twice.at(organization)
        target = f"session:{twice.session(tokens)}"
        twice.desk.renewed(tokens["refresh_token"])
        twice.desk.wait(timedelta(seconds=11))
        stolen = twice.desk.refresh(tokens["refresh_token"])
        assert problem_of(stolen, 401) == "refresh_token_reused"
        told = twice.trail("session:refresh:reused", target)
        assert told == [(tenant, None, {"reason": "refresh_reused"})]


def test_a_switch_tells_neither_tenant_of_the_other(twice: Twice) -> None:
    tokens = twice.at(twice.bolt_root)
    target = f"session:{twice.session(tokens)}"
    for organization in (twice.acme_root, None):
        wanted = None if organization is None else str(organization)
        body = {"refresh_token": tokens["refresh_token"], "organization": wanted}
        answer = twice.desk.http.post("/v1/auth/switch-organization", json=body)
        assert answer.status_code == 200
        tokens = answer.json()
    told = twice.trail("session:organization:switched", target)
    nobody = {"organization": None}
    acme = {"organization": str(twice.acme_root)}
    first, last = told[:2], told[2:]
    assert sorted(first, key=str) == sorted(
        [
            (twice.bolt, {"organization": str(twice.bolt_root)}, nobody),
            (twice.acme, nobody, acme),
        ],
        key=str,
    )
    assert last == [(twice.acme, acme, nobody)]


def test_a_login_to_where_one_does_not_belong_is_recorded(twice: Twice) -> None:
    """Its password was right: that it is hashed as of today stays."""
    stranger, hashing = twice.desk.hire(), twice.desk.issuer.hashing
    who, old = f"user:{stranger.id}", hashing._argon2
    hashing._argon2 = type(old)(2, 7_168, 1)
    try:
        for _ in range(2):
            refused = twice.desk.login(stranger.login, organization=str(twice.acme_root))
            assert problem_of(refused, 403) == "not_a_member"
    finally:
        hashing._argon2 = old
    refusal = (None, None, {"code": "not_a_member"})
    assert twice.trail("session:login:failed", who) == [refusal] * 2
    assert twice.trail("account:password:rehashed", who) == [(None, None, None)]
    (event, _) = twice.desk.events(target=who, tag="session:login:failed")
    assert (event["outcome"], event["actor_id"]) == ("refused", str(stranger.id))
