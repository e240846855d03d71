"""The permission algebra against a model that is too simple to be wrong."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apostille_contracts.permissions import (
    InvalidGrant,
    InvalidPermission,
    PermissionSet,
    covers,
    effective_permissions,
    parse_grant,
    parse_permission,
)

# Few and short, so that names collide, nest and cover each other.
segments = st.sampled_from(["a", "b", "ab", "a-b"])
names = st.lists(segments, min_size=2, max_size=5).map(".".join)
wildcards = st.lists(segments, max_size=4).map(lambda parts: ".".join([*parts, "*"]))
grants = st.one_of(names, wildcards)
name_sets = st.frozensets(names, max_size=12)
grant_sets = st.frozensets(grants, max_size=8)

# All texts that the alphabet of grants can spell, well-formed or not.
nearly_grants = st.text(alphabet="ab.*-_1A\n", max_size=12)


def model_covers(grant: str, name: str) -> bool:
    """Compare segment by segment."""
    held, asked = grant.split("."), name.split(".")
    if held[-1] != "*":
        return held == asked
    return len(asked) >= len(held) and asked[: len(held) - 1] == held[:-1]


def model_is_permission(text: str) -> bool:
    """Check every rule by itself."""
    parts = text.split(".")
    first, rest = set("abcdefghijklmnopqrstuvwxyz"), set("abcdefghijklmnopqrstuvwxyz0123456789_-")
    return (
        2 <= len(parts) <= 5
        and len(text) <= 128
        and all(part and part[0] in first and set(part) <= rest for part in parts)
    )


def model_is_grant(text: str) -> bool:
    """Put a segment in the place of the star."""
    if text == "*" or model_is_permission(text):
        return True
    return text.endswith(".*") and model_is_permission(text[:-1] + "x")


def any_covers(held: Iterable[str], name: str) -> bool:
    return any(model_covers(grant, name) for grant in held)


@given(nearly_grants | st.text(max_size=20))
def test_the_grammar_is_the_models(text: str) -> None:
    if model_is_permission(text):
        assert parse_permission(text) == text
    else:
        with pytest.raises(InvalidPermission):
            parse_permission(text)
    if model_is_grant(text):
        assert parse_grant(text) == text
    else:
        with pytest.raises(InvalidGrant):
            parse_grant(text)


@given(grants, names)
def test_a_grant_covers_what_the_model_says(grant: str, name: str) -> None:
    assert covers(grant, name) is model_covers(grant, name)


@given(grants, grants, names)
def test_covering_is_transitive(outer: str, inner: str, name: str) -> None:
    if covers(outer, inner) and covers(inner, name):
        assert covers(outer, name)


@given(grants)
def test_a_grant_covers_itself(grant: str) -> None:
    assert covers(grant, grant)


@given(grant_sets, names)
def test_a_set_covers_what_one_of_its_grants_covers(held: frozenset[str], name: str) -> None:
    assert PermissionSet(held).covers(name) is any_covers(held, name)


@given(st.frozensets(nearly_grants, max_size=6), names)
def test_malformed_grants_add_nothing(held: frozenset[str], name: str) -> None:
    well_formed = {grant for grant in held if model_is_grant(grant)}
    assert PermissionSet(held).covers(name) is any_covers(well_formed, name)


@given(grant_sets, grant_sets, name_sets)
def test_effective_is_allowed_and_not_denied(
    allows: frozenset[str], denies: frozenset[str], catalogue: frozenset[str]
) -> None:
    effective = PermissionSet(effective_permissions(allows, denies, catalogue))
    for name in catalogue | {allow for allow in allows if "*" not in allow}:
        expected = any_covers(allows, name) and not any_covers(denies, name)
        assert effective.covers(name) is expected, name


@given(grant_sets, grant_sets, name_sets, name_sets)
def test_a_token_carries_what_its_audience_declares_and_nothing_else(
    allows: frozenset[str],
    denies: frozenset[str],
    catalogue: frozenset[str],
    declared: frozenset[str],
) -> None:
    effective = PermissionSet(effective_permissions(allows, denies, catalogue, declared))
    for name in catalogue | declared:
        allowed = any_covers(allows, name) and not any_covers(denies, name)
        assert effective.covers(name) is (allowed and name in declared), name


@given(grant_sets, grant_sets, name_sets, st.none() | name_sets, names)
def test_no_deny_is_ever_crossed(
    allows: frozenset[str],
    denies: frozenset[str],
    catalogue: frozenset[str],
    declared: frozenset[str] | None,
    name: str,
) -> None:
    effective = PermissionSet(effective_permissions(allows, denies, catalogue, declared))
    if any_covers(denies, name) or not any_covers(allows, name):
        assert not effective.covers(name)


@given(grant_sets, grant_sets, name_sets, st.none() | name_sets)
def test_the_list_is_sorted_and_says_nothing_twice(
    allows: frozenset[str],
    denies: frozenset[str],
    catalogue: frozenset[str],
    declared: frozenset[str] | None,
) -> None:
    effective = effective_permissions(allows, denies, catalogue, declared)
    assert list(effective) == sorted(set(effective))
    for grant in effective:
        parse_grant(grant)
        assert not any(covers(other, grant) for other in effective if other != grant)


@given(grant_sets, grant_sets, name_sets, st.none() | name_sets)
def test_what_is_broken_up_is_in_the_widest_pieces_that_are_exact(
    allows: frozenset[str],
    denies: frozenset[str],
    catalogue: frozenset[str],
    declared: frozenset[str] | None,
) -> None:
    known = catalogue | (declared or frozenset())
    foreign = known - (known if declared is None else declared)
    for grant in effective_permissions(allows, denies, catalogue, declared):
        parts = grant.split(".")
        wider = {".".join([*parts[:length], "*"]) for length in range(len(parts))} - {grant}
        for wildcard in wider:
            if not any_covers(allows, wildcard) or not any(covers(wildcard, n) for n in known):
                continue
            touched = any_covers(denies, wildcard) or any(covers(wildcard, d) for d in denies)
            assert touched or any(covers(wildcard, name) for name in foreign), wildcard


@given(grant_sets, grant_sets, name_sets)
def test_computing_it_again_changes_nothing(
    allows: frozenset[str], denies: frozenset[str], catalogue: frozenset[str]
) -> None:
    once = effective_permissions(allows, denies, catalogue)
    assert effective_permissions(once, denies, catalogue) == once


@given(grant_sets, grant_sets, grants, name_sets)
def test_one_more_deny_never_gives_more(
    allows: frozenset[str], denies: frozenset[str], further: str, catalogue: frozenset[str]
) -> None:
    before = PermissionSet(effective_permissions(allows, denies, catalogue))
    after = PermissionSet(effective_permissions(allows, denies | {further}, catalogue))
    assert all(before.covers(name) for name in catalogue if after.covers(name))
