"""Matching of permissions beyond what contracts/vectors/permissions.json says."""

from __future__ import annotations

import pytest

from apostille_contracts.permissions import (
    EVERYTHING,
    MAX_PERMISSION_LENGTH,
    InvalidGrant,
    PermissionSet,
    covers,
    parse_grant,
)


def test_a_wildcard_counts_against_the_length_too() -> None:
    assert parse_grant("a" * (MAX_PERMISSION_LENGTH - 2) + ".*")
    with pytest.raises(InvalidGrant):
        parse_grant("a" * (MAX_PERMISSION_LENGTH - 1) + ".*")


@pytest.mark.parametrize(
    ("grant", "name", "expected"),
    [
        ("inventory.read", "inventory.read", True),
        ("inventory.read", "inventory.write", False),
        ("inventory.read", "inventory.read.all", False),
        ("inventory.*", "inventory.read", True),
        ("inventory.*", "inventory.stock.read", True),
        ("inventory.*", "inventory.stock.*", True),
        ("inventory.*", "inventory.*", True),
        ("inventory.*", "inventoryx.read", False),
        ("inventory.*", "*", False),
        ("inventory.stock.*", "inventory.read", False),
        ("inventory.stock.*", "inventory.*", False),
        ("*", "inventory.read", True),
        ("*", "inventory.*", True),
        ("*", "*", True),
    ],
)
def test_a_grant_covers_itself_and_what_lies_below(grant: str, name: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert covers(grant, name) is expected


def test_a_set_answers_from_names_wildcards_and_everything() -> None:
    grants = PermissionSet(["inventory.read", "billing.*"])
    assert grants.covers("inventory.read")
    assert grants.covers("billing.invoices.read")
    assert not grants.covers("inventory.write")
    assert PermissionSet([EVERYTHING]).covers("anything.at-all")
    assert not PermissionSet([]).covers("inventory.read")


def test_a_sets_representation_counts_and_does_not_tell() -> None:
    assert repr(PermissionSet(["a.b", "c.*", "*"])) == "PermissionSet(names=1, wildcards=1)"
