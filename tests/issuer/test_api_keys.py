"""API keys: made, replaced and revoked by who may do what their account may."""

from __future__ import annotations

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from apostille._signing import SigningKey
from apostille_issuer.clients.models import ApiKey
from apostille_issuer.clients.secrets import FORM, InvalidSecret, make_secret, read_secret
from apostille_issuer.db.reach import EVERY_TENANT
from support.desk import Desk, bearer, problem_of
from support.firm import Firm
from support.machines import Machine, Machines, basic, make_key


@pytest.fixture
def machines(desk: Desk) -> Machines:
    return Machines(desk)


def keys_of(machines: Machines, account: str) -> list[dict[str, Any]]:
    answer = machines.ask("GET", f"/{account}/keys")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def rotate(machines: Machines, account: str, key: str, **fields: Any) -> Any:
    return machines.ask("POST", f"/{account}/keys/{key}/rotate", json=fields)


class TestSecrets:
    """Their form, by which scanners find them."""

    def test_one_is_made_and_read_again(self) -> None:
        key_id = uuid.uuid4()
        secret = make_secret(key_id)
        assert re.fullmatch(FORM, secret.text)
        assert read_secret(secret.text) == secret
        assert secret.key_id == key_id
        assert secret.text not in (secret.hint, secret.hash)
        assert secret.hint == secret.text[:32]
        assert key_id.hex.startswith(secret.hint.removeprefix("apo_sk_"))

    def test_no_two_are_alike(self) -> None:
        key_id = uuid.uuid4()
        assert len({make_secret(key_id).text for _ in range(100)}) == 100

    @given(place=st.integers(0, 89), other=st.sampled_from("aZ09_-"))
    def test_a_changed_character_is_noticed(self, place: int, other: str) -> None:
        right = make_secret(uuid.UUID(int=1)).text
        wrong = right[:place] + other + right[place + 1 :]
        if wrong == right:
            assert read_secret(wrong).text == right
        else:
            with pytest.raises(InvalidSecret):
                read_secret(wrong)

    @pytest.mark.parametrize("bad", ["", "apo_sk_", "x\n", "apo_rt_" + "0" * 83])
    def test_what_is_none(self, bad: str) -> None:
        with pytest.raises(InvalidSecret):
            read_secret(bad)
        with pytest.raises(InvalidSecret):
            read_secret(make_secret(uuid.uuid4()).text + bad + "\n")


def test_a_secret_is_shown_once_and_not_kept(machines: Machines) -> None:
    account = machines.account()
    answer = machines.ask("POST", f"/{account}/keys", json={"name": "warehouse-1"})
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/v1/service-accounts/{account}/keys/{made['id']}"
    secret = made.pop("secret")
    assert keys_of(machines, account) == [made]
    begun = datetime.fromisoformat(made["created_at"])
    assert datetime.fromisoformat(made["expires_at"]) == begun + timedelta(days=365)
    assert made == {
        "id": made["id"],
        "name": "warehouse-1",
        "kind": "secret",
        "state": "active",
        "hint": secret[:32],
        "public_jwk": None,
        "created_at": made["created_at"],
        "expires_at": made["expires_at"],
        "last_used_at": None,
        "revoked_at": None,
    }

    async def rows() -> str:
        async with machines.desk.issuer.database.read(EVERY_TENANT) as session:
            found = (await session.execute(text("SELECT * FROM api_keys"))).all()
            trail = (await session.execute(text("SELECT before, after FROM audit_events"))).all()
            return str(found) + str(trail)

    assert secret[40:] not in machines.desk.run(rows())


def test_use_is_written_down_to_the_minute_and_once_in_one(machines: Machines) -> None:
    desk, machine = machines.desk, machines.machine()

    def last_used() -> Any:
        (key,) = keys_of(machines, machine.id)
        return key["last_used_at"]

    assert last_used() is None
    machines.token(machine)
    minute = desk.clock.now().replace(second=0, microsecond=0)
    assert datetime.fromisoformat(last_used()) == minute
    for _ in range(3):
        machines.token(machine)
    target = f"api_key:{machine.key_id}"
    (event,) = desk.events(tag="clients:key:used", target=target)
    assert event["actor_id"] == machine.id
    desk.wait(timedelta(minutes=1))
    machines.token(machine)
    assert datetime.fromisoformat(last_used()) == minute + timedelta(minutes=1)
    assert len(desk.events(tag="clients:key:used", target=target)) == 2


def test_an_account_has_so_many_keys_that_work_and_any_number_that_do_not(
    machines: Machines,
) -> None:
    account = machines.account()
    made = [machines.key(account) for _ in range(10)]
    more = machines.ask("POST", f"/{account}/keys", json={"name": "x"})
    assert problem_of(more, 409) == "conflict"
    assert [error["field"] for error in more.json()["errors"]] == ["keys"]
    assert problem_of(rotate(machines, account, made[0]["id"]), 409) == "conflict"
    in_place = rotate(machines, account, made[0]["id"], overlap_seconds=0)
    assert in_place.status_code == 201
    assert machines.ask("DELETE", f"/{account}/keys/{made[1]['id']}").status_code == 204
    machines.key(account)
    pages: list[str] = []
    params: dict[str, Any] = {"limit": 5}
    while True:
        page = machines.ask("GET", f"/{account}/keys", params=params).json()
        pages += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert pages == sorted(pages, reverse=True)
    assert len(pages) == 12


def test_two_at_once_do_not_pass_the_limit_together(machines: Machines) -> None:
    account = machines.account()
    for _ in range(9):
        machines.key(account)
    headers = machines.desk.root()

    def make(_: int) -> int:
        path = f"/{account}/keys"
        return machines.ask("POST", path, headers=headers, json={"name": "x"}).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(4))) == [201, 409, 409, 409]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": ""}, "name"),
        ({"expires_in_seconds": 59}, "expires_in_seconds"),
        ({"expires_in_seconds": 732 * 86_400}, "expires_in_seconds"),
        ({"secret": "mine"}, "secret"),
        ({"public_jwk": {}}, "public_jwk"),
        ({"public_jwk": {"kty": "oct", "k": "AAAA"}}, "public_jwk"),
        ({"public_jwk": {"kty": ["EC"]}}, "public_jwk"),
        ({"public_jwk": {"kty": "EC", "crv": "P-256"}}, "public_jwk"),
        ({"public_jwk": {"kty": "EC", "crv": "P-256", "kid": "k"}}, "public_jwk"),
        ({"public_jwk": {"kty": "EC", "crv": "P-256", "x": 5, "y": [None]}}, "public_jwk"),
        ({"public_jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA", "use": {}}}, "public_jwk"),
        ({"public_jwk": {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}}, "public_jwk"),
        ({"public_jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "k"}}, "public_jwk"),
    ],
    ids=lambda given: str(given)[:60] if isinstance(given, dict) else None,
)
def test_a_key_that_cannot_be_made_is_refused_by_field(
    fields: dict[str, Any], field: str, machines: Machines
) -> None:
    account = machines.account()
    answer = machines.ask("POST", f"/{account}/keys", json={"name": "first", **fields})
    assert problem_of(answer, 422) == "validation_failed"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert keys_of(machines, account) == []


class TestPublicKeys:
    """Keys of which the private half never comes here."""

    def test_without_name_and_algorithm_it_gets_those_of_its_type(self, machines: Machines) -> None:
        key, jwk = make_key()
        given = {name: jwk[name] for name in ("kty", "crv", "x", "y")}
        made = machines.key(machines.account(), public_jwk=given)
        assert made["public_jwk"] == {**given, "kid": key.kid, "alg": "ES256"}

    def test_what_else_is_in_it_is_not_kept(self, machines: Machines) -> None:
        _, jwk = make_key("PS256")
        given = {**jwk, "kid": "mine", "x5u": "https://example.com", "key_ops": ["verify"]}
        made = machines.key(machines.account(), public_jwk=given)["public_jwk"]
        assert made.keys() == {"kty", "n", "e", "kid", "alg"}
        assert (made["kid"], made["alg"]) == ("mine", "PS256")

    @pytest.mark.parametrize(
        "change",
        [{"use": "enc"}, {"key_ops": ["sign"]}, {"alg": "RS256"}, {"kid": "\n"}, {"kid": 7}],
        ids=str,
    )
    def test_one_for_something_else_is_refused(
        self, change: dict[str, Any], machines: Machines
    ) -> None:
        _, jwk = make_key()
        body = {"name": "x", "public_jwk": {**jwk, **change}}
        answer = machines.ask("POST", f"/{machines.account()}/keys", json=body)
        assert problem_of(answer, 422) == "validation_failed"

    def test_a_private_key_is_refused_and_not_repeated(self, machines: Machines) -> None:
        _, jwk = make_key()
        body = {"name": "x", "public_jwk": {**jwk, "d": "c2VjcmV0LXNlY3JldA"}}
        answer = machines.ask("POST", f"/{machines.account()}/keys", json=body)
        assert problem_of(answer, 422) == "validation_failed"
        assert "c2VjcmV0" not in answer.text


class TestRotation:
    """A new key beside the old one, for a while."""

    def test_both_work_for_a_day(self, machines: Machines) -> None:
        desk, machine = machines.desk, machines.machine()
        answer = rotate(machines, machine.id, machine.key_id)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        new = Machine(machine.id, made["id"], made["secret"])
        assert made["name"] == "first"
        desk.wait(timedelta(hours=23))
        for each in (machine, new):
            machines.token(each)
        desk.wait(timedelta(hours=1))
        assert machines.refused(machine)
        machines.token(new)
        states = {key["id"]: key["state"] for key in keys_of(machines, machine.id)}
        assert states == {machine.key_id: "expired", new.key_id: "active"}
        (event,) = desk.events(tag="clients:key:created", target=f"api_key:{new.key_id}")
        assert event["after"]["replaces"] == machine.key_id

    def test_without_overlap_the_old_one_and_its_tokens_end(self, machines: Machines) -> None:
        machine = machines.machine()
        tokens = machines.token(machine)
        answer = rotate(machines, machine.id, machine.key_id, overlap_seconds=0, name="second")
        assert answer.json()["name"] == "second"
        assert machines.refused(machine)
        assert machines.voided(tokens)

    def test_the_old_one_does_not_live_longer_for_it(self, machines: Machines) -> None:
        account = machines.account()
        old = machines.key(account, expires_in_seconds=3_600)
        new = rotate(machines, account, old["id"], overlap_seconds=86_400).json()
        kept = {key["id"]: key["expires_at"] for key in keys_of(machines, account)}
        assert kept[old["id"]] == old["expires_at"]
        assert kept[new["id"]] > old["expires_at"]

    def test_a_change_of_rights_voids_tokens_that_outlive_their_key(
        self, machines: Machines
    ) -> None:
        desk, machine = machines.desk, machines.machine()
        tokens = machines.token(machine)
        assert rotate(machines, machine.id, machine.key_id, overlap_seconds=60).is_success
        desk.wait(timedelta(minutes=2))
        assert machines.refused(machine)
        assert not machines.voided(tokens)
        desk.as_root("PUT", f"/v1/users/{machine.id}/roles/staff")
        assert machines.voided(tokens)

    def test_of_a_public_key_takes_the_next_public_key(self, machines: Machines) -> None:
        key, jwk = make_key()
        account = machines.account()
        old = machines.key(account, public_jwk=jwk)
        assert problem_of(rotate(machines, account, old["id"]), 422) == "validation_failed"
        successor, new_jwk = make_key()
        answer = rotate(machines, account, old["id"], public_jwk=new_jwk)
        assert answer.status_code == 201, answer.text
        for each in (key, successor):
            assert machines.assert_with(machines.assertion(account, each)).status_code == 200
        secret = machines.key(account)
        wrong = rotate(machines, account, secret["id"], public_jwk=new_jwk)
        assert problem_of(wrong, 422) == "validation_failed"

    def test_what_works_no_longer_is_not_rotated(self, machines: Machines) -> None:
        machine = machines.machine()
        assert machines.ask("DELETE", f"/{machine.id}/keys/{machine.key_id}").is_success
        answer = rotate(machines, machine.id, machine.key_id)
        assert problem_of(answer, 409) == "conflict"
        unknown = rotate(machines, machine.id, str(uuid.uuid4()))
        assert problem_of(unknown, 404) == "not_found"

    @pytest.mark.parametrize("seconds", [-1, 30 * 86_400 + 1])
    def test_an_overlap_has_its_limits(self, seconds: int, machines: Machines) -> None:
        machine = machines.machine()
        answer = rotate(machines, machine.id, machine.key_id, overlap_seconds=seconds)
        assert problem_of(answer, 422) == "validation_failed"


class TestRevocation:
    """A key that is known to others."""

    def test_it_ends_with_its_tokens_and_the_others_stay(self, machines: Machines) -> None:
        machine = machines.machine()
        other = machines.key(machine.id)
        kept = Machine(machine.id, other["id"], other["secret"])
        tokens, kept_tokens = machines.token(machine), machines.token(kept)
        path = f"/{machine.id}/keys/{machine.key_id}"
        for _ in range(2):
            assert machines.ask("DELETE", path).status_code == 204
        assert machines.refused(machine)
        assert machines.voided(tokens)
        assert not machines.voided(kept_tokens)
        (event,) = machines.desk.events(
            tag="clients:key:revoked", target=f"api_key:{machine.key_id}"
        )
        assert event["after"] == {"account_id": machine.id, "name": "first"}

    def test_a_key_is_found_at_its_own_account_alone(self, machines: Machines) -> None:
        machine, other = machines.machine(), machines.account()
        answer = machines.ask("DELETE", f"/{other}/keys/{machine.key_id}")
        assert problem_of(answer, 404) == "not_found"
        assert not machines.refused(machine)

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("DELETE", "/{account}/keys/{key}", None),
            ("POST", "/{account}/keys/{key}/rotate", {"overlap_seconds": 0}),
            ("PATCH", "/{account}", {"state": "disabled"}),
            ("DELETE", "/{account}", None),
        ],
        ids=["revoked", "rotated", "disabled", "deleted"],
    )
    def test_a_use_at_that_moment_makes_no_token_that_lives(
        self, method: str, path: str, body: Any, machines: Machines
    ) -> None:
        """Whichever is first: there is no token, or it is void."""
        headers = machines.desk.root()
        for _ in range(3):
            machine = machines.machine()
            where = path.format(account=machine.id, key=machine.key_id)

            def use(_: int, each: Machine = machine) -> dict[str, Any] | None:
                answer = machines.request({}, basic(each.id, each.secret))
                tokens: dict[str, Any] | None = answer.json() if answer.is_success else None
                return tokens

            with ThreadPoolExecutor(4) as pool:
                uses = [pool.submit(use, number) for number in range(3)]
                ended = pool.submit(machines.ask, method, where, headers=headers, json=body)
                assert ended.result().is_success, ended.result().text
                made = [tokens for each in uses if (tokens := each.result()) is not None]
            assert all(machines.voided(tokens) for tokens in made)
            assert machines.refused(machine)


class TestRights:
    """Who makes a key could do himself what it is good for."""

    @pytest.fixture
    def clerk(self, desk: Desk) -> dict[str, str]:
        name = f"keeper-{uuid.uuid4().hex[:8]}"
        body = {"name": name, "allow": ["iam.clients.*"]}
        assert desk.as_root("POST", "/v1/roles", json=body).status_code == 201
        return bearer(desk.tokens(desk.hire(name).login))

    @pytest.fixture
    def baker(self, desk: Desk) -> str:
        """The name of a role with a right that has nothing to do with the issuer."""
        names = {"ovens.heat": ""}
        manifest = {"service": "ovens", "version": "1", "permissions": names}
        assert desk.as_root("PUT", "/v1/services/ovens", json=manifest).is_success
        name = f"baker-{uuid.uuid4().hex[:8]}"
        body = {"name": name, "allow": ["ovens.heat"]}
        assert desk.as_root("POST", "/v1/roles", json=body).status_code == 201
        return name

    def test_of_an_account_without_rights_anybody_who_manages_clients(
        self, machines: Machines, clerk: dict[str, str]
    ) -> None:
        account = machines.account()
        answer = machines.ask("POST", f"/{account}/keys", headers=clerk, json={"name": "x"})
        assert answer.status_code == 201

    def test_of_one_with_other_rights_nobody_who_lacks_them(
        self, machines: Machines, clerk: dict[str, str], baker: str
    ) -> None:
        account = machines.account(baker)
        key = machines.key(account)
        for path in ("keys", f"keys/{key['id']}/rotate"):
            answer = machines.ask("POST", f"/{account}/{path}", headers=clerk, json={"name": "x"})
            assert problem_of(answer, 403) == "grant_exceeds_own"
            assert answer.json()["missing"] == ["ovens.heat"]
        (event, *_) = machines.desk.events(target=f"service_account:{account}", outcome="refused")
        assert event["tag"] == "clients:key:created"
        # To revoke it hands on nothing.
        answer = machines.ask("DELETE", f"/{account}/keys/{key['id']}", headers=clerk)
        assert answer.status_code == 204

    def test_disabled_ones_count_as_if_they_were_not(
        self, machines: Machines, clerk: dict[str, str], baker: str
    ) -> None:
        account = machines.account(baker)
        machines.ask("PATCH", f"/{account}", json={"state": "disabled"})
        answer = machines.ask("POST", f"/{account}/keys", headers=clerk, json={"name": "x"})
        assert problem_of(answer, 403) == "grant_exceeds_own"

    def test_within_a_tenant_what_one_holds_in_that_organization_counts(
        self, machines: Machines, baker: str
    ) -> None:
        firm = Firm(machines.desk)
        mill = firm.put("Mill")
        account = machines.account(baker, organization=mill)
        path = f"/{account}/keys"
        answer = machines.ask("POST", path, headers=firm.above, json={"name": "x"})
        assert problem_of(answer, 403) == "grant_exceeds_own"
        firm.join(mill, firm.ada, baker)
        answer = machines.ask("POST", path, headers=firm.above, json={"name": "x"})
        assert answer.status_code == 201, answer.text

    def test_what_counts_further_down_has_to_be_held_there(self, machines: Machines) -> None:
        firm = Firm(machines.desk)
        mill = firm.put("Mill")
        # Bob has all of iam in the mill, but not below it; the machine has.
        bob = firm.member(mill, firm.role(mill, "iam.*"))
        headers = bearer(firm.speak(bob, mill))
        account = machines.account("admin", organization=mill)
        answer = machines.ask("POST", f"/{account}/keys", headers=headers, json={"name": "x"})
        assert problem_of(answer, 403) == "grant_exceeds_own"
        granted = machines.ask("POST", f"/{account}/keys", headers=firm.above, json={"name": "x"})
        assert granted.status_code == 201, granted.text


def test_a_signing_key_is_not_in_the_way_of_scanners() -> None:
    """The regular expression finds a secret in the middle of a line."""
    secret = make_secret(uuid.uuid4()).text
    assert re.findall(FORM, f'token="{secret}", x={SigningKey.generate("ES256").kid}') == [secret]


def test_rows_of_keys_hold_one_proof(machines: Machines) -> None:
    account = uuid.UUID(machines.account())
    machines.key(str(account))
    _, jwk = make_key()
    machines.key(str(account), public_jwk=jwk)

    async def rows() -> list[tuple[bool, bool]]:
        async with machines.desk.issuer.database.read(EVERY_TENANT) as session:
            found = await session.scalars(select(ApiKey).where(ApiKey.account_id == account))
            return [(key.secret_hash is None, key.public_jwk is None) for key in found]

    assert sorted(machines.desk.run(rows())) == [(False, True), (True, False)]
