"""Libraries of other languages, with the checks the examples add, agree with the contract."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from interop.languages import EXAMPLES, VECTORS, Language, Programs, Verdict, agrees, run, run_go

LIMITS: Mapping[tuple[str, str], Verdict] = {
    # go-jose does not know the name Ed25519 (RFC 9864): none such is accepted.
    ("oidc", "ed25519-required-claims-only"): ("algorithm_not_allowed", None),
    ("oidc", "eddsa-key-under-its-new-name"): ("algorithm_not_allowed", None),
    ("oidc", "ed25519-signature-with-a-bit-flipped"): ("algorithm_not_allowed", None),
}
"""Where a library is stricter than the contract, and what it says. Never the other way round."""


def _vectors() -> list[dict[str, Any]]:
    return [
        json.loads(path.read_bytes())
        for folder in ("good", "hostile")
        for path in sorted((VECTORS / folder).glob("*.json"))
    ]


def test_there_are_vectors_enough() -> None:
    valid = [vector["expected"]["valid"] for vector in _vectors()]
    assert valid.count(True) >= 20
    assert valid.count(False) >= 60


def test_each_golden_vector_gets_its_verdict(library: str, library_programs: Programs) -> None:
    vectors = _vectors()
    answers = library_programs.answers(library, vectors)
    differences = []
    for vector, answer in zip(vectors, answers, strict=True):
        name, expected = vector["name"], vector["expected"]
        right = LIMITS.get((library, name), (expected.get("code"), expected.get("claim")))
        if not agrees(library, answer, right):
            differences.append(f"{name}: {right}, not {answer}")
        elif "value" in answer and not expected["claims"].items() <= answer["value"].items():
            differences.append(f"{name}: other claims: {answer}")
    assert not differences, "\n".join(differences)


def test_the_go_example_is_formatted(programs: Callable[[Language], Programs]) -> None:
    programs("go")
    assert run("gofmt", "-l", ".", cwd=EXAMPLES / "go") == ""


def test_the_go_example_is_vetted(programs: Callable[[Language], Programs]) -> None:
    programs("go")
    assert run_go("vet", ".", "./cmd/conformance", "./cmd/service") == ""
