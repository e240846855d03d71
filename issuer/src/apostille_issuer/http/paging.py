"""Lists in pages, by keyset: a page starts after the last key of the one before.

A cursor is opaque to clients. Inserts and deletes between two pages neither
repeat nor skip what stays, and page 1,000 costs what page 1 costs.
"""

from __future__ import annotations

import binascii
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from litestar.params import QueryParameter
from msgspec import Struct

from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.problems import IssuerProblem

__all__ = [
    "DEFAULT_LIMIT",
    "MAX_LIMIT",
    "Cursor",
    "Limit",
    "Page",
    "key_of",
    "not_a_cursor",
    "page_of",
    "uuid_of",
]

T = TypeVar("T")
V = TypeVar("V")

DEFAULT_LIMIT = 50
"""Items on a page where the client names no limit."""

MAX_LIMIT = 200
"""Most items on a page; a larger limit is refused."""

MAX_CURSOR_LENGTH = 1_200
"""Enough for an identifier and the longest name that a list is ordered by."""

Limit = Annotated[
    int, QueryParameter(ge=1, le=MAX_LIMIT, description=f"Items on the page; at most {MAX_LIMIT}.")
]
"""Type of a handler's ``limit`` parameter; its default is :data:`DEFAULT_LIMIT`."""

Cursor = Annotated[
    str | None,
    QueryParameter(max_length=MAX_CURSOR_LENGTH, description="`next_cursor` of the page before."),
]
"""Type of a handler's ``cursor`` parameter; its default is ``None``."""


class Page(Struct, Generic[T], frozen=True):
    """One page of a list, and where the next one starts."""

    items: tuple[T, ...]
    next_cursor: str | None
    """Send it as ``cursor`` for the next page; ``null`` on the last one."""


def key_of(cursor: str | None) -> str:
    """Return the key that *cursor* stands for; empty for the first page.

    Raises:
        IssuerProblem: ``validation_failed``; it is not a cursor of ours.
    """
    if cursor is None:
        return ""
    try:
        key = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode()
    except (UnicodeError, binascii.Error) as error:
        raise not_a_cursor() from error
    # A NUL is valid UTF-8 that PostgreSQL refuses to compare with.
    if not key or not key.isprintable():
        raise not_a_cursor()
    return key


def uuid_of(cursor: str | None) -> uuid.UUID | None:
    """Return the identifier that *cursor* stands for; ``None`` for the first page.

    Raises:
        IssuerProblem: ``validation_failed``; it is not a cursor of ours.
    """
    key = key_of(cursor)
    try:
        return uuid.UUID(key) if key else None
    except ValueError as error:
        raise not_a_cursor() from error


def page_of(
    rows: Sequence[T], limit: int, *, view: Callable[[T], V], key: Callable[[T], object]
) -> Page[V]:
    """Return the page made of the first *limit* of *rows*.

    Args:
        rows: In key order, fetched with ``limit + 1``: one more says there is more.
        limit: Most items on the page.
        view: Makes what clients see of a row.
        key: Returns the key that the list is ordered by.
    """
    shown = rows[:limit]
    following = len(rows) > limit
    cursor = urlsafe_b64encode(str(key(shown[-1])).encode()).rstrip(b"=") if following else None
    return Page(tuple(view(row) for row in shown), cursor.decode() if cursor else None)


def not_a_cursor() -> IssuerProblem:
    """Return what is said of a cursor that is not ours."""
    return IssuerProblem(
        ProblemCode.VALIDATION_FAILED,
        errors=(FieldError("cursor", "send the next_cursor of the page before, or none"),),
    )
