"""What may be stored: names, descriptions and grants, each refused by field."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from typing import Final

from apostille_contracts.permissions import (
    EVERYTHING,
    InvalidGrant,
    InvalidPermission,
    parse_grant,
    parse_permission,
)
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.problems import IssuerProblem

__all__ = [
    "check_grants",
    "check_name",
    "check_text",
    "known_permission_name",
    "module_of",
    "new_permission_name",
    "reference",
]

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def check_name(field: str, text: str) -> str:
    """Return *text* if it can name a role or a service.

    Raises:
        IssuerProblem: ``validation_failed``; it is not 1 to 63 characters
            ``[a-z][a-z0-9_-]*``, or could be taken for an identifier.
    """
    if _NAME.fullmatch(text) is None or _uuid(text) is not None:
        raise IssuerProblem.invalid_field(
            field, "1 to 63 characters: a lower-case letter, then letters, digits, '_' and '-'"
        )
    return text


def check_text(field: str, text: str) -> str:
    """Return *text*, free text of one line, if it can be stored and shown.

    Raises:
        IssuerProblem: ``validation_failed``; it holds control characters or
            the like. NUL is one that PostgreSQL cannot store.
    """
    if not text.isprintable():
        raise IssuerProblem.invalid_field(field, "one line of printable characters")
    return text


def new_permission_name(field: str, text: str) -> str:
    """Return *text* if it can name a permission.

    Raises:
        IssuerProblem: ``validation_failed``.
    """
    try:
        return parse_permission(text)
    except InvalidPermission as error:
        raise IssuerProblem.invalid_field(field, str(error)) from error


def known_permission_name(text: str) -> str:
    """Return *text* out of a path if a permission can be called that.

    Raises:
        IssuerProblem: ``not_found``.
    """
    try:
        return parse_permission(text)
    except InvalidPermission as error:
        raise IssuerProblem(ProblemCode.NOT_FOUND) from error


def reference(text: str) -> str | uuid.UUID:
    """Return *text* out of a path as a name or an identifier.

    Raises:
        IssuerProblem: ``not_found``; nothing can be called that.
    """
    if (identifier := _uuid(text)) is not None:
        return identifier
    if _NAME.fullmatch(text) is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return text


def check_grants(field: str, texts: Sequence[str]) -> frozenset[str]:
    """Return *texts* as grants of a role.

    Raises:
        IssuerProblem: ``validation_failed``, naming every text that is not a
            grant, or is ``*``: only ``superuser`` holds that.
    """
    errors = tuple(_grant_errors(field, texts))
    if errors:
        raise IssuerProblem(ProblemCode.VALIDATION_FAILED, errors=errors)
    return frozenset(texts)


def module_of(permission: str) -> str:
    """Return the first segment, the part of the catalogue a permission is in."""
    return permission.partition(".")[0]


def _grant_errors(field: str, texts: Sequence[str]) -> Iterable[FieldError]:
    for index, text in enumerate(texts):
        if text == EVERYTHING:
            yield FieldError(f"{field}[{index}]", "'*' belongs to the role superuser alone")
            continue
        try:
            parse_grant(text)
        except InvalidGrant as error:
            yield FieldError(f"{field}[{index}]", str(error))


def _uuid(text: str) -> uuid.UUID | None:
    # uuid.UUID also takes braces, prefixes and missing hyphens; one spelling is enough.
    try:
        identifier = uuid.UUID(text)
    except ValueError:
        return None
    return identifier if str(identifier) == text else None
