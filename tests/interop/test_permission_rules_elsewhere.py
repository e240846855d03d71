"""Grants cover in other languages what they cover in Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

from apostille_contracts.permissions import InvalidPermission, PermissionSet, parse_permission
from interop.languages import VECTORS, Language, Programs

HELD: tuple[tuple[str, ...], ...] = (
    (),
    ("*",),
    ("inventory.read",),
    ("inventory.read", "inventory.write"),
    ("inventory.*",),
    ("inventory.stock.*",),
    ("inventory.stock.*", "inventory.read"),
    ("inventoryx.*", "billing.*"),
    ("billing.*", "inventory.write", "inventory.stock.count"),
    # No grants, whatever they look like.
    ("inventory",),
    ("inventory*",),
    ("inventory.re*",),
    ("inventory.*\n",),
    ("inventory.* ",),
    ("inventory.read ",),
    (".*",),
    ("",),
)
REQUIRED: tuple[tuple[str, ...], ...] = (
    (),
    ("inventory.read",),
    ("inventory.stock.count",),
    ("billing.invoices.lines.notes.read",),
    ("inventory.read", "inventory.write"),
    ("inventory.write", "inventory.stock.count"),
    ("inventory.read", "inventory.*"),
    ("*", "inventory.read"),
)


def _case(grants: Sequence[str], required: Sequence[str], match: str) -> dict[str, Any]:
    return {"grants": list(grants), "required": list(required), "match": match}


def _reference(case: dict[str, Any]) -> bool | str:
    try:
        names = [parse_permission(name) for name in case["required"]]
    except InvalidPermission:
        return "error"
    if not names:
        return "error"  # "all of nothing" would be true of everybody
    held = PermissionSet(case["grants"])
    return (all if case["match"] == "all" else any)(held.covers(name) for name in names)


def _published() -> Iterator[tuple[dict[str, Any], bool | str]]:
    """Yield the rules of ``permissions.json``; a requirement that is a mistake is an error."""
    rules = json.loads((VECTORS / "permissions.json").read_bytes())
    for match in ("all", "any"):
        for name in rules["names"]["valid"]:
            yield _case(["*"], [name], match), True
            yield _case([name], [name], match), True
        for name in rules["names"]["invalid"] + rules["grants"]["valid"]:
            yield _case(["*"], [name], match), "error"
            yield _case(["*"], ["inventory.read", name], match), "error"
        for case in rules["covers"]["cases"]:
            yield _case([case["grant"]], [case["permission"]], match), case["covered"]


def test_the_published_rules_hold(
    language: Language, programs: Callable[[Language], Programs]
) -> None:
    cases, expected = zip(*_published(), strict=True)
    assert _told(programs(language), cases) == list(expected)


def test_sets_and_requirements_answer_as_in_python(
    language: Language, programs: Callable[[Language], Programs]
) -> None:
    cases = [_case(*question) for question in product(HELD, REQUIRED, ("all", "any"))]
    assert _told(programs(language), cases) == [_reference(case) for case in cases]


def _told(programs: Programs, cases: Sequence[dict[str, Any]]) -> list[Any]:
    answers = programs.answers("permissions", cases)
    return [answer.get("value", answer.get("code")) for answer in answers]
