"""The rules of permissions as data, for other languages, are the rules of this package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apostille_contracts.permissions import (
    MAX_PERMISSION_LENGTH,
    InvalidGrant,
    InvalidPermission,
    PermissionSet,
    effective_permissions,
    parse_grant,
    parse_permission,
)

RULES: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "contracts" / "vectors" / "permissions.json").read_text("utf-8")
)


@pytest.mark.parametrize("text", RULES["names"]["valid"])
def test_a_permission_is_two_to_five_lower_case_segments(text: str) -> None:
    assert parse_permission(text) == text
    assert parse_grant(text) == text
    assert PermissionSet([text]).covers(text)


@pytest.mark.parametrize("text", RULES["names"]["invalid"])
def test_anything_else_is_no_permission(text: str) -> None:
    with pytest.raises(InvalidPermission):
        parse_permission(text)


@pytest.mark.parametrize("text", RULES["grants"]["valid"])
def test_a_wildcard_can_be_granted_but_never_required(text: str) -> None:
    assert parse_grant(text) == text
    with pytest.raises(InvalidPermission, match="never required"):
        parse_permission(text)


@pytest.mark.parametrize("text", RULES["grants"]["invalid"])
def test_anything_else_is_no_grant(text: str) -> None:
    with pytest.raises(InvalidGrant):
        parse_grant(text)


@pytest.mark.parametrize(
    "case", RULES["covers"]["cases"], ids=lambda case: "{grant}".format(**case)
)
def test_a_held_grant_covers_itself_and_what_lies_below(case: dict[str, Any]) -> None:
    assert PermissionSet([case["grant"]]).covers(case["permission"]) is case["covered"]


@pytest.mark.parametrize("case", RULES["effective"]["cases"], ids=json.dumps)
def test_allows_minus_denies_in_their_shortest_exact_form(case: dict[str, Any]) -> None:
    effective = effective_permissions(
        case["allows"], case["denies"], case["catalogue"], case["declared"]
    )
    assert list(effective) == case["effective"]


def test_the_longest_name_is_among_the_rules() -> None:
    assert max(map(len, RULES["names"]["valid"])) == MAX_PERMISSION_LENGTH
