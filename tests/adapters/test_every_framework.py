"""One suite for all frameworks: the answers must be equal byte for byte."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from apostille import AsyncVerifier, Verifier, http
from apostille.errors import (
    CsrfFailed,
    ExpiredToken,
    InvalidRequest,
    KeysUnavailable,
    MissingToken,
    PermissionDenied,
)
from apostille.testing import BAD_TOKENS, SUBJECT, BadTokenName, LocalIssuer
from apostille_contracts.problems import ProblemCode
from support.protected.variants import NAMES, Service, serve_all
from support.web import Reply

READ = ["inventory.read"]
PROTECTED = ["/stock", "/either", "/composed", "/me", "/inside", "/owned"]


@pytest.fixture(scope="module")
def issuer() -> LocalIssuer:
    return LocalIssuer(audience="inventory")


@pytest.fixture(scope="module")
def services(issuer: LocalIssuer) -> Iterator[dict[str, Service]]:
    with serve_all(issuer.verifier(), issuer.async_verifier()) as running:
        yield running


@pytest.fixture(params=NAMES)
def service(request: pytest.FixtureRequest, services: dict[str, Service]) -> Service:
    return services[request.param]


def refusal(reply: Reply) -> http.Answer:
    """Return what of *reply* is ours: everything but the server's own headers."""
    names = ("Content-Type", "Cache-Control", "Retry-After", "WWW-Authenticate")
    headers = tuple((name, value) for name in names for value in reply.values(name))
    return http.Answer(reply.status, headers, reply.body)


def answer(error: http.Refusal) -> http.Answer:
    return http.answer(error, realm="inventory")


# -- credentials -------------------------------------------------------------------------


def test_who_may_read_reads(service: Service, issuer: LocalIssuer) -> None:
    reply = service.get("/stock", issuer.token(permissions=READ))
    assert (reply.status, reply.text) == (200, "stock")


@pytest.mark.parametrize("path", PROTECTED)
def test_no_token_is_challenged(service: Service, path: str) -> None:
    assert refusal(service.get(path)) == answer(MissingToken())


def test_a_token_in_the_query_string_is_not_looked_at(
    service: Service, issuer: LocalIssuer
) -> None:
    token = issuer.token(permissions=READ)
    reply = service.get(f"/stock?access_token={token}&token={token}")
    assert refusal(reply) == answer(MissingToken())


def test_the_scheme_may_be_written_in_any_case(service: Service, issuer: LocalIssuer) -> None:
    token = issuer.token(permissions=READ)
    for scheme in ("bearer", "BEARER"):
        reply = service.send("GET", "/stock", [("authorization", f"{scheme} {token}")])
        assert reply.status == 200


def test_two_authorization_headers_are_refused(service: Service, issuer: LocalIssuer) -> None:
    token = issuer.token(permissions=READ)
    assert refusal(service.get("/stock", token, token)) == answer(InvalidRequest())
    mixed = [("Authorization", "Basic eDp5"), ("Authorization", f"Bearer {token}")]
    for headers in (mixed, mixed[::-1]):
        assert refusal(service.send("GET", "/stock", headers)) == answer(InvalidRequest())


@pytest.mark.parametrize("value", ["Bearer", "Bearer a b", "Bearer a,b", "Bearer a.b.c, Bearer d"])
def test_a_malformed_header_is_a_bad_request(service: Service, value: str) -> None:
    reply = service.send("GET", "/stock", [("Authorization", value)])
    assert refusal(reply) == answer(InvalidRequest())


def test_another_scheme_is_no_token(service: Service) -> None:
    reply = service.send("GET", "/stock", [("Authorization", "Basic dXNlcjpwYXNz")])
    assert refusal(reply) == answer(MissingToken())


@pytest.mark.parametrize("name", sorted(BAD_TOKENS))
def test_bad_tokens_are_refused_for_what_they_are(
    service: Service, services: dict[str, Service], issuer: LocalIssuer, name: BadTokenName
) -> None:
    token = issuer.bad_token(name)
    given = refusal(service.get("/stock", token))
    assert given == refusal(services["flask"].get("/stock", token))
    code = BAD_TOKENS[name] if token else ProblemCode.INVALID_REQUEST
    assert f'"code":"{code}"'.encode() in given.body
    assert given.status == (401 if token else 400)


def test_a_bad_token_is_refused_where_none_is_needed_too(
    service: Service, issuer: LocalIssuer
) -> None:
    assert refusal(service.get("/maybe", issuer.bad_token("expired"))) == answer(ExpiredToken())


# -- permissions -------------------------------------------------------------------------


def test_a_missing_permission_is_named(service: Service, issuer: LocalIssuer) -> None:
    token = issuer.token(permissions=READ)
    reply = service.send("POST", "/stock", [("Authorization", f"Bearer {token}")], b"")
    assert refusal(reply) == answer(PermissionDenied(("inventory.write",)))
    assert b'"missing":["inventory.write"]' in reply.body
    assert reply.values("WWW-Authenticate")[0].endswith('scope="inventory.write"')


def test_wildcards_in_the_token_are_understood(service: Service, issuer: LocalIssuer) -> None:
    headers = [("Authorization", f"Bearer {issuer.token(permissions=['inventory.*'])}")]
    assert service.send("POST", "/stock", headers, b"").text == "changed"


def test_any_of_several_permissions_is_enough(service: Service, issuer: LocalIssuer) -> None:
    assert service.get("/either", issuer.token(permissions=["inventory.admin"])).text == "either"
    denied = service.get("/either", issuer.token(permissions=["inventory.write"]))
    assert refusal(denied) == answer(PermissionDenied(("inventory.read", "inventory.admin")))


def test_composed_requirements_guard_routes(service: Service, issuer: LocalIssuer) -> None:
    assert service.get("/composed", issuer.token(permissions=READ)).text == "composed"
    frozen = issuer.token(permissions=[*READ, "inventory.frozen"])
    assert refusal(service.get("/composed", frozen)) == answer(PermissionDenied())


def test_a_view_can_ask_the_principal_itself(service: Service, issuer: LocalIssuer) -> None:
    assert service.get("/inside", issuer.token(permissions=["inventory.write"])).text == "inside"
    denied = service.get("/inside", issuer.token(permissions=READ))
    assert refusal(denied) == answer(PermissionDenied(("inventory.write",)))


def test_the_principal_is_at_hand(service: Service, issuer: LocalIssuer) -> None:
    assert service.get("/me", issuer.token()).text == SUBJECT


def test_authentication_can_be_optional(service: Service, issuer: LocalIssuer) -> None:
    assert service.get("/maybe").text == "nobody"
    assert service.get("/maybe", issuer.token()).text == SUBJECT


def test_a_public_route_looks_at_no_token(service: Service, issuer: LocalIssuer) -> None:
    assert service.get("/public").text == "public"
    assert service.get("/public", issuer.bad_token("expired")).text == "public"


def test_the_organization_in_the_path_must_be_the_active_one(
    service: Service, issuer: LocalIssuer
) -> None:
    ours, theirs = str(uuid.uuid4()), str(uuid.uuid4())
    token = issuer.token(permissions=READ, organization=ours)
    assert service.get(f"/organizations/{ours}/stock", token).text == "organization"
    denied = service.get(f"/organizations/{theirs}/stock", token)
    assert refusal(denied) == answer(PermissionDenied())
    nowhere = issuer.token(permissions=["*"])
    assert refusal(service.get(f"/organizations/{ours}/stock", nowhere)) == answer(
        PermissionDenied()
    )


def test_the_organization_can_be_read_from_the_request(
    service: Service, issuer: LocalIssuer
) -> None:
    token = issuer.token(permissions=READ, organization="acme")
    headers = [("Authorization", f"Bearer {token}")]
    assert service.send("GET", "/owned", [*headers, ("X-Organization", "acme")]).status == 200
    for organization in ([], [("X-Organization", "globex")], [("X-Organization", "")]):
        reply = service.send("GET", "/owned", [*headers, *organization])
        assert refusal(reply) == answer(PermissionDenied())


# -- cookies -----------------------------------------------------------------------------


def test_a_cookie_may_carry_the_token_for_reading(service: Service, issuer: LocalIssuer) -> None:
    cookie = ("Cookie", f"theme=dark; __Host-apostille={issuer.token(permissions=READ)}")
    assert service.send("GET", "/stock", [cookie]).text == "stock"
    planted = ("Cookie", "__Host-apostille=evil")
    assert refusal(service.send("GET", "/stock", [("Cookie", f"{cookie[1]}; {planted[1]}")])) == (
        answer(InvalidRequest())
    )


def test_writing_by_cookie_needs_a_proven_origin(service: Service, issuer: LocalIssuer) -> None:
    token = issuer.token(permissions=["inventory.*"])
    cookie = ("Cookie", f"__Host-apostille={token}")
    host = service.origin.removeprefix("http://")
    for proof in (("Sec-Fetch-Site", "same-origin"), ("Origin", f"http://{host}")):
        assert service.send("POST", "/stock", [cookie, proof], b"").text == "changed"
    for proof in (("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")):
        reply = service.send("POST", "/stock", [cookie, proof], b"")
        assert refusal(reply) == answer(CsrfFailed())
    assert refusal(service.send("POST", "/stock", [cookie], b"")) == answer(CsrfFailed())


# -- outage ------------------------------------------------------------------------------


def test_services_started_during_an_outage_answer_503_and_recover() -> None:
    issuer = LocalIssuer(audience="inventory")
    with issuer.serve() as address:
        options: dict[str, Any] = {"audience": "inventory", "clock": issuer.clock}
        verifiers = Verifier(address, **options), AsyncVerifier(address, **options)
        with verifiers[0], serve_all(*verifiers) as services:
            token = issuer.token(permissions=READ)
            with issuer.outage():
                replies = [service.get("/stock", token) for service in services.values()]
            for reply in replies:
                given = refusal(reply)
                assert given.status == 503
                assert int(dict(given.headers)["Retry-After"]) >= 1
                assert given.body == answer(KeysUnavailable()).body
            issuer.advance(timedelta(minutes=1))
            for service in services.values():
                assert service.get("/stock", token).text == "stock"
