"""Free JSON objects that tenants and organizations keep: settings and entitlements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from apostille_issuer.problems import IssuerProblem

__all__ = ["MAX_DOCUMENT_BYTES", "MAX_DOCUMENT_DEPTH", "Document", "check_document"]

MAX_DOCUMENT_BYTES: Final = 16_384
"""Longest document, as compact JSON in UTF-8."""

MAX_DOCUMENT_DEPTH: Final = 5
"""Most objects and lists inside each other, the document itself included."""

MAX_NAME_LENGTH: Final = 63

MAX_NUMBER: Final = 2**53 - 1
"""What every JSON parser reads as it was written (RFC 7493 section 2.2)."""

Document = Annotated[
    dict[str, Any],
    Meta(
        description=f"A JSON object of at most {MAX_DOCUMENT_BYTES:,} bytes, "
        f"{MAX_DOCUMENT_DEPTH} levels deep.",
        examples=[{"locale": "en"}],
    ),
]
"""Type of such a field; :func:`check_document` holds it to the limits."""


def check_document(field: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return *document* if it can be stored, and read again as it was.

    Names have 1 to 63 printable characters; texts hold no NUL, which
    PostgreSQL cannot store; numbers are not beyond ±(2**53 - 1).

    Args:
        field: What to call it in the complaint.
        document: As it was decoded from JSON.

    Raises:
        IssuerProblem: ``validation_failed``.
    """
    for complaint in _complaints(document, 1):
        raise IssuerProblem.invalid_field(field, complaint)
    if len(msgspec.json.encode(document)) > MAX_DOCUMENT_BYTES:
        raise IssuerProblem.invalid_field(field, f"at most {MAX_DOCUMENT_BYTES:,} bytes of JSON")
    return document


def _complaints(value: Any, depth: int) -> Iterator[str]:
    match value:
        case dict() | list() if depth > MAX_DOCUMENT_DEPTH:
            yield f"at most {MAX_DOCUMENT_DEPTH} objects and lists inside each other"
        case dict():
            for name, inner in value.items():
                if not 0 < len(name) <= MAX_NAME_LENGTH or not name.isprintable():
                    yield f"names of 1 to {MAX_NAME_LENGTH} printable characters"
                yield from _complaints(inner, depth + 1)
        case list():
            for inner in value:
                yield from _complaints(inner, depth + 1)
        case str() if "\0" in value:
            yield "texts without NUL"
        case int() | float() if abs(value) > MAX_NUMBER:
            yield "numbers from -(2**53 - 1) to 2**53 - 1"
