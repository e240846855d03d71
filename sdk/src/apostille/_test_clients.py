"""Test clients of frameworks, known by their shape: none is imported, none is missing."""

from __future__ import annotations

from collections.abc import MutableMapping

from .errors import ConfigurationError

__all__ = ["carry"]

_HEADER_DEFAULTS = (
    # Django's AsyncClient takes what the others call HTTP_AUTHORIZATION without the prefix.
    ("defaults", ("HTTP_AUTHORIZATION", "AUTHORIZATION")),
    ("environ_base", ("HTTP_AUTHORIZATION",)),  # Werkzeug, Flask
    ("headers", ("Authorization",)),  # httpx, requests
)
"""Where test clients keep what each of their requests carries, and under which names."""


def carry(client: object, authorization: str) -> None:
    """Let every request of *client* carry the header *authorization*.

    Raises:
        ConfigurationError: It is no test client known here.
    """
    for attribute, names in _HEADER_DEFAULTS:
        defaults = getattr(client, attribute, None)
        if isinstance(defaults, MutableMapping):
            defaults.update(dict.fromkeys(names, authorization))
            return
    raise ConfigurationError(f"{type(client).__name__} is no test client known here")
