"""Grammar, matching and algebra of permissions.

A *permission* is two to five lower-case segments joined by dots
(``inventory.stock.read``). A *grant* is a permission, or a wildcard: ``*`` as
the last segment covers everything below (``inventory.*`` covers
``inventory.read`` and ``inventory.stock.read``), and ``*`` alone covers all.
Only grants may contain wildcards; what a service requires never does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import NewType

__all__ = [
    "EVERYTHING",
    "MAX_PERMISSION_LENGTH",
    "Grant",
    "InvalidGrant",
    "InvalidPermission",
    "Permission",
    "PermissionSet",
    "covers",
    "effective_permissions",
    "parse_grant",
    "parse_permission",
]

Permission = NewType("Permission", str)
"""A name that :func:`parse_permission` accepted: no wildcard."""

Grant = NewType("Grant", str)
"""A name or wildcard that :func:`parse_grant` accepted."""

MAX_PERMISSION_LENGTH = 128
"""Longest permission or grant, in characters."""

EVERYTHING = Grant("*")
"""The grant that covers every permission; held by the role ``superuser`` alone."""

_SEGMENT = r"[a-z][a-z0-9_-]*"
_PERMISSION = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT}){{1,4}}")
_GRANT = re.compile(rf"\*|{_SEGMENT}(?:\.{_SEGMENT}){{0,3}}\.\*")


class InvalidPermission(ValueError):
    """The text is not a permission name; wildcards are not permissions."""


class InvalidGrant(ValueError):
    """The text is neither a permission name nor a wildcard."""


@lru_cache(maxsize=4096)
def parse_permission(text: str) -> Permission:
    """Return *text* as a permission name.

    Args:
        text: Two to five segments ``[a-z][a-z0-9_-]*`` joined by dots; at
            most :data:`MAX_PERMISSION_LENGTH` characters.

    Raises:
        InvalidPermission: It is not one. A wildcard is not one either:
            "may he do anything at all below here" is no question to ask.
    """
    if len(text) > MAX_PERMISSION_LENGTH or _PERMISSION.fullmatch(text) is None:
        message = (
            "a permission is two to five lower-case segments joined by dots, "
            "such as 'inventory.read'; a wildcard can be granted, never required"
        )
        raise InvalidPermission(message)
    return Permission(text)


def parse_grant(text: str) -> Grant:
    """Return *text* as a grant: a permission, ``segment.*`` or ``*``.

    Raises:
        InvalidGrant: It is none of these, or longer than
            :data:`MAX_PERMISSION_LENGTH` characters.
    """
    if len(text) > MAX_PERMISSION_LENGTH or not (
        _PERMISSION.fullmatch(text) or _GRANT.fullmatch(text)
    ):
        message = "a grant is a permission such as 'inventory.read', 'inventory.*' or '*'"
        raise InvalidGrant(message)
    return Grant(text)


def covers(grant: str, name: str) -> bool:
    """Say whether *grant* covers *name*, a permission or another grant."""
    if grant in (name, EVERYTHING):
        return True
    return grant.endswith(".*") and name.startswith(grant[:-1])


class PermissionSet:
    """An immutable set of grants that answers which permissions it covers.

    Texts that are not grants cover nothing. Asking costs one hash look-up,
    and one prefix comparison where wildcards are held, however large the set.
    """

    __slots__ = ("_everything", "_names", "_prefixes")

    def __init__(self, grants: Iterable[str]) -> None:
        """Take *grants* as they stand in a token or a role."""
        names = frozenset(grants)
        wildcards = [name for name in names if name.endswith("*")]
        self._everything = EVERYTHING in names
        self._names = names.difference(wildcards) if wildcards else names
        self._prefixes = tuple(
            name[:-1] for name in wildcards if name != EVERYTHING and _GRANT.fullmatch(name)
        )

    def covers(self, permission: str) -> bool:
        """Say whether *permission*, a name without wildcard, is covered.

        The caller has checked the name with :func:`parse_permission`.
        """
        return (
            permission in self._names
            or (bool(self._prefixes) and permission.startswith(self._prefixes))
            or self._everything
        )

    def __repr__(self) -> str:
        return f"PermissionSet(names={len(self._names)}, wildcards={len(self._prefixes)})"


def effective_permissions(
    allows: Iterable[str],
    denies: Iterable[str],
    catalogue: Iterable[str],
    declared: Iterable[str] | None = None,
) -> tuple[Grant, ...]:
    """Return what is allowed and not denied, as a short exact list of grants.

    A wildcard survives only where it is exact: no deny touches it and, if
    *declared* is given, everything it covers in the catalogue is declared.
    Otherwise it is broken up over the catalogue, into the widest narrower
    wildcards that are exact, and names for the rest. What a surviving wildcard
    covers is not listed again.

    Args:
        allows: Grants to allow, from any number of roles.
        denies: Grants to deny; a deny wins over every allow.
        catalogue: All permissions there are.
        declared: The permissions the token's audience knows; ``None`` for all.

    Returns:
        Grants in alphabetical order, without repetition.
    """
    denied = frozenset(denies)
    known = frozenset(catalogue)
    visible = known if declared is None else frozenset(declared)

    def exact(wildcard: str, covered: AbstractSet[str]) -> bool:
        touched = any(covers(wildcard, deny) or covers(deny, wildcard) for deny in denied)
        return not touched and covered <= visible and (declared is None or bool(covered))

    wildcards: set[str] = set()
    names: set[str] = set()
    for allow in frozenset(allows):
        if allow.endswith("*"):
            covered = {name for name in known | visible if covers(allow, name)}
            _break_up(allow, covered, exact, wildcards, names)
        else:
            names.add(allow)
    if declared is not None:
        names &= visible
    refused = PermissionSet(denied)
    names = {name for name in names if not refused.covers(name)}
    kept = (grant for grant in wildcards | names if wildcards.isdisjoint(_wider(grant)))
    return tuple(Grant(grant) for grant in sorted(kept))


def _break_up(
    wildcard: str,
    covered: AbstractSet[str],
    exact: Callable[[str, AbstractSet[str]], bool],
    wildcards: set[str],
    names: set[str],
) -> None:
    """Add *wildcard* to *wildcards* if it is exact, or else what it consists of."""
    if exact(wildcard, covered):
        wildcards.add(wildcard)
        return
    below: defaultdict[str, set[str]] = defaultdict(set)
    for name in covered:
        end = name.find(".", len(wildcard) - 1)
        if end < 0:
            names.add(name)
        else:
            below[f"{name[:end]}.*"].add(name)
    for narrower, its in below.items():
        _break_up(narrower, its, exact, wildcards, names)


def _wider(grant: str) -> Iterator[str]:
    """Return every other wildcard that covers *grant*."""
    segments = grant.split(".")
    wider = (".".join((*segments[:length], "*")) for length in range(len(segments)))
    return (wildcard for wildcard in wider if wildcard != grant)
