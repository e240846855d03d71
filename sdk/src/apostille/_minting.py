"""What a test says of the token that it wants, brought into the form that tokens have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apostille_contracts.permissions import InvalidGrant, parse_grant

from .errors import ConfigurationError

__all__ = ["grants", "on_the_wire", "several"]

_CLAIM_OF = {
    "tenant": "tid",
    "organization": "org",
    "session": "sid",
    "client": "client_id",
}
"""A principal's names of claims, where the wire has shorter ones."""


def on_the_wire(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return *claims* by their names in tokens."""
    return {_CLAIM_OF.get(name, name): value for name, value in claims.items()}


def grants(permissions: Iterable[str]) -> list[str]:
    """Return *permissions* if each is a grant.

    Raises:
        ConfigurationError: One is not, or they are one text.
    """
    try:
        return [parse_grant(grant) for grant in several("permissions", permissions)]
    except InvalidGrant as error:
        raise ConfigurationError(str(error)) from error


def several(name: str, texts: Iterable[str]) -> list[str]:
    """Return *texts* as a list.

    Raises:
        ConfigurationError: It is one text.
    """
    if isinstance(texts, str):
        # Taken apart into its letters it would make another token than was meant.
        raise ConfigurationError(f"{name} is a list of texts")
    return list(texts)
