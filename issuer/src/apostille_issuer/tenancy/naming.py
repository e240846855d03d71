"""Names of tenants and organizations: which are allowed, how they sort, where a page begins."""

from __future__ import annotations

import unicodedata
import uuid

from msgspec import Struct

from apostille_issuer.http.paging import key_of, not_a_cursor
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.limits import NAME_LENGTH

__all__ = ["LAST", "DisplayName", "Place", "check_name", "place_of", "prefix_key"]

LAST = "\U0010ffff"
"""Sorts after every character, so that a prefix is a range."""

UUID_LENGTH = 36


class DisplayName(Struct, frozen=True):
    """A name that :func:`check_name` accepted."""

    text: str
    """As it is shown, in normalisation form C."""
    key: str
    """What it is sorted by and found by, and what makes two names the same."""


class Place(Struct, frozen=True):
    """Where something stands in a list by name: behind its name, its identifier."""

    key: str
    id: uuid.UUID

    def __str__(self) -> str:
        """Return what a cursor is made of; see :func:`place_of`."""
        return f"{self.id}{self.key}"


def check_name(field: str, text: str) -> DisplayName:
    """Return *text* as the name of a tenant or an organization.

    Args:
        field: What to call it in the complaint.
        text: One line of 1 to 100 characters, without a space at either end.

    Raises:
        IssuerProblem: ``validation_failed``.
    """
    # Normalising is quadratic for hostile runs of marks; the limit comes first.
    if not 0 < len(text) <= NAME_LENGTH:
        raise IssuerProblem.invalid_field(field, f"1 to {NAME_LENGTH} characters")
    normal = unicodedata.normalize("NFC", text)
    key = _key(text)
    if not text.isprintable() or not key.isprintable() or text != text.strip():
        raise IssuerProblem.invalid_field(
            field, "one line of printable characters, without a space at either end"
        )
    if len(normal) > NAME_LENGTH or len(key) > 2 * NAME_LENGTH:
        raise IssuerProblem.invalid_field(field, f"at most {NAME_LENGTH} characters")
    return DisplayName(normal, key)


def prefix_key(field: str, text: str) -> str:
    """Return the key that the keys of all names beginning with *text* begin with.

    Raises:
        IssuerProblem: ``validation_failed``; no name begins like that.
    """
    if len(text) > NAME_LENGTH or not text.isprintable():
        raise IssuerProblem.invalid_field(
            field, f"at most {NAME_LENGTH} printable characters of a name"
        )
    return _key(text)


def place_of(cursor: str | None) -> Place | None:
    """Return the place that *cursor* stands for; ``None`` for the first page.

    Raises:
        IssuerProblem: ``validation_failed``; it is not a cursor of ours.
    """
    if cursor is None:
        return None
    text = key_of(cursor)
    try:
        return Place(text[UUID_LENGTH:], uuid.UUID(text[:UUID_LENGTH]))
    except ValueError:
        raise not_a_cursor() from None


def _key(text: str) -> str:
    # Folding can undo the normal form and normalising the folding; a second
    # round of both always holds (UAX 31, R4 and R5).
    for _ in range(2):
        text = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", text)
