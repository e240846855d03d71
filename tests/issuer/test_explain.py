"""Why somebody may do something, or may not: over HTTP and at the command line."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from sqlalchemy import update

from apostille_contracts.manifest import parse_manifest
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.schemas import Explanation, PermissionDraft, RoleDraft
from apostille_issuer.access.service import Place
from apostille_issuer.accounts.models import User
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.cli import main
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem
from support.application import quick_settings
from support.desk import Desk, Person, bearer, problem_of
from support.firm import Firm
from support.issuer_process import environment
from support.policy import INVENTORY, context
from support.tenants import insert_membership, insert_organization, insert_tenant

T = TypeVar("T")


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return Firm(desk)


def source(role: str, grant: str, effect: str = "allow", **where: Any) -> dict[str, Any]:
    given = {"role": role, "effect": effect, "grant": grant}
    return given | {"organization_id": None, "inherited": False} | where


# Over HTTP.


def effective(
    firm: Firm, person: Person, headers: dict[str, str] | None = None, **wanted: Any
) -> httpx.Response:
    path = f"/v1/users/{person.id}/effective-permissions"
    return firm.desk.http.get(path, headers=headers or firm.above, params=wanted)


def test_effective_permissions_are_what_the_token_says_and_name_their_sources(firm: Firm) -> None:
    north, bob = firm.put("North"), firm.desk.hire("staff")
    below = firm.role(firm.root, "iam.users.*", inherited=True)
    denies = firm.role(north, deny=["iam.users.write"])
    unseen = firm.role(firm.root, "iam.keys.read")
    firm.join(firm.root, bob, below, unseen)
    firm.join(north, bob, denies)
    answer = effective(firm, bob, organization=str(north), audience="apostille")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    claims = firm.desk.claims(firm.speak(bob, north))
    assert found["permissions"] == list(claims.permissions)
    assert found["roles"] == list(claims.roles) == sorted([below, denies, "staff"])
    assert (found["organization_id"], found["audience"]) == (str(north), ["apostille"])
    root, here = {"organization_id": str(firm.root)}, {"organization_id": str(north)}
    assert found["sources"] == sorted(
        [
            source(below, "iam.users.*", **root, inherited=True),
            source(denies, "iam.users.write", "deny", **here),
            *(
                source("staff", f"iam.{noun}.read")
                for noun in ("permissions", "roles", "services", "users")
            ),
        ],
        key=lambda each: str(each["role"]),
    )


def test_for_a_token_that_speaks_for_none_only_what_is_held_everywhere_counts(firm: Firm) -> None:
    bob = firm.desk.hire("member", "staff")
    firm.join(firm.root, bob, "admin")
    found = effective(firm, bob, firm.desk.root()).json()
    assert found["organization_id"] is None
    assert {each["role"] for each in found["sources"]} == {"staff"}
    there = effective(firm, bob, firm.desk.root(), organization=str(firm.root)).json()
    assert there["permissions"] == ["iam.*"]


def test_a_tenants_administrator_asks_about_members_where_he_may_see_them(firm: Firm) -> None:
    north, south = firm.put("North"), firm.put("South")
    bob, eve = firm.member(north, "staff"), firm.member(firm.root, "staff")
    local = bearer(firm.speak(firm.member(north, "admin"), north))
    own = effective(firm, bob, local)
    assert (own.status_code, own.json()["organization_id"]) == (200, str(north))
    assert effective(firm, eve).json()["organization_id"] == str(firm.root)
    for person, organization in ((eve, north), (bob, south), (bob, firm.root), (bob, uuid.uuid4())):
        refused = effective(firm, person, local, organization=str(organization))
        assert problem_of(refused, 404) == "not_found"
    other = Firm(firm.desk)
    for headers in (other.above, firm.above):
        refused = effective(firm, other.ada, headers, organization=str(firm.root))
        assert problem_of(refused, 404) == "not_found"
    reader = firm.role(firm.root, "iam.roles.read")
    blind = bearer(firm.speak(firm.member(firm.root, reader), firm.root))
    refused = effective(firm, eve, blind)
    assert problem_of(refused, 403) == "permission_denied"
    assert refused.json()["missing"] == ["iam.members.read"]


def test_the_platform_is_told_who_is_no_member(firm: Firm) -> None:
    stranger, root = firm.desk.hire(), firm.desk.root()
    for organization in (firm.root, uuid.uuid4()):
        answer = effective(firm, stranger, root, organization=str(organization))
        assert problem_of(answer, 403) == "not_a_member"
    nobody = Person(uuid.uuid4(), "", "")
    answer = effective(firm, nobody, root, organization=str(firm.root))
    assert problem_of(answer, 404) == "not_found"
    answer = effective(firm, stranger, root, organization="x")
    assert answer.status_code in {400, 422}


# Why, on both databases.


def explained(
    firm: Firm,
    person: Person,
    permission: str,
    *audience: str,
    organization: uuid.UUID | None = None,
) -> Explanation:
    act = firm.desk.issuer.access.explanations.explain
    place = Place(person.id, organization)
    return firm.desk.run(act(place, permission, audience or None))


def test_each_answer_has_its_reason(firm: Firm) -> None:
    desk, north = firm.desk, firm.put("North")
    desk.as_root("PUT", "/v1/services/explained", json=EXPLAINED)
    allows = firm.role(firm.root, "explained.*", inherited=True)
    denies = firm.role(north, deny=["explained.write"])
    bob = firm.member(firm.root, allows)
    firm.join(north, bob, denies)
    for permission, audience, where, reason in (
        ("explained.read", (), north, "allowed"),
        ("explained.write", (), firm.root, "allowed"),
        ("explained.write", (), north, "denied"),
        ("iam.users.read", (), north, "not_granted"),
        ("explained.read", ("apostille",), north, "not_in_audience"),
        ("explained.read", (), None, "not_granted"),
        ("explained.read", (), Firm(desk).root, "not_a_member"),
    ):
        found = explained(firm, bob, permission, *audience, organization=where)
        assert (found.reason, found.allowed) == (reason, reason == "allowed"), permission
    denied = explained(firm, bob, "explained.write", organization=north)
    assert [(each.role, each.effect, each.inherited) for each in denied.sources] == sorted(
        [(allows, "allow", True), (denies, "deny", False)]
    )
    desk.as_root("PATCH", f"/v1/users/{bob.id}", json={"state": "disabled"})
    disabled = explained(firm, bob, "explained.read", organization=north)
    assert (disabled.allowed, disabled.reason) == (False, "user_disabled")


EXPLAINED = {
    "service": "explained",
    "version": "1",
    "permissions": {"explained.read": "", "explained.write": ""},
}


def test_what_the_catalogue_says_of_a_permission_is_told(firm: Firm) -> None:
    desk, bob = firm.desk, firm.desk.hire()
    manifest = {"service": "ledger", "version": "1", "permissions": {"ledger.read": ""}}
    desk.as_root("PUT", "/v1/services/ledger", json=manifest)
    for name in ("plans.read", "plans.write"):
        draft = {"name": name}
        assert desk.as_root("POST", "/v1/permissions", json=draft).status_code in {201, 409}
    role = {"name": f"r-{uuid.uuid4().hex}", "allow": ["ledger.read"]}
    assert desk.as_root("POST", "/v1/roles", json=role).status_code == 201
    for permission, audience, state in (
        ("ledger.read", "ledger", "declared"),
        ("ledger.read", "apostille", "elsewhere"),
        ("plans.read", "ledger", "unowned"),
        ("nothing.read", "ledger", "unknown"),
    ):
        assert explained(firm, bob, permission, audience).catalogue == state
    desk.as_root("PUT", "/v1/services/ledger", json=manifest | {"permissions": {}})
    assert explained(firm, bob, "ledger.read").catalogue == "deprecated"
    # Whoever holds a wildcard holds what no service declares, too: the token covers it.
    root = Person(uuid.UUID(desk.http.get("/v1/me", headers=desk.root()).json()["id"]), "", "")
    assert explained(firm, root, "nothing.read").allowed


def test_what_cannot_be_answered_is_refused(firm: Firm) -> None:
    bob = firm.desk.hire()
    for code, person, permission, audience, where in (
        (ProblemCode.VALIDATION_FAILED, bob, "iam.*", (), None),
        (ProblemCode.NOT_FOUND, Person(uuid.uuid4(), "", ""), "iam.a", (), None),
        (ProblemCode.NOT_FOUND, bob, "iam.a", (), uuid.uuid4()),
        (ProblemCode.UNKNOWN_AUDIENCE, bob, "iam.a", ("nobody",), None),
    ):
        with pytest.raises(IssuerProblem) as caught:
            explained(firm, person, permission, *audience, organization=where)
        assert caught.value.code == code


# At the command line.


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)


def act(folder: Path, work: Callable[[Issuer], Awaitable[T]]) -> T:
    """Do *work* with an issuer that runs only meanwhile."""

    async def run() -> T:
        async with Issuer(quick_settings(folder)).running() as issuer:
            return await work(issuer)

    return asyncio.run(run())


@pytest.fixture
def places(tmp_path: Path) -> dict[str, uuid.UUID]:
    """Ada is a clerk at the root, for all below, and a trainee at the works."""

    async def begin(issuer: Issuer) -> dict[str, uuid.UUID]:
        boss = await issuer.accounts.create(UserDraft(login="boss"), COMMAND_LINE, superuser=True)
        ada = await issuer.accounts.create(UserDraft(login="Ada"), COMMAND_LINE)
        await issuer.access.push_manifest(parse_manifest(INVENTORY), context(boss.id))
        for draft in (
            RoleDraft(name="clerk", allow=("inventory.*",), inherited=True),
            RoleDraft(name="trainee", deny=("inventory.write",)),
        ):
            await issuer.access.roles.create(draft, context(boss.id))
        await issuer.access.permissions.create(PermissionDraft(name="a.b"), context(boss.id))
        tenant, root = await insert_tenant(issuer)
        works = await insert_organization(issuer, tenant, "Works", root)
        await insert_membership(issuer, root, ada.id, "clerk")
        await insert_membership(issuer, works, ada.id, "trainee")
        return {"root": root, "works": works, "ada": ada.id}

    return act(tmp_path, begin)


@pytest.fixture
def explain(tmp_path: Path, places: dict[str, uuid.UUID]) -> Callable[..., int]:
    def run(user: str, permission: str, place: str | None = None, *options: str) -> int:
        where = [] if place is None else ["--organization", str(places.get(place, place))]
        return main(["explain", user, permission, *where, "--data", str(tmp_path), *options])

    return run


def test_the_command_says_which_role_gave_or_denied_it(
    explain: Callable[..., int],
    places: dict[str, uuid.UUID],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert explain("ADA", "inventory.read", "root") == 0
    assert capsys.readouterr().out.splitlines() == [
        "yes: ADA inventory.read: allowed by his roles",
        f"  role clerk allows inventory.*: by membership in {places['root']}",
    ]
    assert explain(str(places["ada"]), "inventory.write", "works") == 1
    assert capsys.readouterr().out.splitlines() == [
        f"no: {places['ada']} inventory.write: a role denies it",
        f"  role clerk allows inventory.*: inherited from the membership in {places['root']}",
        f"  role trainee denies inventory.write: by membership in {places['works']}",
    ]
    assert explain("boss", "a.b") == 0
    assert capsys.readouterr().out.splitlines() == [
        "yes: boss a.b: allowed by his roles",
        "  role superuser allows *: held everywhere",
        "  no service declares this permission yet",
    ]
    assert explain("ada", "inventory.read", "works", "--audience", "apostille") == 1
    assert capsys.readouterr().out.splitlines() == [
        "no: ada inventory.read: allowed by his roles, but no token for this audience carries it",
        f"  role clerk allows inventory.*: inherited from the membership in {places['root']}",
        "  another service declares this permission, none of this audience",
    ]


def test_the_command_answers_programs_in_json(
    explain: Callable[..., int],
    places: dict[str, uuid.UUID],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert explain("ada", "inventory.read", "works", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "user_id": str(places["ada"]),
        "organization_id": str(places["works"]),
        "permission": "inventory.read",
        "audience": ["apostille", "inventory"],
        "allowed": True,
        "reason": "allowed",
        "catalogue": "declared",
        "sources": [
            source("clerk", "inventory.*", organization_id=str(places["root"]), inherited=True)
        ],
    }


@pytest.mark.parametrize(
    ("user", "permission", "options"),
    [
        ("nobody", "inventory.read", ()),
        ("two words", "inventory.read", ()),
        (str(uuid.UUID(int=1)), "inventory.read", ()),
        ("ada", "inventory.*", ()),
        ("ada", "inventory.read", ("--audience", "nobody")),
        ("ada", "inventory.read", ("--organization", str(uuid.UUID(int=1)))),
    ],
)
def test_what_the_command_cannot_answer_is_neither_yes_nor_no(
    explain: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    user: str,
    permission: str,
    options: tuple[str, ...],
) -> None:
    assert explain(user, permission, None, *options) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("apostille-issuer: ")
    assert said.err.count("\n") == 1


def test_a_disabled_user_may_nothing(
    tmp_path: Path, explain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    async def disable(issuer: Issuer) -> None:
        async with issuer.database.begin() as session:
            await session.execute(
                update(User).where(User.login_key == "ada").values(state="disabled")
            )

    act(tmp_path, disable)
    assert explain("ada", "inventory.read", "root") == 1
    assert capsys.readouterr().out.startswith("no: ada inventory.read: the account is disabled\n")
