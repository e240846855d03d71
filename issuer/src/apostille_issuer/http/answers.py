"""The error answers of a route, for its OpenAPI description."""

from __future__ import annotations

from litestar.openapi import ResponseSpec

from apostille_contracts.problems import PROBLEM_MEDIA_TYPE, SPECS, Problem, ProblemCode

__all__ = ["NOT_MODIFIED", "guarded", "problems", "reading", "signed_in"]

NOT_MODIFIED = ResponseSpec(
    None,
    description="The caller has it already: `If-None-Match` names its `ETag`.",
    generate_examples=False,
)


def problems(*codes: ProblemCode) -> dict[int, ResponseSpec]:
    """Return what to document for a route that can answer with *codes*.

    Use it as ``@get(responses=problems(ProblemCode.NOT_FOUND))``.
    """
    by_status: dict[int, dict[ProblemCode, None]] = {}
    for code in codes:
        by_status.setdefault(SPECS[code].status, {})[code] = None
    return {status: _spec(tuple(held)) for status, held in sorted(by_status.items())}


def guarded(
    *codes: ProblemCode, body: bool = False, anywhere: bool = False
) -> dict[int, ResponseSpec]:
    """Return the same for a route behind a guard, which can answer more.

    Args:
        codes: What the act itself can answer.
        body: Whether the route reads a body.
        anywhere: Whether it takes tokens that speak for an organization
            (:data:`.platform.WITHIN_ORGANIZATION`).
    """
    where = () if anywhere else (ProblemCode.PLATFORM_ONLY,)
    return signed_in(ProblemCode.PERMISSION_DENIED, *where, *codes, body=body)


def signed_in(*codes: ProblemCode, body: bool = False) -> dict[int, ResponseSpec]:
    """Return the same for a route that anybody with a token may use.

    Args:
        codes: What the act itself can answer.
        body: Whether the route reads a body.
    """
    held = (
        ProblemCode.INVALID_REQUEST,
        # Stands for every reason to refuse a token; each answer names its own.
        ProblemCode.MISSING_TOKEN,
        *codes,
        ProblemCode.DATABASE_UNAVAILABLE,
    )
    return reading(*held) if body else problems(*held)


def reading(*codes: ProblemCode) -> dict[int, ResponseSpec]:
    """Return the same for a route that reads a body, guarded or not."""
    return problems(
        ProblemCode.MALFORMED_BODY,
        ProblemCode.BODY_TOO_LARGE,
        ProblemCode.UNSUPPORTED_MEDIA_TYPE,
        ProblemCode.VALIDATION_FAILED,
        *codes,
    )


def _spec(codes: tuple[ProblemCode, ...]) -> ResponseSpec:
    return ResponseSpec(
        Problem,
        description=" ".join(f"`{code.value}`: {SPECS[code].detail}" for code in codes),
        media_type=PROBLEM_MEDIA_TYPE,
        generate_examples=False,
    )
