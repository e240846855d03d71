"""The Structs of the access token accept what the contract allows and nothing else."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from msgspec import UNSET

from apostille_contracts.claims import (
    ALGORITHMS,
    AccessTokenClaims,
    AccessTokenHeader,
    Algorithm,
    Confirmation,
)

REQUIRED: dict[str, Any] = {
    "iss": "https://iam.example.com",
    "sub": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    "aud": "inventory",
    "client_id": "apostille",
    "exp": 1_800_000_600,
    "iat": 1_800_000_000,
    "jti": "1",
}


def decode(**changes: Any) -> AccessTokenClaims:
    claims = {name: value for name, value in {**REQUIRED, **changes}.items() if value is not None}
    return msgspec.json.decode(msgspec.json.encode(claims), type=AccessTokenClaims)


def test_the_seven_required_claims_suffice() -> None:
    claims = decode()
    assert claims.aud == "inventory"
    assert (claims.roles, claims.permissions, claims.scope, claims.amr) == ((), (), "", ())
    assert (claims.nbf, claims.sid, claims.org, claims.status) == (UNSET, UNSET, UNSET, UNSET)


@pytest.mark.parametrize("claim", REQUIRED)
def test_each_required_claim_is_missed(claim: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=claim):
        decode(**{claim: None})


def test_what_is_not_set_is_not_written() -> None:
    assert msgspec.json.decode(msgspec.json.encode(decode())) == REQUIRED


def test_claims_unknown_to_the_contract_are_allowed() -> None:
    assert decode(favourite_colour="green") == decode()


def test_a_full_token_survives_the_round_trip() -> None:
    document = {
        **REQUIRED,
        "aud": ["inventory", "billing"],
        "exp": 1_800_000_600.5,
        "nbf": 1_800_000_000,
        "auth_time": 1_799_999_000,
        "acr": "urn:example:loa:2",
        "amr": ["pwd", "otp"],
        "sid": "s",
        "tid": "t",
        "org": "o",
        "roles": ["clerk"],
        "permissions": ["inventory.*"],
        "scope": "openid profile",
        "plan": "pro",
        "status": {"status_list": {"idx": 0, "uri": "https://iam.example.com/status-lists/1"}},
        "act": {"sub": "admin", "act": {"sub": "superadmin"}},
        "cnf": {"jkt": "thumb", "x5t#S256": "print"},
    }
    claims = decode(**document)
    assert claims.cnf == Confirmation("thumb", "print")
    assert msgspec.json.decode(msgspec.json.encode(claims)) == document


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("exp", True),
        ("exp", "1800000600"),
        ("exp", -1),
        ("exp", 253_402_300_800),
        ("exp", 1e300),
        ("iat", [1]),
        ("nbf", "soon"),
        ("sub", 7),
        ("sub", ""),
        ("sub", "x" * 1025),
        ("aud", 7),
        ("aud", [1]),
        ("aud", [""]),
        ("iss", ["https://iam.example.com"]),
        ("roles", "clerk"),
        ("permissions", "inventory.read"),
        ("permissions", [1]),
        ("scope", ["openid"]),
        ("amr", "pwd"),
        ("status", {}),
        ("status", {"status_list": {"idx": -1, "uri": "u"}}),
        ("status", {"status_list": {"idx": 1.5, "uri": "u"}}),
        ("act", "admin"),
        ("act", {}),
        ("cnf", {"jkt": 1}),
    ],
)
def test_a_claim_of_the_wrong_type_or_range_is_refused(claim: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError, match=claim):
        decode(**{claim: value})


def test_the_last_second_of_the_year_9999_is_the_last_time() -> None:
    assert decode(exp=253_402_300_799).exp == 253_402_300_799


def test_the_header_names_the_access_token_type_by_itself() -> None:
    header = AccessTokenHeader(alg="ES256", kid="thumbprint")
    assert msgspec.json.encode(header) == b'{"typ":"at+jwt","alg":"ES256","kid":"thumbprint"}'


def test_the_list_of_algorithms_and_their_type_agree() -> None:
    assert get_args(Algorithm) == ALGORITHMS
    assert {name[:2] for name in ALGORITHMS} == {"ES", "RS", "PS", "Ed"}
