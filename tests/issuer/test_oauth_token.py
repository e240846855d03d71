"""Access tokens for clients (RFC 6749 section 4.4), by secret and by assertion (RFC 7523)."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apostille._signing import SigningKey
from apostille_contracts.claims import ALGORITHMS
from apostille_contracts.problems import ProblemCode
from apostille_issuer.clients.lane import Lane
from apostille_issuer.clients.oauth_controllers import TokenRequestForm
from apostille_issuer.clients.secrets import make_secret
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.settings import RateLimit
from support.desk import Desk, bearer, open_desk, problem_of
from support.lists import claims_in
from support.machines import Machines, basic, make_key, oauth_error
from support.tenants import insert_membership, insert_organization, insert_tenant

REFUSED = "clients:key:refused"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def machines(desk: Desk) -> Machines:
    return Machines(desk)


def test_a_secret_gets_a_token_that_says_what_the_account_may_do(machines: Machines) -> None:
    machine = machines.machine("staff")
    tokens = machines.token(machine)
    assert tokens.keys() == {"access_token", "token_type", "expires_in"}
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 600)
    claims = machines.desk.claims(tokens)
    assert (claims.sub, claims.client_id, claims.sid) == (machine.id, machine.id, machine.key_id)
    assert claims.roles == ("staff",)
    assert "iam.users.read" in claims.permissions
    said = claims_in(tokens["access_token"])
    assert not {"auth_time", "amr", "tid", "org"} & said.keys()


def test_either_way_to_send_a_secret_will_do(machines: Machines) -> None:
    machine = machines.machine()
    posted = {"client_id": machine.id, "client_secret": machine.secret}
    assert machines.request(posted).status_code == 200
    header = basic(machine.id, machine.secret)
    assert machines.request({}, header).status_code == 200
    # It may say again in the form who it is.
    assert machines.request({"client_id": machine.id}, header).status_code == 200
    assert machines.request({"client_secret": "", "scope": ""}, header).status_code == 200


def test_the_answer_is_not_kept_and_no_refresh_token_is_in_it(machines: Machines) -> None:
    machine = machines.machine()
    answer = machines.request({}, basic(machine.id, machine.secret))
    assert answer.headers["cache-control"] == "no-store"
    assert "refresh_token" not in answer.json()


def test_the_token_opens_routes_and_can_be_introspected_by_another_machine(
    machines: Machines,
) -> None:
    desk, machine = machines.desk, machines.machine("staff")
    tokens = machines.token(machine)
    assert desk.http.get("/v1/users", headers=bearer(tokens)).status_code == 200
    refused = desk.http.post("/v1/users", json={"login": "x"}, headers=bearer(tokens))
    assert problem_of(refused, 403) == "permission_denied"
    auditor = machines.token(machines.machine("admin"))
    form = {"token": tokens["access_token"]}
    said = desk.http.post("/oauth/introspect", data=form, headers=bearer(auditor)).json()
    assert (said["active"], said["client_id"]) == (True, machine.id)


@pytest.mark.parametrize("parameter", ["audience", "resource"])
def test_audiences_are_narrowed_by_either_name(parameter: str, machines: Machines) -> None:
    desk, machine = machines.desk, machines.machine("staff")
    for name in ("bakery", "brewery"):
        manifest: dict[str, Any] = {"service": name, "version": "1", "permissions": {}}
        assert desk.as_root("PUT", f"/v1/services/{name}", json=manifest).is_success
    one = machines.token(machine, **{parameter: "bakery"})
    assert desk.claims(one, audience="bakery").aud == "bakery"
    assert desk.claims(one, audience="bakery").permissions == ()
    two = machines.token(machine, **{parameter: ["bakery", "brewery"]})
    assert desk.claims(two, audience="brewery").aud == ("bakery", "brewery")
    header = basic(machine.id, machine.secret)
    assert oauth_error(machines.request({parameter: "elsewhere"}, header)) == "invalid_target"
    many = {parameter: [f"service-{number}" for number in range(101)]}
    assert oauth_error(machines.request(many, header)) == "invalid_target"


class TestInAnOrganization:
    """Of an account that is a member, with a scope and a plan."""

    @pytest.fixture
    def place(self, desk: Desk) -> tuple[uuid.UUID, uuid.UUID]:
        tenant, root = desk.run(insert_tenant(desk.issuer))
        return tenant, desk.run(insert_organization(desk.issuer, tenant, "Mill", root))

    def test_the_token_speaks_for_it(
        self, machines: Machines, place: tuple[uuid.UUID, uuid.UUID]
    ) -> None:
        tenant, organization = place
        machine = machines.machine("admin", organization=organization)
        claims = machines.desk.claims(machines.token(machine))
        assert (claims.tid, claims.org) == (str(tenant), str(organization))
        assert (claims.roles, claims.permissions) == (("admin",), ("iam.*",))
        assert claims.plan == "basic"

    def test_scopes_are_those_of_the_membership_and_can_be_narrowed(
        self, machines: Machines, place: tuple[uuid.UUID, uuid.UUID]
    ) -> None:
        desk, (_, organization) = machines.desk, place
        machine = machines.machine(organization=organization)
        path = f"/v1/organizations/{organization}/members/{machine.id}"
        patched = desk.as_root("PATCH", path, json={"scopes": ["read", "write"]})
        assert patched.status_code == 200, patched.text
        tokens = machines.token(machine)
        assert tokens["scope"] == desk.claims(tokens).scope == "read write"
        narrowed = machines.token(machine, scope=" read  read")
        assert narrowed["scope"] == desk.claims(narrowed).scope == "read"
        header = basic(machine.id, machine.secret)
        for scope in ("read admin", "READ"):
            assert oauth_error(machines.request({"scope": scope}, header)) == "invalid_scope"

    def test_a_token_has_whom_it_speaks_for_as_its_only_place(
        self, machines: Machines, place: tuple[uuid.UUID, uuid.UUID]
    ) -> None:
        desk, (tenant, organization) = machines.desk, place
        machine = machines.machine("staff", organization=organization)
        other = desk.run(insert_organization(desk.issuer, tenant, "Barn", organization))
        desk.run(insert_membership(desk.issuer, other, uuid.UUID(machine.id), "admin"))
        claims = desk.claims(machines.token(machine))
        assert (claims.org, claims.roles) == (str(organization), ("staff",))

    def test_who_is_no_member_any_more_is_told_so_and_his_tokens_are_void(
        self, machines: Machines, place: tuple[uuid.UUID, uuid.UUID]
    ) -> None:
        desk, (_, organization) = machines.desk, place
        machine = machines.machine("staff", organization=organization)
        tokens = machines.token(machine)
        path = f"/v1/organizations/{organization}/members/{machine.id}"
        assert desk.as_root("PATCH", path, json={"state": "suspended"}).is_success
        assert machines.voided(tokens)
        header = basic(machine.id, machine.secret)
        assert oauth_error(machines.request({}, header)) == "unauthorized_client"
        assert desk.as_root("PATCH", path, json={"state": "active"}).is_success
        assert desk.claims(machines.token(machine)).roles == ("staff",)

    def test_of_an_organization_that_is_deactivated_nobody_gets_a_token(
        self, machines: Machines, place: tuple[uuid.UUID, uuid.UUID]
    ) -> None:
        desk, (_, organization) = machines.desk, place
        machine = machines.machine("staff", organization=organization)
        tokens = machines.token(machine)
        path = f"/v1/organizations/{organization}"
        assert desk.as_root("PATCH", path, json={"state": "deactivated"}).is_success
        assert machines.voided(tokens)
        header = basic(machine.id, machine.secret)
        assert oauth_error(machines.request({}, header)) == "unauthorized_client"
        assert desk.as_root("PATCH", path, json={"state": "active"}).is_success
        assert not machines.voided(machines.token(machine))


class TestRequests:
    """Which requests are refused, and how (RFC 6749 sections 2.3, 3.2 and 5.2)."""

    def test_without_a_client(self, machines: Machines) -> None:
        answer = machines.request({})
        assert oauth_error(answer, 401) == "invalid_client"
        assert answer.headers["www-authenticate"].startswith("Basic realm=")

    @pytest.mark.parametrize(
        "header",
        [
            "Bearer abc",
            "Basic",
            "Basic !!!",
            "Basic " + base64.b64encode(b"no colon").decode(),
            "Basic " + base64.b64encode(b"\xff:\xff").decode(),
            "Basic " + base64.b64encode(b"%ff:%ff").decode(),
            "Basic " + base64.b64encode(b":").decode(),
        ],
        ids=["bearer", "empty", "no-base64", "no-colon", "no-utf8", "no-utf8-escaped", "nothing"],
    )
    def test_with_a_header_that_is_none(self, header: str, machines: Machines) -> None:
        answer = machines.request({}, {"authorization": header})
        assert oauth_error(answer, 401) == "invalid_client"

    def test_values_of_the_header_are_those_of_a_form(self, machines: Machines) -> None:
        machine = machines.machine()
        escaped = machine.secret.replace("_", "%5f")
        assert machines.request({}, basic(machine.id, escaped)).status_code == 200

    def test_two_ways_to_authenticate_are_one_too_many(self, machines: Machines) -> None:
        machine = machines.machine()
        header = basic(machine.id, machine.secret)
        secret = {"client_id": machine.id, "client_secret": machine.secret}
        assertion = {"client_assertion": "a.b.c"}
        for form, headers in (
            (secret, header),
            (assertion, header),
            (secret | assertion, None),
            ({"client_assertion_type": "x"}, header),
            ({"client_id": str(uuid.uuid4())}, header),
        ):
            assert oauth_error(machines.request(form, headers)) == "invalid_request", form
        twice = [("authorization", header["authorization"])] * 2
        answer = machines.desk.http.post("/oauth/token", data={"grant_type": "x"}, headers=twice)
        assert oauth_error(answer) == "invalid_request"

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ("", "invalid_request"),
            ("scope=read", "invalid_request"),
            ("grant_type=", "invalid_request"),
            ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
            ("grant_type=client_credentials&scope=a&scope=b", "invalid_request"),
            ("grant_type=password", "unsupported_grant_type"),
            ("grant_type=refresh_token", "unsupported_grant_type"),
            ("grant_type=CLIENT_CREDENTIALS", "unsupported_grant_type"),
        ],
    )
    def test_forms_that_are_none(self, body: str, error: str, machines: Machines) -> None:
        machine = machines.machine()
        headers = basic(machine.id, machine.secret) | FORM
        answer = machines.desk.http.post("/oauth/token", content=body, headers=headers)
        assert oauth_error(answer) == error

    def test_json_is_no_form(self, machines: Machines) -> None:
        body = {"grant_type": "client_credentials"}
        answer = machines.desk.http.post("/oauth/token", json=body)
        assert oauth_error(answer) == "invalid_request"

    @given(
        form=st.dictionaries(
            st.sampled_from(sorted(TokenRequestForm.__struct_fields__)) | st.text(max_size=8),
            st.text(max_size=40) | st.lists(st.text(max_size=8), max_size=3),
        ),
        header=st.none() | st.binary(min_size=1, max_size=60),
    )
    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_whatever_is_sent_no_answer_is_a_fault_of_ours(
        self, form: dict[str, Any], header: bytes | None, machines: Machines
    ) -> None:
        headers = {}
        if header is not None:
            headers["authorization"] = "Basic " + base64.b64encode(header).decode()
        answer = machines.desk.http.post("/oauth/token", data=form, headers=headers)
        assert answer.status_code in (400, 401, 429)

    def test_unknown_parameters_are_ignored(self, machines: Machines) -> None:
        machine = machines.machine()
        form = {"colour": ["red", "blue"], "client_secret_expires_at": "0"}
        assert machines.request(form, basic(machine.id, machine.secret)).status_code == 200

    def test_a_token_that_would_be_too_large_names_the_role(self, machines: Machines) -> None:
        desk = machines.desk
        names = {f"depot.a{'x' * 50}{number}": "" for number in range(150)}
        manifest = {"service": "depot", "version": "1", "permissions": names}
        assert desk.as_root("PUT", "/v1/services/depot", json=manifest).is_success
        role = {"name": "overlord", "allow": list(names)}
        assert desk.as_root("POST", "/v1/roles", json=role).status_code == 201
        machine = machines.machine("overlord")
        answer = machines.request({"audience": "depot"}, basic(machine.id, machine.secret))
        assert problem_of(answer, 409) == "token_oversized"
        desk.as_root("DELETE", f"/v1/service-accounts/{machine.id}")
        desk.as_root("DELETE", "/v1/roles/overlord")
        desk.as_root("DELETE", "/v1/services/depot")


class TestSecrets:
    """Which secrets are refused; always with the same answer, the reason in the trail."""

    def reason(self, machines: Machines, target: str | None = None) -> Any:
        wanted = {} if target is None else {"target": target}
        (event, *_) = machines.desk.events(tag="clients:key:refused", **wanted)
        assert event["outcome"] == "refused"
        return event["after"]["reason"]

    def test_of_whatever_is_wrong_the_client_learns_nothing(self, machines: Machines) -> None:
        one, other = machines.machine(), machines.machine()
        tail = "A" if one.secret[-8] != "A" else "B"
        wrong = machines.key(one.id)["secret"]
        revoked = machines.key(one.id)
        machines.ask("DELETE", f"/{one.id}/keys/{revoked['id']}")
        answers = [
            machines.request({}, basic(client, secret))
            for client, secret in (
                (str(uuid.uuid4()), one.secret),
                (other.id, one.secret),
                (one.id.upper(), one.secret),
                ("{" + one.id + "}", one.secret),
                ("apostille", one.secret),
                (one.id, ""),
                (one.id, "hunter2"),
                (one.id, one.secret[:-8] + tail + one.secret[-7:]),
                (one.id, wrong.replace(wrong[7:39], uuid.uuid4().hex)),
                (one.id, revoked["secret"]),
            )
        ]
        assert {oauth_error(answer, 401) for answer in answers} == {"invalid_client"}
        for answer in answers:
            del answer.headers["x-request-id"], answer.headers["date"]
        assert len({(answer.text, str(answer.headers)) for answer in answers}) == 1

    def test_the_trail_has_the_reason_and_the_key_and_no_secret(self, machines: Machines) -> None:
        one, other = machines.machine(), machines.machine()
        assert machines.request({}, basic(other.id, one.secret)).status_code == 401
        assert self.reason(machines, f"api_key:{one.key_id}") == "another_client"
        machines.request({}, basic(one.id, "hunter2"))
        assert self.reason(machines) == "malformed_secret"
        assert "hunter2" not in json.dumps(machines.desk.events(tag="clients:key:refused"))

    def test_a_disabled_account_is_refused_like_one_that_is_not_there(
        self, machines: Machines
    ) -> None:
        machine = machines.machine()
        assert machines.ask("PATCH", f"/{machine.id}", json={"state": "disabled"}).is_success
        assert machines.refused(machine)
        assert self.reason(machines, f"api_key:{machine.key_id}") == "disabled"

    def test_an_expired_key_is_refused_to_the_second(self, machines: Machines) -> None:
        desk = machines.desk
        account = machines.account()
        made = machines.key(account, expires_in_seconds=90)
        header = basic(account, made["secret"])
        assert machines.request({}, header).json()["expires_in"] == 90
        desk.wait(timedelta(seconds=88))
        assert machines.request({}, header).json()["expires_in"] <= 2
        desk.wait(timedelta(seconds=2))
        assert oauth_error(machines.request({}, header), 401) == "invalid_client"
        assert self.reason(machines, f"api_key:{made['id']}") == "expired"


class TestAssertions:
    """Client authentication by ``private_key_jwt``."""

    @pytest.fixture
    def pair(self, machines: Machines) -> tuple[str, SigningKey]:
        key, jwk = make_key()
        account = machines.account("staff")
        machines.key(account, public_jwk=jwk)
        return account, key

    def refusal(self, machines: Machines, assertion: str, **form: Any) -> str:
        answer = machines.assert_with(assertion, **form)
        assert oauth_error(answer, 401) == "invalid_client"
        (event, *_) = machines.desk.events(tag="clients:key:refused")
        return str(event["after"]["reason"])

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_of_every_algorithm_gets_a_token(self, algorithm: Any, machines: Machines) -> None:
        key, jwk = make_key(algorithm)
        account = machines.account("staff")
        made = machines.key(account, public_jwk=jwk)
        assert (made["kind"], made["secret"], made["hint"]) == ("public_key", None, None)
        answer = machines.assert_with(machines.assertion(account, key))
        assert answer.status_code == 200, answer.text
        claims = machines.desk.claims(answer.json())
        assert (claims.sub, claims.sid) == (account, made["id"])

    def test_the_token_endpoint_may_be_its_audience_and_the_client_be_named(
        self, machines: Machines, pair: tuple[str, SigningKey]
    ) -> None:
        account, key = pair
        endpoint = f"{machines.desk.issuer.settings.issuer_url}/oauth/token"
        for form in ({}, {"client_id": account}):
            for aud in (endpoint, [endpoint]):
                assertion = machines.assertion(account, key, aud=aud)
                assert machines.assert_with(assertion, **form).status_code == 200

    @pytest.mark.parametrize("typ", [None, "jwt", "client-authentication+jwt"])
    def test_its_type_may_be_left_out(
        self, typ: str | None, machines: Machines, pair: tuple[str, SigningKey]
    ) -> None:
        account, key = pair
        header = {"typ": typ, "kid": None}
        assertion = machines.assertion(account, key, header=header)
        assert machines.assert_with(assertion).status_code == 200

    def test_it_is_good_once(self, machines: Machines, pair: tuple[str, SigningKey]) -> None:
        account, key = pair
        assertion = machines.assertion(account, key)
        assert machines.assert_with(assertion).status_code == 200
        assert self.refusal(machines, assertion) == "used_before"
        # What has expired is forgotten, and refused for its age.
        machines.desk.wait(timedelta(minutes=10))
        assert self.refusal(machines, assertion) == "expired"
        assert machines.assert_with(machines.assertion(account, key)).status_code == 200

    def test_of_many_uses_at_once_one_is_the_first(
        self, machines: Machines, pair: tuple[str, SigningKey]
    ) -> None:
        account, key = pair
        assertion = machines.assertion(account, key)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: machines.assert_with(assertion), range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]

    def test_two_accounts_may_use_the_same_identifier(self, machines: Machines) -> None:
        key, jwk = make_key()
        for _ in range(2):
            account = machines.account()
            machines.key(account, public_jwk=jwk)
            assertion = machines.assertion(account, key, jti="1")
            assert machines.assert_with(assertion).status_code == 200

    def test_one_that_gets_no_token_is_not_used_up(
        self, machines: Machines, pair: tuple[str, SigningKey]
    ) -> None:
        account, key = pair
        assertion = machines.assertion(account, key)
        assert oauth_error(machines.assert_with(assertion, scope="x")) == "invalid_scope"
        assert machines.assert_with(assertion).status_code == 200

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"iss": "somebody"}, "invalid_claim"),
            ({"iss": None}, "invalid_claim"),
            ({"sub": None}, "invalid_claim"),
            ({"aud": None}, "invalid_claim"),
            ({"aud": []}, "invalid_claim"),
            ({"aud": "https://elsewhere.example"}, "wrong_audience"),
            ({"exp": None}, "invalid_claim"),
            ({"exp": True}, "invalid_claim"),
            ({"exp": "soon"}, "invalid_claim"),
            ({"exp": 1e300}, "invalid_claim"),
            ({"jti": None}, "invalid_claim"),
            ({"jti": ""}, "invalid_claim"),
            ({"jti": "j" * 256}, "invalid_claim"),
            ({"header": {"typ": "at+jwt"}}, "wrong_type"),
            ({"header": {"typ": "K\u212a"}}, "wrong_type"),
            ({"header": {"alg": "none"}}, "unknown_key"),
            ({"header": {"alg": "HS256"}}, "unknown_key"),
            ({"header": {"alg": "RS256"}}, "unknown_key"),
            ({"header": {"alg": None}}, "malformed"),
            ({"header": {"kid": 7}}, "malformed"),
            ({"header": {"kid": "another"}}, "unknown_key"),
            ({"header": {"crit": ["b64"], "b64": False}}, "malformed"),
            ({"header": {"jwk": {}}}, "malformed"),
        ],
        ids=lambda given: json.dumps(given) if isinstance(given, dict) else None,
    )
    def test_hostile_ones_are_refused(
        self,
        changes: dict[str, Any],
        reason: str,
        machines: Machines,
        pair: tuple[str, SigningKey],
    ) -> None:
        account, key = pair
        assert self.refusal(machines, machines.assertion(account, key, **changes)) == reason

    def test_two_audiences_are_one_too_many(
        self, machines: Machines, pair: tuple[str, SigningKey]
    ) -> None:
        account, key = pair
        aud = [machines.desk.issuer.settings.issuer_url, "https://elsewhere.example"]
        assert self.refusal(machines, machines.assertion(account, key, aud=aud)) == "invalid_claim"

    @pytest.mark.parametrize(
        ("claim", "good", "bad", "reason"),
        [
            ("exp", -29, -30, "expired"),
            ("exp", 330, 331, "lives_too_long"),
            ("iat", 30, 31, "not_yet_valid"),
            ("nbf", 30, 31, "not_yet_valid"),
        ],
    )
    def test_times_have_their_limits(
        self,
        claim: str,
        good: int,
        bad: int,
        reason: str,
        machines: Machines,
        pair: tuple[str, SigningKey],
    ) -> None:
        account, key = pair
        now = int(machines.desk.clock.time())
        accepted = machines.assertion(account, key, **{claim: now + good})
        assert machines.assert_with(accepted).status_code == 200
        refused = machines.assertion(account, key, **{claim: now + bad})
        assert self.refusal(machines, refused) == reason

    def test_another_key_of_the_same_name_does_not_pass(
        self, machines: Machines, pair: tuple[str, SigningKey]
    ) -> None:
        account, key = pair
        thief = SigningKey.generate("ES256")
        assertion = machines.assertion(account, thief, header={"kid": key.kid})
        assert self.refusal(machines, assertion) == "bad_signature"

    def test_a_key_of_another_account_does_not_pass(
        self, machines: Machines, pair: tuple[str, SigningKey]
    ) -> None:
        _, key = pair
        other = machines.account()
        assert self.refusal(machines, machines.assertion(other, key)) == "unknown_key"

    def test_a_public_key_is_no_secret(
        self, machines: Machines, pair: tuple[str, SigningKey]
    ) -> None:
        account, _ = pair
        (key,) = machines.ask("GET", f"/{account}/keys").json()["items"]
        forged = machines.machine().secret
        own = forged.replace(forged[7:39], uuid.UUID(key["id"]).hex)
        answer = machines.request({}, basic(account, own))
        assert oauth_error(answer, 401) == "invalid_client"

    def test_a_client_that_is_named_has_to_be_the_one(
        self, machines: Machines, pair: tuple[str, SigningKey]
    ) -> None:
        account, key = pair
        assertion = machines.assertion(account, key)
        assert self.refusal(machines, assertion, client_id="apostille") == "another_client"
        nobody = machines.assertion("nobody", key)
        assert self.refusal(machines, nobody) == "unknown_client"

    @pytest.mark.parametrize(
        "text",
        [
            "a.b",
            "a.b.c.d",
            "a.b.",
            "a b.c.d",
            "é.b.c",
            "A.b.c",
            "bnVsbA.bnVsbA.c",
            "W10.W10.c",
            "eyJhbGciOiJFUzI1NiIsImFsZyI6Im5vbmUifQ.e30.c",
            "eyJhbGciOk5hTn0.e30.c",
            "eyJraWQiOiJcdWQ4MDAifQ.e30.c",
            "x" * 8_193,
        ],
        ids=lambda text: text[:20],
    )
    def test_what_is_no_jwt(self, text: str, machines: Machines) -> None:
        assert self.refusal(machines, text) == "malformed"

    def test_the_kind_of_assertion_has_to_be_said(
        self, machines: Machines, pair: tuple[str, SigningKey]
    ) -> None:
        account, key = pair
        assertion = machines.assertion(account, key)
        saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"
        for form in (
            {"client_assertion": assertion},
            {"client_assertion": assertion, "client_assertion_type": saml},
            {"client_assertion_type": saml},
        ):
            assert oauth_error(machines.request(form)) == "invalid_request"

    def test_a_revoked_key_signs_for_nobody(self, machines: Machines) -> None:
        key, jwk = make_key("EdDSA")
        account = machines.account()
        made = machines.key(account, public_jwk=jwk)
        tokens = machines.assert_with(machines.assertion(account, key)).json()
        assert machines.ask("DELETE", f"/{account}/keys/{made['id']}").status_code == 204
        assert self.refusal(machines, machines.assertion(account, key)) == "unknown_key"
        assert machines.voided(tokens)


class TestRevocation:
    """What services see of a change, in seconds."""

    def test_of_rights_voids_the_token_and_the_next_one_has_them(self, machines: Machines) -> None:
        machine = machines.machine()
        old = machines.token(machine)
        assert not machines.voided(old)
        path = f"/v1/users/{machine.id}/roles/staff"
        assert machines.desk.as_root("PUT", path).status_code == 204
        assert machines.voided(old)
        new = machines.token(machine)
        assert machines.desk.claims(new).roles == ("staff",)
        assert not machines.voided(new)
        # At hand, without a write: the same place in the list.
        assert machines.desk.claims(machines.token(machine)).roles == ("staff",)

    def test_disabling_voids_tokens_and_enabling_brings_the_keys_back(
        self, machines: Machines
    ) -> None:
        machine = machines.machine("staff")
        old = machines.token(machine)
        assert machines.ask("PATCH", f"/{machine.id}", json={"state": "disabled"}).is_success
        assert machines.voided(old)
        assert machines.refused(machine)
        assert machines.ask("PATCH", f"/{machine.id}", json={"state": "active"}).is_success
        assert not machines.voided(machines.token(machine))

    def test_deleting_voids_tokens(self, machines: Machines) -> None:
        machine = machines.machine("staff")
        old = machines.token(machine)
        assert machines.ask("DELETE", f"/{machine.id}").status_code == 204
        assert machines.voided(old)
        assert machines.refused(machine)

    @pytest.mark.parametrize("way", ["revoke", "logout", "everywhere", "one", "administrator"])
    def test_whoever_ends_the_session_voids_tokens_and_spares_the_key(
        self, way: str, machines: Machines
    ) -> None:
        desk, machine = machines.desk, machines.machine("staff")
        tokens = machines.token(machine)
        match way:
            case "revoke":
                form = {"token": tokens["access_token"]}
                answer = desk.http.post("/oauth/revoke", data=form)
            case "logout":
                answer = desk.http.post("/v1/auth/logout", headers=bearer(tokens))
            case "everywhere":
                answer = desk.http.post("/v1/auth/logout-everywhere", headers=bearer(tokens))
            case "one":
                path = f"/v1/me/sessions/{machine.key_id}"
                answer = desk.http.delete(path, headers=bearer(tokens))
            case _:
                answer = desk.as_root("DELETE", f"/v1/users/{machine.id}/sessions")
        assert answer.is_success, answer.text
        assert machines.voided(tokens)
        assert not machines.voided(machines.token(machine))
        ended = desk.events(tag="session:session:ended", limit=1)[0]["after"]
        assert (ended.get("sessions", 0), ended["api_keys"]) == (0, 1)


class TestLimits:
    """How often clients may fail, and that it is their affair alone."""

    @pytest.fixture
    def limited(self, database_url: str) -> Iterator[Machines]:
        limits = {
            "client_limit_per_key": RateLimit(3, timedelta(minutes=1)),
            "client_limit_per_address": RateLimit(8, timedelta(minutes=1)),
        }
        with open_desk(database_url, **limits) as desk:
            yield Machines(desk)

    def reasons(self, machines: Machines) -> list[str]:
        return [event["after"]["reason"] for event in machines.desk.events(tag=REFUSED)]

    def test_too_many_failures_of_one_key_are_429_and_others_do_not_notice(
        self, limited: Machines
    ) -> None:
        machine = limited.machine()
        forgotten = limited.key(machine.id)
        limited.ask("DELETE", f"/{machine.id}/keys/{forgotten['id']}")
        header = basic(machine.id, forgotten["secret"])
        for _ in range(3):
            assert oauth_error(limited.request({}, header), 401) == "invalid_client"
        for _ in range(2):
            answer = limited.request({}, header)
            assert problem_of(answer, 429) == "rate_limited"
            assert int(answer.headers["retry-after"]) == 20
        assert self.reasons(limited) == ["rate_limited", *["revoked"] * 3]
        for _ in range(20):
            limited.token(machine)
        limited.desk.wait(timedelta(seconds=20))
        assert limited.request({}, header).status_code == 401

    def test_wrong_secrets_for_a_key_do_not_keep_out_the_right_one(self, limited: Machines) -> None:
        machine = limited.machine()
        wrong = [altered(machine.secret) for _ in range(5)]
        answers = [limited.request({}, basic(machine.id, secret)) for secret in wrong]
        assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 2
        assert self.reasons(limited) == ["rate_limited", *["wrong_secret"] * 3]
        for _ in range(3):
            limited.token(machine)
        # That it got in makes no room for those who do not.
        assert problem_of(limited.request({}, basic(machine.id, wrong[0])), 429) == "rate_limited"
        assert len(self.reasons(limited)) == 4

    def test_too_many_failures_from_one_address_are_429(self, limited: Machines) -> None:
        machine = limited.machine()
        for _ in range(5):
            limited.request({}, basic(machine.id, make_secret(uuid.uuid4()).text))
        for number in range(5):
            limited.request({}, basic(machine.id, "x" * number))
            key, _ = make_key()
            limited.assert_with(limited.assertion(machine.id, key))
        for secret in ("x", altered(machine.secret)):
            answer = limited.request({}, basic(machine.id, secret))
            assert problem_of(answer, 429) == "rate_limited"
        assert self.reasons(limited).count("rate_limited") == 1
        limited.token(machine)
        limited.desk.wait(timedelta(minutes=1))
        assert limited.request({}, basic(machine.id, "x")).status_code == 401

    def test_neither_do_wrong_assertions_keep_out_the_right_ones(self, limited: Machines) -> None:
        account = limited.account()
        key, public = make_key()
        limited.key(account, public_jwk=public)
        other, _ = make_key()
        forged = {"header": {"kid": key.kid}}
        for status in [401] * 3 + [429] * 2:
            answer = limited.assert_with(limited.assertion(account, other, **forged))
            assert answer.status_code == status
        right = limited.assertion(account, key)
        assert limited.assert_with(right).status_code == 200
        assert problem_of(limited.assert_with(right), 429) == "rate_limited"
        assert limited.assert_with(limited.assertion(account, key)).status_code == 200

    def test_of_many_who_fail_at_once_the_first_are_written_down(self, limited: Machines) -> None:
        machine = limited.machine()
        wrong = [altered(machine.secret) for _ in range(24)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda s: limited.request({}, basic(machine.id, s)), wrong))
        codes = [answer.status_code for answer in answers]
        assert (codes.count(401), codes.count(429)) == (3, 21)
        assert sorted(self.reasons(limited)) == ["rate_limited", *["wrong_secret"] * 3]

    def test_a_secret_that_was_right_passes_by_those_who_wait_to_be_looked_at(
        self, limited: Machines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine, late = limited.machine(), limited.machine()
        limited.token(machine)
        for _ in range(8):
            unknown = make_secret(uuid.uuid4())
            assert limited.request({}, basic(machine.id, unknown.text)).status_code == 401
        monkeypatch.setattr(limited.desk.issuer.clients.tokens, "_lane", Lane(waiting=0))
        limited.token(machine)
        for refused in (
            limited.request({}, basic(late.id, late.secret)),
            limited.request({}, basic(machine.id, altered(machine.secret))),
        ):
            assert problem_of(refused, 503) == "overloaded"
            assert int(refused.headers["retry-after"]) == 1
        limited.ask("DELETE", f"/{machine.id}/keys/{machine.key_id}")
        header = basic(machine.id, machine.secret)
        assert problem_of(limited.request({}, header), 429) == "rate_limited"
        assert problem_of(limited.request({}, header), 503) == "overloaded"


def test_few_go_through_the_lane_at_once_and_few_wait() -> None:
    async def crowd() -> None:
        lane, inside, leave = Lane(at_once=2, waiting=3), asyncio.Semaphore(0), asyncio.Event()
        most, now = 0, 0

        async def one() -> None:
            nonlocal most, now
            async with lane.turn():
                now += 1
                most = max(most, now)
                inside.release()
                await leave.wait()
                now -= 1

        tasks = [asyncio.create_task(one()) for _ in range(2)]
        for _ in tasks:
            await inside.acquire()
        tasks += [asyncio.create_task(one()) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(IssuerProblem) as refused:
            await one()
        assert refused.value.code is ProblemCode.OVERLOADED
        tasks.pop().cancel()  # who goes away makes room
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(one()))
        leave.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert (done, most, now) == ([None] * 5, 2, 0)

    asyncio.run(crowd())


def altered(secret: str) -> str:
    """Return a secret in due form, with the same key's identifier, that is wrong."""
    return make_secret(uuid.UUID(hex=secret[7:39])).text


def test_metadata_leads_here(machines: Machines) -> None:
    found = machines.desk.http.get("/.well-known/oauth-authorization-server").json()
    issuer = machines.desk.issuer.settings.issuer_url
    assert found["token_endpoint"] == f"{issuer}/oauth/token"
    assert found["grant_types_supported"] == ["client_credentials"]
    assert found["token_endpoint_auth_methods_supported"] == [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ]
    assert found["token_endpoint_auth_signing_alg_values_supported"] == list(ALGORITHMS)


def test_no_repr_shows_a_secret() -> None:
    from apostille_issuer.clients.authentication import Credentials
    from apostille_issuer.clients.oauth_controllers import AccessTokenAnswer, TokenRequestForm
    from apostille_issuer.clients.secrets import make_secret
    from apostille_issuer.clients.tokens import ClientToken

    secret = make_secret(uuid.uuid4())
    form = TokenRequestForm(grant_type="x", client_secret=secret.text, client_assertion="a.b.c")
    for thing in (
        secret,
        form,
        Credentials(client_id=None, secret=secret.text, assertion="a.b.c"),
        AccessTokenAnswer(access_token="a.b.c", token_type="Bearer", expires_in=1),
        ClientToken("a.b.c", 1, ()),
    ):
        assert secret.text not in repr(thing)
        assert "a.b.c" not in repr(thing)
