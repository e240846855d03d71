"""Invitations over HTTP: sent, shown, accepted, resent, revoked; on both databases."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.throttle import LoginThrottle
from apostille_issuer.audit.models import AuditEvent
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.settings import RateLimit
from apostille_issuer.tenancy.models import Invitation, Membership, Organization, Tenant
from support.desk import OTHER_PASSWORD, PASSWORD, Desk, Person, bearer, open_desk, problem_of
from support.firm import Firm
from support.invitations import Letters

LIFETIME = timedelta(days=7)


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return Firm(desk)


@pytest.fixture
def letters(firm: Firm) -> Letters:
    return Letters(firm)


def write(desk: Desk, model: Any, ident: uuid.UUID, **values: Any) -> None:
    """Change a row past every rule."""

    async def change() -> None:
        async with desk.issuer.database.begin(EVERY_TENANT) as session:
            await session.execute(update(model).where(model.id == ident).values(**values))

    desk.run(change())


def roles_of(firm: Firm, organization: uuid.UUID, user_id: str) -> list[str]:
    answer = firm.ask("GET", f"{organization}/members/{user_id}", headers=firm.desk.root())
    assert answer.status_code == 200, answer.text
    roles: list[str] = answer.json()["roles"]
    return roles


def trail(desk: Desk, made: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """Return tag, outcome and code of what happened to an invitation, oldest first."""
    events = desk.events(target=f"invitation:{made['id']}")
    return [
        (event["tag"].rpartition(":")[2], event["outcome"], (event["after"] or {}).get("code"))
        for event in reversed(events)
    ]


def trails(desk: Desk, made: dict[str, Any]) -> set[uuid.UUID | None]:
    """Return in whose trails the events about an invitation are."""
    about = select(AuditEvent.tenant_id).where(AuditEvent.target == f"invitation:{made['id']}")

    async def look() -> set[uuid.UUID | None]:
        async with desk.issuer.database.read(EVERY_TENANT) as session:
            return set(await session.scalars(about))

    return desk.run(look())


def listed(letters: Letters, **wanted: Any) -> list[str]:
    """Return the addresses on all pages of a list."""
    path, found = f"{letters.firm.root}/invitations", []
    while True:
        answer = letters.firm.ask("GET", path, params=wanted, headers=letters.desk.root())
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [item["email"] for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        wanted["cursor"] = page["next_cursor"]


# Inviting.


def test_an_invitation_is_made_shown_and_recorded_and_its_token_is_nowhere(
    firm: Firm, letters: Letters
) -> None:
    email, now = letters.address(), firm.desk.clock.now()
    answer = letters.ask(email, "staff", "member")
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/v1/organizations/{letters.at(made)}"
    assert made | {"id": "", "created_at": "", "expires_at": ""} == {
        "id": "",
        "organization_id": str(firm.root),
        "email": email,
        "state": "pending",
        "roles": ["member", "staff"],
        "plan": None,
        "scopes": [],
        "invited_by": str(firm.ada.id),
        "created_at": "",
        "delivery": "waiting",
        "sent_at": None,
        "expires_at": "",
        "answered_at": None,
        "accepted_by": None,
    }
    assert datetime.fromisoformat(made["expires_at"]) == now + LIFETIME
    (event,) = firm.desk.events(target=f"invitation:{made['id']}")
    assert event["tag"] == "tenancy:invitation:sent"
    assert event["after"]["email"] == email
    assert event["after"]["roles"] == ["member", "staff"]
    for said in (answer.text, str(letters.shown(made)), str(event)):
        assert "apo_in_" not in said


def test_the_platform_invites_anywhere_with_a_plan_and_scopes(firm: Firm, letters: Letters) -> None:
    made = letters.send(
        None, "staff", headers=firm.desk.root(), plan="gold", scopes=["b", "a", "b"]
    )
    assert (made["plan"], made["scopes"]) == ("gold", ["a", "b"])
    user_id = letters.accepted(made)["user_id"]
    answer = firm.ask("GET", f"{firm.root}/members/{user_id}", headers=firm.desk.root())
    assert (answer.json()["plan"], answer.json()["scopes"]) == ("gold", ["a", "b"])
    assert trails(firm.desk, made) == {firm.tenant}


def test_a_tenants_administrator_gives_away_no_plan_and_no_scope_he_lacks(
    letters: Letters,
) -> None:
    email = letters.address()
    assert problem_of(letters.ask(email, plan="gold"), 403) == "platform_only"
    answer = letters.ask(email, scopes=["reports"])
    assert problem_of(answer, 403) == "grant_exceeds_own"
    assert answer.json()["missing"] == ["reports"]


def test_who_invites_holds_the_permission_there(firm: Firm, letters: Letters) -> None:
    below = firm.put("Acme Nordic")
    inviter = firm.role(below, "iam.invitations.write")
    bob = bearer(firm.speak(firm.member(below, inviter), below))
    email = letters.address()
    assert letters.ask(email, to=below, headers=bob).status_code == 201
    assert problem_of(letters.ask(email, headers=bob), 404) == "not_found"
    path = f"{below}/invitations"
    answer = firm.ask("GET", path, headers=bob)
    assert problem_of(answer, 403) == "permission_denied"
    assert answer.json()["missing"] == ["iam.invitations.read"]
    # By Ada's role, which is inherited.
    assert [item["email"] for item in firm.ask("GET", path).json()["items"]] == [email]


def test_nobody_promises_more_than_he_holds(firm: Firm, letters: Letters) -> None:
    inviter = firm.role(firm.root, "iam.invitations.write")
    bob = bearer(firm.speak(firm.member(firm.root, inviter), firm.root))
    answer = letters.ask(letters.address(), "staff", headers=bob)
    assert problem_of(answer, 403) == "grant_exceeds_own"
    assert "iam.users.read" in answer.json()["missing"]
    assert problem_of(letters.ask(letters.address(), "superuser"), 409) == "protected"
    assert letters.ask(letters.address(), inviter, headers=bob).status_code == 201


def test_another_tenants_administrator_learns_of_nothing(
    firm: Firm, letters: Letters, desk: Desk
) -> None:
    made, other = letters.send(), Firm(desk)
    for method, path in (
        ("GET", f"{firm.root}/invitations"),
        ("GET", letters.at(made)),
        ("DELETE", letters.at(made)),
        ("POST", f"{letters.at(made)}/resend"),
        # In his own organization there is no such invitation.
        ("GET", f"{other.root}/invitations/{made['id']}"),
        ("DELETE", f"{other.root}/invitations/{made['id']}"),
        ("POST", f"{other.root}/invitations/{made['id']}/resend"),
    ):
        assert problem_of(other.ask(method, path), 404) == "not_found", (method, path)
    answer = letters.ask(letters.address(), headers=other.above)
    assert problem_of(answer, 404) == "not_found"
    assert letters.shown(made)["state"] == "pending"


def test_what_is_no_address_is_refused(letters: Letters) -> None:
    """Which are none: see test_mail."""
    answer = letters.ask("ada@example.com\r\nbcc: eve@example.com")
    assert problem_of(answer, 422) == "validation_failed"
    (error,) = answer.json()["errors"]
    assert error["field"] == "email"


def test_unknown_roles_and_fields_are_named(letters: Letters) -> None:
    answer = letters.ask(letters.address(), "staff", "unheard")
    assert problem_of(answer, 422) == "validation_failed"
    assert [error["field"] for error in answer.json()["errors"]] == ["roles[1]"]
    answer = letters.ask(letters.address(), surplus=1)
    assert problem_of(answer, 422) == "validation_failed"


def test_an_address_has_one_pending_invitation(letters: Letters) -> None:
    email = letters.address()
    made = letters.send(email)
    answer = letters.ask(email.upper())
    assert problem_of(answer, 409) == "conflict"
    (error,) = answer.json()["errors"]
    assert error["field"] == "email"
    assert made["id"] in error["detail"]
    below = letters.firm.put("Acme Nordic")
    assert letters.ask(email, to=below).status_code == 201


def test_members_are_not_invited_suspended_ones_neither(firm: Firm, letters: Letters) -> None:
    bob = firm.member(firm.root)
    assert problem_of(letters.ask(bob.login), 409) == "already_a_member"
    path = f"{firm.root}/members/{bob.id}"
    answer = firm.ask("PATCH", path, json={"state": "suspended"}, headers=firm.desk.root())
    assert answer.status_code == 200
    assert problem_of(letters.ask(bob.login), 409) == "already_a_member"


def test_inviting_takes_a_seat_until_revoked_or_expired(firm: Firm, letters: Letters) -> None:
    write(firm.desk, Tenant, firm.tenant, seats=2)
    first = letters.send()
    assert problem_of(letters.ask(letters.address()), 409) == "seats_exhausted"
    assert firm.ask("DELETE", letters.at(first)).status_code == 204
    second = letters.send()
    firm.desk.wait(LIFETIME)
    root = firm.desk.root()
    third = letters.send(headers=root)
    answer = firm.ask("POST", f"{letters.at(second)}/resend", headers=root)
    assert problem_of(answer, 409) == "seats_exhausted"
    assert letters.accepted(third)["account_created"]


# What stands in the way of an organization.


INACTIVE = [
    pytest.param(lambda firm, _: (Tenant, firm.tenant, "suspended"), "its tenant is suspended"),
    pytest.param(lambda firm, _: (Tenant, firm.tenant, "deleted"), "its tenant is deleted"),
    pytest.param(lambda _, below: (Organization, below, "deactivated"), "is deactivated"),
    pytest.param(
        lambda firm, _: (Organization, firm.root, "deactivated"), "one above it is deactivated"
    ),
]


@pytest.mark.parametrize(("turned", "reason"), INACTIVE, ids=[str(p.values[1]) for p in INACTIVE])
def test_an_inactive_organization_says_why_and_the_letter_stays_good(
    firm: Firm, letters: Letters, turned: Any, reason: str
) -> None:
    below, root = firm.put("Acme Nordic"), firm.desk.root()
    made = letters.send(to=below)
    model, ident, state = turned(firm, below)
    write(firm.desk, model, ident, state=state)
    for answer in (
        letters.ask(letters.address(), to=below, headers=root),
        firm.ask("POST", f"{letters.at(made)}/resend", headers=root),
        letters.show(letters.token(made)),
        letters.accept(letters.token(made)),
    ):
        assert problem_of(answer, 409) == "organization_inactive"
        assert answer.json()["errors"] == [{"field": "organization", "detail": reason}]
    assert trail(firm.desk, made)[-1] == ("refused", "refused", "organization_inactive")
    write(firm.desk, model, ident, state="active")
    assert letters.accepted(made)["organization_id"] == str(below)


def test_its_own_administrator_learns_why_nobody_is_invited(firm: Firm, letters: Letters) -> None:
    below = firm.put("Acme Nordic")
    assert firm.patch(below, state="deactivated").status_code == 200
    answer = letters.ask(letters.address(), to=below)
    assert problem_of(answer, 409) == "organization_inactive"


def test_a_deleted_organization_takes_no_answer(firm: Firm, letters: Letters) -> None:
    below = firm.put("Acme Nordic")
    made = letters.send(to=below)
    write(firm.desk, Organization, below, state="deleted")
    answer = letters.accept(letters.token(made))
    assert problem_of(answer, 409) == "organization_inactive"
    assert answer.json()["errors"] == [{"field": "organization", "detail": "is deleted"}]
    assert problem_of(letters.ask(letters.address(), to=below), 404) == "not_found"


# Showing.


def test_a_letter_says_what_it_invites_to_without_a_login(firm: Firm, letters: Letters) -> None:
    branding = {"display_name": "Acme & Co", "primary_color": "#0b5fff"}
    write(firm.desk, Tenant, firm.tenant, branding=branding)
    below = firm.put("Acme Nordic")
    made = letters.send(to=below)
    answer = letters.show(letters.token(made))
    assert answer.status_code == 200
    offer = answer.json()
    assert {name: text for name, text in offer.pop("branding").items() if text} == branding
    assert offer == {
        "organization_id": str(below),
        "organization": "Acme Nordic",
        "tenant_id": str(firm.tenant),
        "tenant": "Acme",
        "email": made["email"],
        "expires_at": made["expires_at"],
        "account_exists": False,
    }
    bob = firm.desk.hire()
    known = letters.send(bob.login.upper())
    assert letters.show(letters.token(known)).json()["account_exists"] is True


@pytest.mark.parametrize(
    "broken",
    [
        lambda token: token[:0],
        lambda token: token.upper(),
        lambda token: token[:-1],
        lambda token: token[:-2] + ("AA" if not token.endswith("AA") else "BB"),
        lambda token: token.replace("_0_", "_1_", 1),
        lambda token: token.replace("apo_in_", "apo_rt_"),
        lambda token: token + "\n",
    ],
    ids=["empty", "upper", "cut", "mac", "generation", "kind", "behind"],
)
def test_a_token_that_was_not_made_here_is_none(letters: Letters, broken: Any) -> None:
    token = broken(letters.token(letters.send()))
    for answer in (letters.show(token), letters.accept(token)):
        assert problem_of(answer, 422) == "invalid_invitation"


def test_a_refresh_token_is_no_invitation_and_no_invitation_one(
    firm: Firm, letters: Letters
) -> None:
    refresh = firm.desk.tokens(firm.ada.login)["refresh_token"]
    forged = refresh.replace("apo_rt_", "apo_in_")
    assert problem_of(letters.show(forged), 422) == "invalid_invitation"
    token = letters.token(letters.send()).replace("apo_in_", "apo_rt_")
    assert problem_of(firm.desk.refresh(token), 401) == "invalid_refresh_token"


def test_an_invitation_that_is_gone_is_none(letters: Letters) -> None:
    token = letters.token({"id": str(uuid.uuid4())})
    for answer in (letters.show(token), letters.accept(token)):
        assert problem_of(answer, 422) == "invalid_invitation"


# Accepting.


def test_a_new_user_accepts_chooses_a_password_and_logs_in(firm: Firm, letters: Letters) -> None:
    made = letters.send(None, "staff")
    answer = letters.accept(letters.token(made))
    assert answer.status_code == 200
    accepted = answer.json()
    user_id = accepted.pop("user_id")
    assert accepted == {
        "organization_id": str(firm.root),
        "organization": "Acme",
        "tenant_id": str(firm.tenant),
        "account_created": True,
    }
    claims = firm.desk.claims(firm.desk.tokens(made["email"], organization=str(firm.root)))
    assert (claims.sub, claims.org, claims.roles) == (user_id, str(firm.root), ("staff",))
    now = letters.shown(made)
    assert (now["state"], now["accepted_by"]) == ("accepted", user_id)
    assert now["answered_at"] is not None
    assert trail(firm.desk, made)[-1] == ("accepted", "success", None)
    (event, *_) = firm.desk.events(target=f"invitation:{made['id']}")
    assert event["actor_id"] == user_id
    assert trails(firm.desk, made) == {firm.tenant}
    (event, *_) = firm.events(firm.root, tag="tenancy:membership:created")
    assert event["after"]["user_id"] == user_id
    (event,) = firm.desk.events(target=f"user:{user_id}", tag="account:user:created")
    assert event["after"] == {"login": made["email"], "state": "active"}


def by_password(letters: Letters, who: Person, token: str) -> Any:
    return letters.accept(token, login=who.login, password=who.password)


def by_bearer(letters: Letters, who: Person, token: str) -> Any:
    return letters.accept(token, headers=bearer(letters.desk.tokens(who.login)))


@pytest.mark.parametrize("prove", [by_password, by_bearer])
def test_an_existing_user_accepts_by_proving_himself(
    firm: Firm, letters: Letters, prove: Any
) -> None:
    bob = firm.desk.hire()
    made = letters.send(bob.login.upper(), "staff")
    answer = prove(letters, bob, letters.token(made))
    assert answer.status_code == 200, answer.text
    assert answer.json()["user_id"] == str(bob.id)
    assert answer.json()["account_created"] is False
    assert roles_of(firm, firm.root, str(bob.id)) == ["staff"]


def test_an_outdated_hash_is_no_hindrance_and_is_left_to_the_next_login(
    firm: Firm, letters: Letters
) -> None:
    owner, hashing = firm.desk.hire(), firm.desk.issuer.hashing
    old, who = hashing._argon2, f"user:{owner.id}"
    hashing._argon2 = type(old)(2, 7_168, 1)
    try:
        answer = by_password(letters, owner, letters.token(letters.send(owner.login)))
        assert answer.status_code == 200, answer.text
        assert firm.desk.events(target=who, tag="account:password:rehashed") == []
        firm.desk.tokens(owner.login)
    finally:
        hashing._argon2 = old
    assert len(firm.desk.events(target=who, tag="account:password:rehashed")) == 1


@pytest.mark.parametrize("prove", [by_password, by_bearer])
def test_a_letter_found_by_somebody_else_is_no_good_to_him(
    firm: Firm, letters: Letters, prove: Any
) -> None:
    bob, eve = firm.desk.hire(), firm.desk.hire()
    made = letters.send(bob.login)
    assert problem_of(prove(letters, eve, letters.token(made)), 403) == "address_mismatch"
    assert trail(firm.desk, made)[-1] == ("refused", "refused", "address_mismatch")
    assert letters.shown(made)["state"] == "pending"


def test_an_account_that_is_there_is_not_made_anew(firm: Firm, letters: Letters) -> None:
    bob = firm.desk.hire()
    made = letters.send(bob.login)
    answer = letters.accept(letters.token(made), password=OTHER_PASSWORD)
    assert problem_of(answer, 409) == "login_taken"
    assert firm.desk.login(bob.login).status_code == 200
    assert letters.shown(made)["state"] == "pending"


def test_a_wrong_password_is_not_enough(firm: Firm, letters: Letters) -> None:
    bob = firm.desk.hire()
    token = letters.token(letters.send(bob.login))
    answer = letters.accept(token, login=bob.login, password=OTHER_PASSWORD)
    assert problem_of(answer, 401) == "invalid_credentials"
    nobody = letters.send()
    answer = letters.accept(letters.token(nobody), login=nobody["email"], password=PASSWORD)
    assert problem_of(answer, 401) == "invalid_credentials"
    answer = letters.accept(token, login="two words", password=PASSWORD)
    assert problem_of(answer, 403) == "address_mismatch"


def test_a_disabled_or_deleted_user_does_not_accept(firm: Firm, letters: Letters) -> None:
    bob, desk = firm.desk.hire(), firm.desk
    token = letters.token(letters.send(bob.login))
    tokens = desk.tokens(bob.login)

    # Past the status list, which would refuse the token already.
    async def disable() -> None:
        async with desk.issuer.database.begin() as session:
            await session.execute(
                update(Membership.metadata.tables["users"])
                .where(Membership.metadata.tables["users"].c.id == bob.id)
                .values(state="disabled")
            )

    desk.run(disable())
    answer = letters.accept(token, headers=bearer(tokens))
    assert problem_of(answer, 401) == "session_ended"
    assert problem_of(by_password(letters, bob, token), 401) == "invalid_credentials"


def test_without_any_proof_a_token_is_wanted(letters: Letters) -> None:
    token = letters.token(letters.send())
    answer = letters.desk.http.post("/v1/invitations/accept", json={"token": token})
    assert problem_of(answer, 401) == "missing_token"
    answer = letters.accept(token, login="ada@example.org")
    assert problem_of(answer, 422) == "validation_failed"
    assert answer.json()["errors"][0]["field"] == "password"
    narrowed = {"authorization": "Bearer nonsense"}
    assert problem_of(letters.accept(token, headers=narrowed), 401) == "malformed_token"


def test_a_service_account_accepts_nothing(firm: Firm, letters: Letters) -> None:
    bob, desk = firm.desk.hire(), firm.desk
    token, tokens = letters.token(letters.send(bob.login)), desk.tokens(bob.login)
    users = Membership.metadata.tables["users"]

    async def turn() -> None:
        async with desk.issuer.database.begin() as session:
            await session.execute(update(users).where(users.c.id == bob.id).values(kind="service"))

    desk.run(turn())
    assert problem_of(letters.accept(token, headers=bearer(tokens)), 403) == "address_mismatch"


def test_a_password_is_held_to_the_policy_and_the_letter_stays_good(letters: Letters) -> None:
    made = letters.send()
    for password in ("too short", made["email"] * 2, "x" * 257):
        answer = letters.accept(letters.token(made), password=password)
        assert problem_of(answer, 422) == "validation_failed", password
        assert answer.json()["errors"][0]["field"] == "password"
    assert letters.accepted(made)["account_created"]


def test_a_token_is_good_once(letters: Letters) -> None:
    made = letters.send()
    letters.accepted(made)
    token = letters.token(made)
    for answer in (
        letters.accept(token, login=made["email"], password=PASSWORD),
        letters.show(token),
    ):
        assert problem_of(answer, 410) == "invitation_ended"


def test_a_letter_is_good_until_it_expires_and_no_longer(firm: Firm, letters: Letters) -> None:
    one, other = letters.send(), letters.send()
    firm.desk.wait(LIFETIME - timedelta(microseconds=1))
    letters.accepted(one)
    firm.desk.wait(timedelta(microseconds=1))
    for answer in (letters.accept(letters.token(other)), letters.show(letters.token(other))):
        assert problem_of(answer, 410) == "invitation_expired"
    assert letters.shown(other)["state"] == "expired"


@pytest.mark.parametrize("state", ["active", "suspended"])
def test_a_member_stays_what_he_is(firm: Firm, letters: Letters, state: str) -> None:
    bob = firm.desk.hire()
    made = letters.send(bob.login, "admin")
    firm.join(firm.root, bob, "staff")
    path = f"{firm.root}/members/{bob.id}"
    firm.ask("PATCH", path, json={"state": state}, headers=firm.desk.root())
    answer = by_password(letters, bob, letters.token(made))
    assert problem_of(answer, 409) == "already_a_member"
    assert answer.json()["errors"] == [{"field": "membership", "detail": f"is {state}"}]
    now = firm.ask("GET", path, headers=firm.desk.root()).json()
    assert (now["state"], now["roles"]) == (state, ["staff"])


def test_accepting_voids_tokens_that_say_less(firm: Firm, letters: Letters) -> None:
    """He stands below already, by a role that he has further up."""
    below = firm.put("Acme Nordic")
    reader = firm.role(firm.root, "iam.members.read", inherited=True)
    bob = firm.member(firm.root, reader)
    tokens = firm.speak(bob, below)
    made = letters.send(bob.login, "staff", to=below)
    assert by_password(letters, bob, letters.token(made)).status_code == 200
    assert firm.voided(tokens)
    claims = firm.desk.claims(firm.desk.renewed(tokens["refresh_token"]))
    assert "staff" in claims.roles


def test_answers_in_vain_are_limited_like_logins(
    firm: Firm, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, many = RateLimit(2, timedelta(minutes=10)), RateLimit(100, timedelta(minutes=10))
    throttle = LoginThrottle(per_login=limit, per_address=many)
    accounts = firm.desk.issuer.tenancy.acceptances._accounts
    monkeypatch.setattr(accounts, "_throttle", throttle)
    bob, eve = firm.desk.hire(), firm.desk.hire()
    token = letters.token(letters.send(bob.login))
    # A password that may not be set is no guess.
    short = letters.token(letters.send())
    for _ in range(3):
        assert problem_of(letters.accept(short, password="short"), 422) == "validation_failed"
    for _ in range(2):
        assert problem_of(by_password(letters, eve, token), 403) == "address_mismatch"
    refused = by_password(letters, bob, token)
    assert problem_of(refused, 429) == "rate_limited"
    assert refused.headers["retry-after"] == "300"
    firm.desk.wait(timedelta(minutes=5))
    assert by_password(letters, bob, token).status_code == 200


def test_a_fault_of_ours_is_no_answer_in_vain(
    firm: Firm, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = RateLimit(1, timedelta(minutes=10))
    throttle = LoginThrottle(per_login=once, per_address=once)
    accounts = firm.desk.issuer.tenancy.acceptances._accounts
    made = letters.send()
    with monkeypatch.context() as patched:
        patched.setattr(accounts, "_throttle", throttle)
        for fault in (IssuerProblem(ProblemCode.OVERLOADED, retry_after=1), ValueError("a fault")):

            async def fail(*_: object, fault: Exception = fault) -> None:
                raise fault

            with monkeypatch.context() as broken:
                broken.setattr(accounts, "draft", fail)
                assert letters.accept(letters.token(made)).status_code in (500, 503)
        assert letters.accept(letters.token(made)).status_code == 200


# What was promised can be kept no longer.


def left(firm: Firm, inviter: Person, _role: str) -> None:
    path = f"{firm.root}/members/{inviter.id}"
    assert firm.ask("DELETE", path, headers=firm.desk.root()).status_code == 204


def disabled(firm: Firm, inviter: Person, _role: str) -> None:
    path = f"/v1/users/{inviter.id}"
    assert firm.desk.as_root("PATCH", path, json={"state": "disabled"}).status_code == 200


def deleted(firm: Firm, inviter: Person, _role: str) -> None:
    assert firm.desk.as_root("DELETE", f"/v1/users/{inviter.id}").status_code == 204


def demoted(firm: Firm, inviter: Person, _role: str) -> None:
    path = f"{firm.root}/members/{inviter.id}/roles/admin"
    assert firm.ask("DELETE", path, headers=firm.desk.root()).status_code == 204


def role_deleted(firm: Firm, _inviter: Person, role: str) -> None:
    path = f"{firm.root}/roles/{role}"
    assert firm.ask("DELETE", path, headers=firm.desk.root()).status_code == 204


@pytest.mark.parametrize("happens", [left, disabled, deleted, demoted, role_deleted])
def test_what_an_inviter_could_not_give_now_nobody_gets(
    firm: Firm, letters: Letters, happens: Any
) -> None:
    role = firm.role(firm.root, "iam.members.read")
    inviter = firm.member(firm.root, "admin")
    made = letters.send(None, role, headers=bearer(firm.speak(inviter, firm.root)))
    happens(firm, inviter, role)
    answer = letters.accept(letters.token(made))
    assert problem_of(answer, 409) == "invitation_void"
    assert trail(firm.desk, made)[-1] == ("refused", "refused", "invitation_void")
    assert letters.shown(made)["state"] == "pending"
    # Nothing half-written: no account either.
    assert problem_of(firm.desk.login(made["email"]), 401) == "invalid_credentials"


def test_a_role_that_has_grown_beyond_its_inviter_is_not_given(
    firm: Firm, letters: Letters
) -> None:
    own = firm.role(firm.root, "iam.invitations.write", "iam.members.read")
    given = firm.role(firm.root, "iam.members.read")
    inviter = firm.member(firm.root, own)
    made = letters.send(None, given, headers=bearer(firm.speak(inviter, firm.root)))
    path = f"{firm.root}/roles/{given}"
    answer = firm.ask("PATCH", path, json={"allow": ["iam.members.write"]})
    assert answer.status_code == 200, answer.text
    assert problem_of(letters.accept(letters.token(made)), 409) == "invitation_void"


def test_whoever_sends_it_again_vouches_for_it(firm: Firm, letters: Letters) -> None:
    inviter = firm.member(firm.root, "admin")
    made = letters.send(None, "staff", headers=bearer(firm.speak(inviter, firm.root)))
    left(firm, inviter, "")
    weak = firm.role(firm.root, "iam.invitations.write")
    bob = bearer(firm.speak(firm.member(firm.root, weak), firm.root))
    path = f"{letters.at(made)}/resend"
    assert problem_of(firm.ask("POST", path, headers=bob), 403) == "grant_exceeds_own"
    assert firm.ask("POST", path).json()["invited_by"] == str(firm.ada.id)
    answer = letters.accept(letters.token(made, 1))
    assert answer.status_code == 200, answer.text


def test_an_invitation_of_the_platforms_needs_its_administrator(
    firm: Firm, letters: Letters
) -> None:
    desk = firm.desk
    boss = desk.hire("admin")
    headers = bearer(desk.tokens(boss.login))
    kept, broken = (letters.send(None, "staff", headers=headers, plan="gold") for _ in range(2))
    letters.accepted(kept)
    assert desk.as_root("DELETE", f"/v1/users/{boss.id}/roles/admin").status_code == 204
    assert problem_of(letters.accept(letters.token(broken)), 409) == "invitation_void"


def test_a_superuser_is_not_lured_into_a_role_that_denies(firm: Firm, letters: Letters) -> None:
    denying = firm.role(firm.root, deny=("iam.members.read",))
    chief = firm.desk.hire("superuser")
    made = letters.send(chief.login, denying)
    answer = by_password(letters, chief, letters.token(made))
    assert problem_of(answer, 409) == "invitation_void"


def test_who_administers_the_root_is_not_lured_out_of_office(firm: Firm, letters: Letters) -> None:
    north = firm.put("North")
    eve = bearer(firm.speak(firm.member(north, "admin"), north))
    denying = firm.role(north, deny=("iam.*",))
    body = {"email": firm.ada.login, "roles": [denying]}
    made = firm.ask("POST", f"{north}/invitations", json=body, headers=eve)
    assert made.status_code == 201, made.text
    answer = by_password(letters, firm.ada, letters.token(made.json()))
    assert problem_of(answer, 409) == "invitation_void"


# Sending again, revoking.


def test_sending_again_makes_older_letters_void(firm: Firm, letters: Letters) -> None:
    made = letters.send()
    firm.desk.wait(timedelta(minutes=5))
    answer = firm.ask("POST", f"{letters.at(made)}/resend")
    assert answer.status_code == 200
    again = answer.json()
    assert datetime.fromisoformat(again["expires_at"]) == firm.desk.clock.now() + LIFETIME
    assert (again["state"], again["delivery"]) == ("pending", "waiting")
    assert problem_of(letters.accept(letters.token(made, 0)), 410) == "invitation_ended"
    assert letters.accept(letters.token(made, 1)).status_code == 200
    answer = firm.ask("POST", f"{letters.at(made)}/resend")
    assert problem_of(answer, 410) == "invitation_ended"
    assert [tag for tag, *_ in trail(firm.desk, made)] == ["sent", "sent", "refused", "accepted"]


def test_an_expired_invitation_is_pending_again_when_sent_again(
    firm: Firm, letters: Letters
) -> None:
    made = letters.send()
    firm.desk.wait(LIFETIME)
    path = f"{letters.at(made)}/resend"
    answer = firm.ask("POST", path, headers=firm.desk.root())
    assert answer.json()["state"] == "pending"
    assert letters.accept(letters.token(made, 1)).status_code == 200


def test_an_address_gets_five_letters_a_day(firm: Firm, letters: Letters) -> None:
    made = letters.send()
    path = f"{letters.at(made)}/resend"
    for _ in range(4):
        assert firm.ask("POST", path).status_code == 200
    refused = firm.ask("POST", path)
    assert problem_of(refused, 429) == "rate_limited"
    assert refused.headers["retry-after"] == "86400"
    # Nor by revoking and inviting anew.
    assert firm.ask("DELETE", letters.at(made)).status_code == 204
    assert problem_of(letters.ask(made["email"]), 429) == "rate_limited"
    firm.desk.wait(timedelta(days=1))
    assert letters.ask(made["email"], headers=firm.desk.root()).status_code == 201


def test_five_letters_a_day_are_for_all_organizations_of_a_tenant(
    firm: Firm, letters: Letters
) -> None:
    email = letters.address()
    for place in firm.chain(5):
        letters.send(email, to=place)
    assert problem_of(letters.ask(email), 429) == "rate_limited"
    # Another customer is not in the way of this one, nor another address.
    letters.send()
    Letters(Firm(firm.desk)).send(email)


def test_a_tenant_has_so_many_letters_a_day(database_url: str) -> None:
    with open_desk(database_url, invitation_letters_per_day=3) as desk:
        letters = Letters(Firm(desk))
        made = letters.send()
        desk.wait(timedelta(minutes=5))
        assert letters.firm.ask("POST", f"{letters.at(made)}/resend").status_code == 200
        letters.send()
        refused = letters.ask(letters.address())
        assert problem_of(refused, 429) == "rate_limited"
        assert refused.headers["retry-after"] == "86400"
        again = letters.firm.ask("POST", f"{letters.at(made)}/resend")
        assert problem_of(again, 429) == "rate_limited"
        Letters(Firm(desk)).send()
        desk.wait(timedelta(days=1))
        letters.send(headers=desk.root())


def test_a_revoked_invitation_is_void(firm: Firm, letters: Letters) -> None:
    made = letters.send()
    for _ in range(2):
        assert firm.ask("DELETE", letters.at(made)).status_code == 204
    assert problem_of(letters.accept(letters.token(made)), 410) == "invitation_ended"
    assert problem_of(letters.show(letters.token(made)), 410) == "invitation_ended"
    assert letters.shown(made)["state"] == "revoked"
    assert [tag for tag, *_ in trail(firm.desk, made)] == ["sent", "revoked", "refused"]
    assert letters.send(made["email"])["id"] != made["id"]


def test_an_accepted_invitation_is_not_revoked(firm: Firm, letters: Letters) -> None:
    made = letters.send()
    letters.accepted(made)
    assert problem_of(firm.ask("DELETE", letters.at(made)), 410) == "invitation_ended"
    assert letters.shown(made)["state"] == "accepted"


# Listing.


def test_a_list_is_newest_first_in_pages_and_by_state(firm: Firm, letters: Letters) -> None:
    stale, replaced = letters.send(), letters.send()
    firm.desk.wait(LIFETIME)
    root = firm.desk.root()
    renewed = letters.send(replaced["email"], headers=root)
    accepted = letters.send(headers=root)
    letters.accepted(accepted)
    revoked = letters.send(headers=root)
    assert firm.ask("DELETE", letters.at(revoked), headers=root).status_code == 204
    newest_first = [revoked, accepted, renewed, replaced, stale]
    assert listed(letters, limit=2) == [made["email"] for made in newest_first]
    assert listed(letters, state="pending") == [renewed["email"]]
    assert listed(letters, state="expired", limit=1) == [replaced["email"], stale["email"]]
    assert listed(letters, state="accepted") == [accepted["email"]]
    assert listed(letters, state="revoked") == [revoked["email"]]
    assert listed(letters, email=stale["email"][:-4].upper()) == [stale["email"]]
    assert letters.shown(replaced)["state"] == "expired"
    answer = firm.ask("POST", f"{letters.at(replaced)}/resend", headers=root)
    assert problem_of(answer, 410) == "invitation_ended"


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"state": "lost"}, "state"),
        ({"email": "a\x00"}, "email"),
        ({"cursor": "none of ours"}, "cursor"),
        ({"limit": 0}, "limit"),
    ],
)
def test_a_list_is_asked_for_properly(firm: Firm, wanted: dict[str, Any], field: str) -> None:
    answer = firm.ask("GET", f"{firm.root}/invitations", params=wanted)
    assert problem_of(answer, 422) == "validation_failed"
    assert answer.json()["errors"][0]["field"] == field


def test_a_deleted_role_is_not_named(firm: Firm, letters: Letters) -> None:
    role = firm.role(firm.root, "iam.members.read")
    made = letters.send(None, role, "staff")
    role_deleted(firm, firm.ada, role)
    assert letters.shown(made)["roles"] == ["staff"]


def test_a_letter_that_nobody_can_answer_is_not_sent(firm: Firm, letters: Letters) -> None:
    source = firm.desk.issuer.outbox._sources["invitation"]

    def written(made: dict[str, Any], generation: int = 0) -> bool:
        return firm.desk.run(source.letter(uuid.UUID(made["id"]), generation)) is not None

    again, revoked, accepted, stale = (letters.send() for _ in range(4))
    assert written(again)
    assert firm.ask("POST", f"{letters.at(again)}/resend").status_code == 200
    assert (written(again, 0), written(again, 1)) == (False, True)
    assert firm.ask("DELETE", letters.at(revoked)).status_code == 204
    letters.accepted(accepted)
    firm.desk.wait(LIFETIME)
    assert not any(map(written, (revoked, accepted, stale)))


def test_what_became_of_an_older_letter_is_not_said_of_the_newest(
    firm: Firm, letters: Letters
) -> None:
    desk, made = firm.desk, letters.send()
    source = desk.issuer.outbox._sources["invitation"]
    firm.ask("POST", f"{letters.at(made)}/resend")
    letters.settled(made)

    async def settle(generation: int) -> None:
        async with desk.issuer.database.begin(EVERY_TENANT) as session:
            await source.settled(session, uuid.UUID(made["id"]), generation, "failed")

    desk.run(settle(0))
    assert letters.shown(made)["delivery"] == "sent"
    desk.run(settle(1))
    assert (letters.shown(made)["delivery"], letters.shown(made)["sent_at"]) == ("failed", None)


def test_an_invitation_is_gone_with_its_tenant(firm: Firm, letters: Letters) -> None:
    made = letters.send()

    async def purge() -> None:
        async with firm.desk.issuer.database.begin(EVERY_TENANT) as session:
            await session.delete(await session.get_one(Invitation, uuid.UUID(made["id"])))

    firm.desk.run(purge())
    answer = firm.ask("GET", letters.at(made))
    assert problem_of(answer, 404) == "not_found"
