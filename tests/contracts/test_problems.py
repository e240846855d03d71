"""Codes are for ever: none is lost, none repeats, each has a sane status and a fixed text."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
import pytest

from apostille_contracts.problems import SPECS, FieldError, Problem, ProblemCode

STATUSES = {400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 500, 503}


@pytest.mark.parametrize("code", ProblemCode)
def test_every_code_has_a_sane_status_and_a_sentence(code: ProblemCode) -> None:
    spec = SPECS[code]
    assert spec.status in STATUSES
    assert spec.detail[0].isupper()
    assert spec.detail.endswith(".")
    # RFC 6750 section 3: what may stand in error_description.
    assert all(" " <= character <= "~" and character not in '"\\' for character in spec.detail)


def test_no_code_repeats_and_none_is_left_out() -> None:
    values = [code.value for code in ProblemCode]
    assert len(values) == len(set(values)) == len(ProblemCode.__members__) == len(SPECS)
    assert all(value == name.lower() for name, value in ProblemCode.__members__.items())


def test_two_codes_never_share_a_text() -> None:
    assert len({spec.detail for spec in SPECS.values()}) == len(SPECS)


def test_an_unreachable_issuer_is_never_an_invalid_token() -> None:
    for code in (ProblemCode.KEYS_UNAVAILABLE, ProblemCode.STATUS_UNAVAILABLE):
        assert SPECS[code].status == HTTPStatus.SERVICE_UNAVAILABLE


@pytest.mark.parametrize("code", ProblemCode)
def test_the_title_is_the_phrase_of_the_status(code: ProblemCode) -> None:
    problem = Problem.of(code)
    assert problem.title == HTTPStatus(problem.status).phrase
    assert (problem.status, problem.detail) == (SPECS[code].status, SPECS[code].detail)


def test_a_problem_says_no_more_than_it_has_to() -> None:
    assert msgspec.json.decode(msgspec.json.encode(Problem.of(ProblemCode.NOT_FOUND))) == {
        "title": "Not Found",
        "status": 404,
        "detail": "There is nothing here.",
        "code": "not_found",
    }


def test_extensions_travel_with_the_problem() -> None:
    problem = Problem.of(
        ProblemCode.VALIDATION_FAILED, errors=(FieldError("login", "is too short"),)
    )
    document = msgspec.json.decode(msgspec.json.encode(problem))
    assert document["errors"] == [{"field": "login", "detail": "is too short"}]
    assert msgspec.json.decode(msgspec.json.encode(problem), type=Problem) == problem


def test_specs_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        SPECS[ProblemCode.NOT_FOUND] = SPECS[ProblemCode.CONFLICT]  # type: ignore[index]
