"""Every error becomes ``application/problem+json`` with a code (RFC 9457).

One map for the whole application: services raise :class:`IssuerProblem`, the
guard raises the SDK's errors, Litestar raises its own. What is none of these
is a fault of ours: logged with its traceback, answered without it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from apostille_contracts.problems import (
    PROBLEM_MEDIA_TYPE,
    FieldError,
    Problem,
    ProblemCode,
)
from apostille_issuer.problems import IssuerProblem

__all__ = ["EXCEPTION_HANDLERS", "problem_of", "problem_response"]

logger = logging.getLogger("apostille_issuer.errors")

REALM = "apostille"

_BY_STATUS = {
    400: ProblemCode.MALFORMED_BODY,
    401: ProblemCode.MISSING_TOKEN,
    403: ProblemCode.PERMISSION_DENIED,
    404: ProblemCode.NOT_FOUND,
    405: ProblemCode.METHOD_NOT_ALLOWED,
    413: ProblemCode.BODY_TOO_LARGE,
    415: ProblemCode.UNSUPPORTED_MEDIA_TYPE,
    429: ProblemCode.RATE_LIMITED,
    503: ProblemCode.OVERLOADED,
}

_NAMED_FIELD = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
_MISSING_PARAMETER = re.compile(r"Missing required \w+ parameter '(.{1,64}?)' for path ")
MAX_FIELD_NAME = 64
"""Longest field name that an answer repeats, in characters."""


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    """Return *problem* as an answer with its status."""
    return Response(
        content=msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=dict(headers or {}),
    )


def issuer_problem(_request: Request[Any, Any, Any], problem: IssuerProblem) -> Response[bytes]:
    """Answer for what a service refused."""
    headers: dict[str, str] = {}
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    if problem.status == 401:  # RFC 9110 section 15.5.2 wants a challenge with every 401
        headers["www-authenticate"] = f'Bearer realm="{REALM}"'
    return problem_response(problem.document(), headers)


def litestar_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer for what Litestar refused before a handler was reached."""
    if isinstance(error, ValidationException):
        problem = IssuerProblem(ProblemCode.VALIDATION_FAILED, errors=_field_errors(error))
        return issuer_problem(request, problem)
    code = _BY_STATUS.get(error.status_code)
    if code is None:
        return unexpected_error(request, error)
    if code is ProblemCode.MALFORMED_BODY and not _has_body(request):
        code = ProblemCode.INVALID_REQUEST
    response = issuer_problem(request, IssuerProblem(code))
    if error.status_code == 405 and error.headers and "allow" in error.headers:
        response.headers["allow"] = error.headers["allow"]
    return response


def unexpected_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer for a fault of ours: the log has everything, the client an identifier."""
    request_id = request.scope["state"].get("request_id")
    logger.error("unhandled error", exc_info=error, extra={"request_id": request_id})
    return problem_response(Problem.of(ProblemCode.INTERNAL_ERROR, request_id=request_id))


def problem_of(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer for what a service raised, where no route is there to hand it on."""
    if isinstance(error, IssuerProblem):
        return issuer_problem(request, error)
    return unexpected_error(request, error)


def _has_body(request: Request[Any, Any, Any]) -> bool:
    """Say whether the client announced one (RFC 9112 section 6)."""
    headers = request.headers
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _field_errors(error: ValidationException) -> tuple[FieldError, ...]:
    """Return what Litestar found, with the field's own path and msgspec's text.

    The text speaks of types and limits; it does not quote values.
    """
    if match := _MISSING_PARAMETER.match(error.detail):
        return (FieldError(match[1], "required"),)
    entries = error.extra if isinstance(error.extra, list) else []
    return tuple(_field_error(entry) for entry in entries if isinstance(entry, Mapping))


def _field_error(entry: Mapping[str, Any]) -> FieldError:
    message = str(entry.get("message", ""))
    path = str(entry.get("key", ""))
    if path == "data":
        path = ""
    if match := _NAMED_FIELD.match(message):
        path = f"{path}.{match[2]}" if path else match[2]
        message = "required" if match[1].startswith("missing") else "not a field of this request"
    return FieldError(path[:MAX_FIELD_NAME] or "body", message[0].lower() + message[1:])


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    IssuerProblem: issuer_problem,
    HTTPException: litestar_error,
    Exception: unexpected_error,
}
"""For ``Litestar(exception_handlers=…)``; the most specific type wins."""
