"""How many organizations, roles, service accounts and pending invitations a tenant may have."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, Final

import httpx
import pytest

from apostille_issuer.settings import Settings
from support.desk import Desk, bearer, open_desk, problem_of
from support.firm import Firm

from .conftest import DIALECTS, migrated_copy

MOST: Final = 3
AT_ONCE: Final = 6

_numbers = count(1)


@pytest.fixture(scope="module", params=DIALECTS)
def desk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """A running issuer whose tenants may have little."""
    folder = tmp_path_factory.mktemp("desk")
    limits = dict.fromkeys(
        (
            "organizations_per_tenant",
            "roles_per_tenant",
            "service_accounts_per_tenant",
            "pending_invitations_per_tenant",
        ),
        MOST,
    )
    with migrated_copy(request.param, folder, request) as url, open_desk(url, **limits) as opened:
        yield opened


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return Firm(desk)


def add_organization(firm: Firm) -> httpx.Response:
    return firm.create(f"Mill {next(_numbers)}")


def add_role(firm: Firm) -> httpx.Response:
    body = {"name": f"clerk-{next(_numbers)}", "allow": ["iam.roles.read"]}
    return firm.ask("POST", f"{firm.root}/roles", json=body)


def clone_role(firm: Firm) -> httpx.Response:
    body = {"name": f"copy-{next(_numbers)}"}
    return firm.ask("POST", f"{firm.root}/roles/member/clone", json=body)


def add_account(firm: Firm) -> httpx.Response:
    path, body = "/v1/service-accounts", {"name": f"Robot {next(_numbers)}"}
    return firm.desk.http.post(path, json=body, headers=firm.above)


def invite(firm: Firm) -> httpx.Response:
    body = {"email": f"guest{next(_numbers)}@example.com"}
    return firm.ask("POST", f"{firm.root}/invitations", json=body)


def remove_organization(firm: Firm, made: dict[str, Any]) -> httpx.Response:
    return firm.ask("DELETE", made["id"])


def remove_role(firm: Firm, made: dict[str, Any]) -> httpx.Response:
    return firm.ask("DELETE", f"{firm.root}/roles/{made['name']}")


def remove_account(firm: Firm, made: dict[str, Any]) -> httpx.Response:
    path = f"/v1/service-accounts/{made['id']}"
    return firm.desk.http.delete(path, headers=firm.above)


def revoke(firm: Firm, made: dict[str, Any]) -> httpx.Response:
    return firm.ask("DELETE", f"{firm.root}/invitations/{made['id']}")


Add = Callable[[Firm], httpx.Response]
Remove = Callable[[Firm, dict[str, Any]], httpx.Response]

KINDS: Final[dict[str, tuple[str, int, Add, Remove]]] = {
    # The root is there already.
    "organizations": ("organizations", MOST - 1, add_organization, remove_organization),
    "roles": ("roles", MOST, add_role, remove_role),
    "cloned roles": ("roles", MOST, clone_role, remove_role),
    "service accounts": ("service_accounts", MOST, add_account, remove_account),
    "invitations": ("invitations", MOST, invite, revoke),
}

each_kind = pytest.mark.parametrize(("field", "room", "add", "remove"), KINDS.values(), ids=KINDS)


def refused_for(answer: httpx.Response) -> str:
    """Return what there are too many of."""
    assert problem_of(answer, 409) == "conflict"
    (error,) = answer.json()["errors"]
    assert error["detail"] == f"a tenant has at most {MOST}"
    return str(error["field"])


@each_kind
def test_a_tenant_has_so_many_and_no_more(
    field: str, room: int, add: Add, remove: Remove, firm: Firm
) -> None:
    made = [add(firm) for _ in range(room)]
    assert [answer.status_code for answer in made] == [201] * room, made[-1].text
    assert refused_for(add(firm)) == field
    assert add(Firm(firm.desk)).status_code == 201  # that is another tenant's affair
    assert remove(firm, made[0].json()).status_code == 204
    assert add(firm).status_code == 201
    assert refused_for(add(firm)) == field


@each_kind
def test_of_many_who_add_the_last_one_at_once_one_does(
    field: str, room: int, add: Add, remove: Remove, firm: Firm
) -> None:
    for _ in range(room - 1):
        assert add(firm).status_code == 201
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda _: add(firm), range(AT_ONCE)))
    won = [answer for answer in answers if answer.status_code == 201]
    lost = [answer for answer in answers if answer.status_code != 201]
    assert len(won) == 1
    assert {refused_for(answer) for answer in lost} == {field}
    assert remove(firm, won[0].json()).status_code == 204
    assert add(firm).status_code == 201


def test_what_organizations_further_down_have_counts_as_well(firm: Firm) -> None:
    mill = firm.put("Mill")
    for place in (firm.root, mill, mill):
        body = {"name": f"clerk-{next(_numbers)}", "allow": []}
        assert firm.ask("POST", f"{place}/roles", json=body).status_code == 201
    assert refused_for(add_role(firm)) == "roles"


def test_the_platform_is_held_to_it_within_a_tenant_and_not_beside_it(firm: Firm) -> None:
    desk = firm.desk
    for _ in range(MOST):
        assert add_account(firm).status_code == 201
    body = {"name": "One more", "organization_id": str(firm.root)}
    assert refused_for(desk.as_root("POST", "/v1/service-accounts", json=body)) == (
        "service_accounts"
    )
    listed = desk.as_root(
        "GET", "/v1/service-accounts", params={"organization": str(firm.root)}
    ).json()
    assert len(listed["items"]) == MOST
    for _ in range(MOST + 1):
        name = f"of-platform-{uuid.uuid4().hex[:8]}"
        of_platform = desk.as_root("POST", "/v1/service-accounts", json={"name": name})
        assert of_platform.status_code == 201
        role = desk.as_root("POST", "/v1/roles", json={"name": name, "allow": []})
        assert role.status_code == 201


def test_an_invitation_that_expired_makes_room_and_needs_it_when_it_is_sent_again(
    firm: Firm,
) -> None:
    first = invite(firm).json()
    resend = f"{firm.root}/invitations/{first['id']}/resend"
    firm.desk.wait(Settings().invitation_lifetime)
    firm.above = bearer(firm.speak(firm.ada, firm.root))
    for _ in range(MOST):
        assert invite(firm).status_code == 201
    assert refused_for(firm.ask("POST", resend)) == "invitations"
    listed = firm.ask("GET", f"{firm.root}/invitations", params={"state": "pending"}).json()
    pending = f"{firm.root}/invitations/{listed['items'][0]['id']}"
    assert firm.ask("POST", f"{pending}/resend").status_code == 200
    assert firm.ask("DELETE", pending).status_code == 204
    assert firm.ask("POST", resend).status_code == 200


def test_a_limit_that_was_lowered_takes_nothing_away(firm: Firm) -> None:
    made = [firm.put(f"Level {number}") for number in range(MOST + 2)]
    assert refused_for(add_organization(firm)) == "organizations"
    assert len(firm.names()) == MOST + 3
    assert firm.patch(made[0], name="Another name").status_code == 200
    assert firm.move(made[1], made[0]).status_code == 200
