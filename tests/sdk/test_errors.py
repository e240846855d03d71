"""The error tree: codes, texts, and what each carries."""

from __future__ import annotations

import inspect
from datetime import timedelta

import pytest

from apostille import errors
from apostille.errors import (
    ApostilleError,
    ConfigurationError,
    InvalidClaim,
    InvalidCredentials,
    InvalidToken,
    KeysUnavailable,
    PermissionDenied,
    Unavailable,
)
from apostille_contracts.problems import SPECS, ProblemCode

LEAVES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, ApostilleError)
    and kind.__name__ in errors.__all__
    and not kind.__subclasses__()
]


def test_all_is_what_there_is() -> None:
    named = {
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, ApostilleError) and not name.startswith("_")
    }
    assert named == set(errors.__all__)


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_a_leaf_has_a_code_and_the_status_of_its_branch(kind: type[ApostilleError]) -> None:
    if kind is ConfigurationError:
        assert not hasattr(kind, "code")
        return
    code = kind.code  # type: ignore[attr-defined]
    status = {InvalidToken: {401}, InvalidCredentials: {400, 401, 403}, Unavailable: {503}}
    allowed = next((s for branch, s in status.items() if issubclass(kind, branch)), {403})
    assert SPECS[code].status in allowed


def test_no_two_leaves_share_a_code() -> None:
    codes = [kind.code for kind in LEAVES if hasattr(kind, "code")]
    assert len(set(codes)) == len(codes)


def test_texts_are_fixed_and_fields_are_structured() -> None:
    claim = InvalidClaim("exp")
    assert (claim.code, claim.claim) == (ProblemCode.INVALID_CLAIM, "exp")
    assert str(claim).endswith("(exp)")
    denied = PermissionDenied(("inventory.read", "inventory.write"))
    assert denied.missing == ("inventory.read", "inventory.write")
    assert str(denied).endswith("(inventory.read, inventory.write)")
    assert str(PermissionDenied()) == SPECS[ProblemCode.PERMISSION_DENIED].detail
    assert KeysUnavailable().retry_after == timedelta(seconds=5)
    assert str(KeysUnavailable(timedelta(seconds=9))) == SPECS[ProblemCode.KEYS_UNAVAILABLE].detail
