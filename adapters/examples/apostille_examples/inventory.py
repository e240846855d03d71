"""The inventory itself: what all three services do, whatever their framework."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from apostille.http import Answer, problem_answer
from apostille_contracts.problems import FieldError, Problem, ProblemCode

__all__ = ["MAX_BODY_BYTES", "MAX_QUANTITY", "BadInput", "Stock", "http_error", "parse_change"]

MAX_BODY_BYTES = 16 * 1024
MAX_QUANTITY = 1_000_000
"""Most of one item, in pieces."""

_ITEM = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PLACE = re.compile(r"(?: - at `\$\.|field `)([^`]{0,64})")


class BadInput(Exception):
    """The request cannot be done as it is; :attr:`answer` says why."""

    def __init__(self, code: ProblemCode, *errors: FieldError) -> None:
        super().__init__(code)
        self.answer: Answer = problem_answer(Problem.of(code, errors=errors))


class Stock:
    """Items and their quantities, in memory; each call is atomic."""

    def __init__(self) -> None:
        self._quantities = {"apples": 40, "bolts": 1200, "crates": 7}

    def quantities(self) -> dict[str, int]:
        """Return what is there."""
        return dict(self._quantities)

    def put(self, item: str, quantity: int) -> None:
        """Set how many of *item* there are."""
        self._quantities[item] = quantity


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    quantity: Annotated[int, msgspec.Meta(ge=0, le=MAX_QUANTITY)]


def parse_change(item: str, media_type: str | None, body: bytes) -> int:
    """Return the new quantity of *item* from a request.

    Args:
        item: From the path: 1 to 64 lower-case letters, digits and hyphens.
        media_type: The ``Content-Type`` header.
        body: ``{"quantity": 12}``; at most :data:`MAX_BODY_BYTES`.

    Raises:
        BadInput: Any of it is not so.
    """
    if _ITEM.fullmatch(item) is None:
        wanted = "1 to 64 lower-case letters, digits and hyphens"
        raise BadInput(ProblemCode.VALIDATION_FAILED, FieldError("item", wanted))
    if (media_type or "").partition(";")[0].strip().lower() != "application/json":
        raise BadInput(ProblemCode.UNSUPPORTED_MEDIA_TYPE)
    if len(body) > MAX_BODY_BYTES:
        raise BadInput(ProblemCode.BODY_TOO_LARGE)
    try:
        return msgspec.json.decode(body, type=_Change).quantity
    except msgspec.ValidationError as error:
        place = _PLACE.search(str(error))
        if place is None:  # the body is no object at all
            raise BadInput(ProblemCode.MALFORMED_BODY) from error
        wanted = str(error).partition(" - at ")[0].partition(" field `")[0]
        raise BadInput(ProblemCode.VALIDATION_FAILED, FieldError(place[1], wanted)) from error
    except msgspec.DecodeError as error:
        raise BadInput(ProblemCode.MALFORMED_BODY) from error


_HTTP_ERRORS = {
    404: ProblemCode.NOT_FOUND,
    405: ProblemCode.METHOD_NOT_ALLOWED,
    413: ProblemCode.BODY_TOO_LARGE,
}


def http_error(status: int) -> Answer:
    """Return the answer for an error a framework found by itself."""
    return problem_answer(Problem.of(_HTTP_ERRORS.get(status, ProblemCode.INTERNAL_ERROR)))
