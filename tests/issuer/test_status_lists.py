"""Status lists over HTTP: their form, and what sets a bit."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from apostille import StaticKeys, Verifier
from apostille.errors import RevokedToken
from apostille.status import StaticStatus
from apostille_contracts.key_sets import key_set_thumbprint
from apostille_issuer.http.context import COMMAND_LINE
from support.desk import OTHER_PASSWORD, PASSWORD, Desk, Person, bearer, problem_of
from support.lists import bit_in, claims_in, header_of, place_of

Tokens = dict[str, Any]


@pytest.fixture
def name() -> str:
    """A name for a service and a role that nobody else has."""
    return f"s{uuid.uuid4().hex[:8]}"


def served(desk: Desk, list_id: int, **headers: str) -> httpx.Response:
    return desk.http.get(f"/status-lists/{list_id}", headers=headers)


def revoked(desk: Desk, tokens: Tokens) -> bool:
    """Say whether a service that asks now refuses the access token."""
    list_id, idx = place_of(tokens["access_token"])
    return bit_in(served(desk, list_id).text, idx) == 1


def lives_on(desk: Desk, tokens: Tokens) -> Tokens:
    """The session goes on, in another place, with a token that is good."""
    renewed = desk.renewed(tokens["refresh_token"])
    assert place_of(renewed["access_token"]) != place_of(tokens["access_token"])
    assert not revoked(desk, renewed)
    assert desk.http.get("/v1/me", headers=bearer(renewed)).status_code == 200
    return renewed


def push(desk: Desk, service: str, *names: str) -> None:
    manifest = {"service": service, "version": "1", "permissions": dict.fromkeys(names, "")}
    answer = desk.as_root("PUT", f"/v1/services/{service}", json=manifest)
    assert answer.is_success, answer.text


def role(desk: Desk, role_name: str, *allow: str, deny: tuple[str, ...] = ()) -> str:
    body = {"name": role_name, "allow": allow, "deny": deny}
    answer = desk.as_root("POST", "/v1/roles", json=body)
    assert answer.status_code == 201, answer.text
    return role_name


# The list.


def test_a_list_is_a_signed_token_of_its_own_kind(desk: Desk) -> None:
    list_id, _ = place_of(desk.tokens(desk.hire().login)["access_token"])
    answer = served(desk, list_id)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/statuslist+jwt"
    assert answer.headers["cache-control"] == "no-cache"
    keys = desk.http.get("/.well-known/jwks.json").json()["keys"]
    header = header_of(answer.text)
    assert header == {"typ": "statuslist+jwt", "alg": "ES256", "kid": header["kid"]}
    assert header["kid"] in {key["kid"] for key in keys}
    claims = claims_in(answer.text)
    assert claims["sub"] == f"{desk.issuer.settings.issuer_url}/status-lists/{list_id}"
    assert claims["ttl"] == 10
    assert claims["exp"] - claims["iat"] == 3_600
    assert claims["iat"] <= int(desk.clock.time())
    assert claims.keys() == {"sub", "iat", "exp", "ttl", "status_list", "key_set"}
    assert claims["key_set"] == key_set_thumbprint(keys)


def test_an_access_token_of_the_issuer_is_no_list_and_a_list_no_access_token(desk: Desk) -> None:
    list_id, _ = place_of(desk.tokens(desk.hire().login)["access_token"])
    answer = desk.http.get(
        "/v1/me", headers={"authorization": "Bearer " + served(desk, list_id).text}
    )
    assert problem_of(answer, 401) == "wrong_type"


@pytest.mark.parametrize("list_id", ["0", "-1", "999", "99999999999999999999", "one", "1.0"])
def test_there_are_no_other_lists(desk: Desk, list_id: str) -> None:
    assert problem_of(desk.http.get(f"/status-lists/{list_id}"), 404) == "not_found"


def test_all_lists_are_named(desk: Desk) -> None:
    desk.tokens(desk.hire().login)
    metadata = desk.http.get("/.well-known/oauth-authorization-server").json()
    url = metadata["status_list_aggregation_endpoint"]
    assert url == f"{desk.issuer.settings.issuer_url}/status-lists"
    lists = desk.http.get("/status-lists").json()["status_lists"]
    assert f"{url}/1" in lists


def test_who_has_the_list_already_gets_304(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    list_id, _ = place_of(tokens["access_token"])
    etag = served(desk, list_id).headers["etag"]
    unchanged = served(desk, list_id, **{"if-none-match": f'"other", {etag}'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == etag
    desk.http.post("/v1/auth/logout", headers=bearer(tokens))
    changed = served(desk, list_id, **{"if-none-match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


def test_a_list_that_has_not_changed_is_the_same_token(desk: Desk) -> None:
    list_id, _ = place_of(desk.tokens(desk.hire().login)["access_token"])
    first = served(desk, list_id).content
    desk.wait(timedelta(seconds=1))
    desk.tokens(desk.hire().login)
    assert served(desk, list_id).content == first


def test_a_list_is_signed_anew_long_before_it_expires(desk: Desk) -> None:
    list_id, _ = place_of(desk.tokens(desk.hire().login)["access_token"])
    for _ in range(5):
        desk.wait(timedelta(minutes=13))
        desk.issuer.status.marks._changed()  # as if half a second had passed, too
        left = claims_in(served(desk, list_id).text)["exp"] - desk.clock.time()
        assert 1_800 <= left <= 3_600


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        ("gzip", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("", False),
    ],
)
def test_it_is_compressed_for_who_takes_that(desk: Desk, accept: str, *, compressed: bool) -> None:
    list_id, _ = place_of(desk.tokens(desk.hire().login)["access_token"])
    plain = served(desk, list_id, **{"accept-encoding": "identity"})
    with desk.http.stream(
        "GET", f"/status-lists/{list_id}", headers={"accept-encoding": accept}
    ) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.headers["etag"] == plain.headers["etag"]
    assert (answer.headers.get("content-encoding") == "gzip") is compressed
    assert (gzip.decompress(raw) if compressed else raw) == plain.content


# What ends a session.


def log_out(desk: Desk, _ada: Person, tokens: Tokens) -> None:
    assert desk.http.post("/v1/auth/logout", headers=bearer(tokens)).status_code == 204


def log_out_by_refresh_token(desk: Desk, _ada: Person, tokens: Tokens) -> None:
    body = {"refresh_token": tokens["refresh_token"]}
    assert desk.http.post("/v1/auth/logout", json=body).status_code == 204


def disable(desk: Desk, ada: Person, _tokens: Tokens) -> None:
    assert desk.as_root("PATCH", f"/v1/users/{ada.id}", json={"state": "disabled"}).is_success


def delete(desk: Desk, ada: Person, _tokens: Tokens) -> None:
    assert desk.as_root("DELETE", f"/v1/users/{ada.id}").status_code == 204


def reuse(desk: Desk, _ada: Person, tokens: Tokens) -> None:
    following = desk.renewed(tokens["refresh_token"])
    desk.wait(timedelta(seconds=1))
    desk.renewed(following["refresh_token"])
    answer = desk.refresh(tokens["refresh_token"])
    assert problem_of(answer, 401) == "refresh_token_reused"


def change_password_elsewhere(desk: Desk, ada: Person, _tokens: Tokens) -> None:
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    headers = bearer(desk.tokens(ada.login))
    assert desk.http.post("/v1/me/password", json=body, headers=headers).status_code == 204
    assert desk.http.get("/v1/me", headers=headers).status_code == 200


def revoke_session(desk: Desk, _ada: Person, tokens: Tokens) -> None:
    session_id = uuid.UUID(str(desk.claims(tokens).sid))
    assert desk.run(desk.issuer.revoker.revoke(session_id, COMMAND_LINE)) == 1


def revoke_user(desk: Desk, ada: Person, _tokens: Tokens) -> None:
    assert desk.run(desk.issuer.revoker.revoke_user(ada.id, COMMAND_LINE)) == 1


Act = Callable[[Desk, Person, Tokens], None]


@pytest.mark.parametrize(
    "act",
    [
        *(log_out, log_out_by_refresh_token, disable, delete, reuse),
        *(change_password_elsewhere, revoke_session, revoke_user),
    ],
)
def test_what_ends_a_session_revokes_its_access_token(desk: Desk, act: Act) -> None:
    ada, bob = desk.hire(), desk.hire()
    tokens, others = desk.tokens(ada.login), desk.tokens(bob.login)
    assert not revoked(desk, tokens)
    act(desk, ada, tokens)
    assert revoked(desk, tokens)
    assert problem_of(desk.http.get("/v1/me", headers=bearer(tokens)), 401) == "revoked_token"
    assert problem_of(desk.refresh(tokens["refresh_token"]), 401) == "session_ended"
    assert not revoked(desk, others)


def test_a_service_refuses_the_token_as_soon_as_it_has_the_list(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    list_id, idx = place_of(tokens["access_token"])
    uri = f"{desk.issuer.settings.issuer_url}/status-lists/{list_id}"
    status = StaticStatus({uri: bytes(2**14)})
    keys = StaticKeys(desk.http.get("/.well-known/jwks.json").content)
    with Verifier(
        desk.issuer.settings.issuer_url,
        audience="apostille",
        keys=keys,
        status=status,
        clock=desk.clock,
    ) as service:
        service.verify(tokens["access_token"])
        log_out(desk, desk.hire(), tokens)
        octets = bytearray(2**14)
        octets[idx // 8] = bit_in(served(desk, list_id).text, idx) << idx % 8
        status.replace({uri: bytes(octets)})
        with pytest.raises(RevokedToken):
            service.verify(tokens["access_token"])


def test_a_session_without_a_living_token_needs_no_bit(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    desk.wait(timedelta(minutes=71))
    disable(desk, ada, tokens)
    assert not revoked(desk, tokens)
    assert problem_of(desk.http.get("/v1/me", headers=bearer(tokens)), 401) == "expired_token"


def test_bits_are_dropped_when_no_token_can_be_alive(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    log_out(desk, desk.hire(), tokens)
    desk.wait(timedelta(minutes=69))
    desk.run(desk.issuer.status.sweep())
    desk.issuer.status.marks._changed()
    assert revoked(desk, tokens)
    desk.wait(timedelta(minutes=2))
    assert desk.run(desk.issuer.status.sweep()) >= 1
    desk.wait(timedelta(minutes=30))
    desk.issuer.status.marks._changed()
    assert not revoked(desk, tokens)


# What changes rights: the token dies, the session lives on.


def test_a_role_that_is_given_or_taken_away_takes_the_token_along(desk: Desk) -> None:
    ada = desk.hire()
    tokens, others = desk.tokens(ada.login), desk.tokens(desk.hire().login)
    path = f"/v1/users/{ada.id}/roles/staff"
    for method in ("PUT", "DELETE"):
        for _ in range(2):  # the second time changes nothing
            assert desk.as_root(method, path).status_code == 204
        assert revoked(desk, tokens)
        tokens = lives_on(desk, tokens)
        assert desk.as_root(method, path).status_code == 204
        assert not revoked(desk, tokens)
    assert not revoked(desk, others)


@pytest.mark.parametrize(
    ("patch", "matters"),
    [
        ({"description": "Counts"}, False),
        ({"allow": ["iam.users.read"]}, False),
        ({"allow": []}, True),
        ({"allow": ["iam.users.read", "iam.roles.read"]}, True),
        ({"deny": ["iam.users.write"]}, True),
    ],
)
def test_a_role_that_is_changed_takes_its_holders_tokens_along(
    desk: Desk, name: str, patch: dict[str, Any], *, matters: bool
) -> None:
    role(desk, name, "iam.users.read")
    tokens, others = desk.tokens(desk.hire(name).login), desk.tokens(desk.hire().login)
    assert desk.as_root("PATCH", f"/v1/roles/{name}", json=patch).is_success
    assert revoked(desk, tokens) is matters
    assert not revoked(desk, others)


def test_a_role_that_is_renamed_or_deleted_does_so_too(desk: Desk, name: str) -> None:
    role(desk, name, "iam.users.read")
    tokens = desk.tokens(desk.hire(name).login)
    assert desk.as_root("PATCH", f"/v1/roles/{name}", json={"name": f"{name}x"}).is_success
    assert revoked(desk, tokens)
    tokens = lives_on(desk, tokens)
    assert desk.as_root("DELETE", f"/v1/roles/{name}x").status_code == 204
    assert revoked(desk, tokens)
    assert desk.claims(lives_on(desk, tokens)).roles == ()


def test_a_permission_that_leaves_the_catalogue_takes_tokens_along_that_name_it(
    desk: Desk, name: str
) -> None:
    read, write, audit = f"{name}.read", f"{name}.write", f"{name}.audit"
    push(desk, name, read, write, audit)
    role(desk, f"{name}-reader", read)
    role(desk, f"{name}-writer", write)
    role(desk, f"{name}-all", f"{name}.*")
    role(desk, f"{name}-most", f"{name}.*", deny=(audit,))
    reader, writer, everything, most = (
        desk.tokens(desk.hire(f"{name}-{kind}").login)
        for kind in ("reader", "writer", "all", "most")
    )
    root = desk.tokens("root@example.com")
    push(desk, name, read, audit)
    assert revoked(desk, writer)
    assert revoked(desk, most)  # its wildcard is broken up, and names it
    assert not revoked(desk, reader)
    assert not revoked(desk, everything)
    assert not revoked(desk, root)


def test_a_permission_that_is_deleted_does_so_too(desk: Desk, name: str) -> None:
    push(desk, name, f"{name}.read", f"{name}.write")
    loose = f"{name}.stock.loose"
    assert desk.as_root(
        "POST", "/v1/permissions", json={"name": loose, "description": "", "service": name}
    ).is_success
    role(desk, name, f"{name}.*", deny=("iam.users.read",))
    tokens = desk.tokens(desk.hire(name).login)
    assert desk.as_root("DELETE", f"/v1/permissions/{loose}").status_code == 204
    assert revoked(desk, tokens)
    tokens = lives_on(desk, tokens)
    # A role holds a wildcard on its module: the service stays, and so do the tokens.
    assert desk.as_root("DELETE", f"/v1/services/{name}").status_code == 409
    assert not revoked(desk, tokens)


def test_twins_that_refresh_after_a_change_get_the_same_place(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    desk.as_root("PUT", f"/v1/users/{ada.id}/roles/staff")
    first, second = (desk.renewed(tokens["refresh_token"]) for _ in range(2))
    assert place_of(first["access_token"]) == place_of(second["access_token"])
    desk.as_root("DELETE", f"/v1/users/{ada.id}/roles/staff")
    late = desk.renewed(tokens["refresh_token"])
    assert desk.claims(late).roles == ()
    assert place_of(late["access_token"]) != place_of(first["access_token"])
    assert not revoked(desk, late)


def test_a_voided_token_still_ends_its_session(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    desk.as_root("PUT", f"/v1/users/{ada.id}/roles/staff")
    log_out(desk, ada, tokens)
    assert problem_of(desk.refresh(tokens["refresh_token"]), 401) == "session_ended"


def test_a_refresh_without_a_change_stays_in_its_place(desk: Desk) -> None:
    tokens = desk.tokens(desk.hire().login)
    renewed = desk.renewed(tokens["refresh_token"])
    assert place_of(renewed["access_token"]) == place_of(tokens["access_token"])
