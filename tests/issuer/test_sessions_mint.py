"""What stands in an access token, and how much may."""

from __future__ import annotations

import asyncio
import base64
import uuid
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from apostille_contracts.claims import (
    MAX_TOKEN_BYTES,
    AccessTokenClaims,
    Status,
    StatusListReference,
)
from apostille_issuer.access.schemas import Entitlements
from apostille_issuer.keys.pairs import make_key_pair
from apostille_issuer.keys.signers import LocalSigner, TokenSigner
from apostille_issuer.sessions.mint import MAX_CLAIMS_BYTES, Bearer, Mint, OversizedClaims
from apostille_issuer.status.schemas import StatusIndex
from support.desk import Desk, problem_of

NOW = datetime(2026, 3, 1, 12, 0, 0, 700_000, tzinfo=UTC)
MINT = Mint(issuer="https://iam.example.com", lifetime=timedelta(minutes=10))
BEARER = Bearer(
    session_id=uuid.UUID(int=1),
    user_id=uuid.UUID(int=2),
    client_id="apostille",
    auth_time=NOW - timedelta(hours=1),
    amr=("pwd",),
    expires_at=NOW + timedelta(days=1),
    status=StatusIndex(3, 4_711),
)


def decoded(payload: bytes) -> AccessTokenClaims:
    return msgspec.json.decode(payload, type=AccessTokenClaims)


def test_times_are_whole_seconds_and_a_lifetime_apart() -> None:
    minted = MINT.claims(BEARER, Entitlements((), (), ("a",)), NOW)
    claims = decoded(minted.payload)
    assert claims.iat == int(NOW.timestamp())
    assert claims.exp == claims.iat + 600 == claims.iat + minted.expires_in
    assert claims.auth_time == claims.iat - 3_600


def test_what_is_empty_is_left_out() -> None:
    payload = MINT.claims(BEARER, Entitlements((), (), ("a",)), NOW).payload
    names = set(msgspec.json.decode(payload))
    assert names == {
        *("iss", "sub", "aud", "client_id", "exp", "iat", "jti"),
        *("auth_time", "amr", "sid", "status"),
    }


def test_it_says_where_the_session_stands() -> None:
    status = decoded(MINT.claims(BEARER, Entitlements((), (), ("a",)), NOW).payload).status
    uri = "https://iam.example.com/status-lists/3"
    assert status == Status(StatusListReference(4_711, uri))


def test_one_audience_is_a_text_and_several_are_a_list() -> None:
    assert decoded(MINT.claims(BEARER, Entitlements((), (), ("a",)), NOW).payload).aud == "a"
    several = MINT.claims(BEARER, Entitlements((), (), ("a", "b")), NOW)
    assert decoded(several.payload).aud == ("a", "b")


def rights_of_size(size: int) -> Entitlements:
    """Return rights whose claims have exactly *size* bytes."""
    empty = len(MINT.claims(BEARER, Entitlements((), ("x",), ("a",)), NOW).payload) - 1
    return Entitlements((), ("x" * (size - empty),), ("a",))


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "PS256", "EdDSA"])
def test_the_largest_token_stays_within_the_limit_whatever_signs_it(algorithm: str) -> None:
    claims = MINT.claims(BEARER, rights_of_size(MAX_CLAIMS_BYTES), NOW)
    assert len(claims.payload) == MAX_CLAIMS_BYTES
    pair = make_key_pair(algorithm)  # type: ignore[arg-type]
    signer = TokenSigner(LocalSigner(pair.kid, pair.algorithm, pair.private))
    token = asyncio.run(signer.sign(claims.payload, "at+jwt"))
    assert len(token) <= MAX_TOKEN_BYTES
    signature = base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")
    assert len(token) + (512 - len(signature)) * 4 // 3 <= MAX_TOKEN_BYTES


def test_one_byte_more_is_refused() -> None:
    with pytest.raises(OversizedClaims):
        MINT.claims(BEARER, rights_of_size(MAX_CLAIMS_BYTES + 1), NOW)


# Over HTTP: who is to blame.


def register(desk: Desk, service: str, permissions: int, width: int = 60) -> None:
    names = [f"{service}.{'x' * width}{number}" for number in range(permissions)]
    manifest = {"service": service, "version": "1", "permissions": dict.fromkeys(names, "")}
    answer = desk.as_root("PUT", f"/v1/services/{service}", json=manifest)
    assert answer.is_success, answer.text


def test_a_token_that_would_be_too_large_names_the_role(desk: Desk) -> None:
    service = f"huge{uuid.uuid4().hex[:6]}"
    register(desk, service, 120)
    names = [f"{service}.{'x' * 60}{number}" for number in range(120)]
    heavy, light = f"{service}-heavy", f"{service}-light"
    for role, allow in ((heavy, names), (light, names[:3])):
        answer = desk.as_root("POST", "/v1/roles", json={"name": role, "allow": allow})
        assert answer.is_success, answer.text
    ada = desk.hire(light)
    tokens = desk.tokens(ada.login, audience=["apostille", service])
    desk.as_root("PUT", f"/v1/users/{ada.id}/roles/{heavy}")
    answer = desk.login(ada.login, audience=["apostille", service])
    assert problem_of(answer, 409) == "token_oversized"
    assert answer.json()["errors"] == [
        {"field": "roles", "detail": f"{heavy} brings 120 permissions into it"}
    ]
    desk.tokens(ada.login, audience="apostille")

    # A refresh that fails for this reason uses up nothing.
    for _ in range(3):
        assert problem_of(desk.refresh(tokens["refresh_token"]), 409) == "token_oversized"
        desk.wait(timedelta(minutes=1))
    desk.as_root("DELETE", f"/v1/users/{ada.id}/roles/{heavy}")
    desk.renewed(tokens["refresh_token"])


def test_a_service_that_is_gone_takes_nothing_from_the_session(desk: Desk) -> None:
    service = f"gone{uuid.uuid4().hex[:6]}"
    register(desk, service, 1)
    tokens = desk.tokens(desk.hire().login, audience=["apostille", service])
    assert desk.as_root("DELETE", f"/v1/services/{service}").is_success
    for _ in range(3):
        assert problem_of(desk.refresh(tokens["refresh_token"]), 422) == "unknown_audience"
        desk.wait(timedelta(minutes=1))
    register(desk, service, 1)
    desk.renewed(tokens["refresh_token"])


def test_a_big_service_locks_nobody_out_who_names_no_audience(desk: Desk) -> None:
    service = f"big{uuid.uuid4().hex[:6]}"
    register(desk, service, 120)
    names = [f"{service}.{'x' * 60}{number}" for number in range(120)]
    allow = [*names, "iam.users.read"]
    assert desk.as_root("POST", "/v1/roles", json={"name": service, "allow": allow}).is_success
    ada = desk.hire(service)
    tokens = desk.tokens(ada.login)
    for token in (tokens, desk.renewed(tokens["refresh_token"])):
        claims = desk.claims(token)
        assert (claims.aud, claims.permissions) == ("apostille", ("iam.users.read",))


def test_too_many_audiences_are_to_blame_themselves(desk: Desk) -> None:
    services = [f"aud{uuid.uuid4().hex[:6]}" for _ in range(90)]
    for service in services:
        manifest = {"service": service, "version": "1", "permissions": {}}
        manifest["audience"] = service + "x" * 54
        assert desk.as_root("PUT", f"/v1/services/{service}", json=manifest).is_success
    try:
        ada = desk.hire()
        answer = desk.login(ada.login, audience=[service + "x" * 54 for service in services])
        assert problem_of(answer, 409) == "token_oversized"
        assert answer.json()["errors"][0]["field"] == "audience"
        assert desk.claims(desk.tokens(ada.login)).aud == "apostille"
    finally:
        for service in services:
            assert desk.as_root("DELETE", f"/v1/services/{service}").is_success
