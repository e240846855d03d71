"""A golden vector says one thing, completely."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from apostille_contracts.vectors import ExpectedVerdict, Vector

POLICY = {
    "issuer": "https://iam.example.com",
    "audience": ["inventory"],
    "algorithms": ["ES256"],
    "leeway_seconds": 30,
}
GOOD: dict[str, Any] = {
    "name": "es256",
    "description": "A token.",
    "reference": "RFC 9068 section 2",
    "keys": {"keys": []},
    "policy": POLICY,
    "time": 1_800_000_000,
    "token": "a.b.c",
    "expected": {"valid": True, "claims": {"sub": "somebody"}},
}


def decode(**changes: Any) -> Vector:
    return msgspec.json.decode(msgspec.json.encode({**GOOD, **changes}), type=Vector)


def test_a_vector_survives_the_round_trip() -> None:
    assert msgspec.json.decode(msgspec.json.encode(decode())) == GOOD


@pytest.mark.parametrize(
    "verdict",
    [
        {"valid": False, "code": "bad_signature"},
        {"valid": False, "code": "invalid_claim", "claim": "exp"},
        {"valid": True},
    ],
)
def test_a_verdict_is_yes_or_one_code(verdict: dict[str, Any]) -> None:
    assert decode(expected=verdict).expected == ExpectedVerdict(**verdict)


@pytest.mark.parametrize(
    "verdict",
    [
        {"valid": False},
        {"valid": True, "code": "bad_signature"},
        {"valid": False, "code": "no_such_code"},
        {"valid": False, "code": "bad_signature", "claim": "exp"},
        {"valid": False, "code": "invalid_claim"},
        {"valid": True, "claim": "exp"},
        {"valid": True, "surprise": 1},
    ],
)
def test_a_verdict_is_never_both_and_never_neither(verdict: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(expected=verdict)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Two Words"},
        {"description": ""},
        {"reference": ""},
        {"policy": {**POLICY, "audience": []}},
        {"policy": {**POLICY, "algorithms": ["HS256"]}},
        {"policy": {**POLICY, "leeway_seconds": -1}},
        {"surprise": 1},
    ],
)
def test_a_vector_is_complete_and_says_nothing_else(changes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(**changes)
