"""The dictionary ``APOSTILLE`` of the settings, read once.

===================  ====================================================================
``ISSUER``           identifier of the issuer, a URL
``AUDIENCE``         name of this service, or several
``OPTIONS``          further options of ``Verifier`` and ``AsyncVerifier``, by their names
``REALM``            shown to clients; by default the first audience
``COOKIE``           name of a cookie, or a ``TokenCookie``; by default none
``AUTHENTICATE_ALL`` whether every view needs a token; ``@public`` opts out, one by one
``VERIFIER``         a ``Verifier`` or its dotted path, in place of the first three
``ASYNC_VERIFIER``   an ``AsyncVerifier`` likewise, for async views
===================  ====================================================================
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from apostille import AsyncVerifier, Verifier
from apostille.errors import ConfigurationError
from apostille.http import ProtectionSpace, TokenCookie

__all__ = ["KNOWN", "Configuration", "configuration"]

KNOWN = frozenset(
    {
        "ISSUER",
        "AUDIENCE",
        "OPTIONS",
        "REALM",
        "COOKIE",
        "AUTHENTICATE_ALL",
        "VERIFIER",
        "ASYNC_VERIFIER",
    }
)

_Built = TypeVar("_Built", Verifier, AsyncVerifier)


class Configuration:
    """What the settings say.

    Args:
        given: The dictionary.

    Raises:
        ConfigurationError: Something in it is unknown, missing or unusable.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        unknown = sorted(map(str, set(given) - KNOWN))
        if unknown:
            raise ConfigurationError(
                f"APOSTILLE[{unknown[0]!r}] is unknown; known are {', '.join(sorted(KNOWN))}"
            )
        self._given = given
        self._lock = threading.Lock()
        self._verifier: Verifier | None = self._ready("VERIFIER", awaited=False)
        self._async_verifier: AsyncVerifier | None = self._ready("ASYNC_VERIFIER", awaited=True)
        if self._verifier is None and self._async_verifier is None:
            # Building does no I/O; mistakes show at the start, not with the first request.
            self._verifier = self._built(Verifier)
        self.authenticate_all = bool(given.get("AUTHENTICATE_ALL", False))
        known = self._verifier or self._async_verifier
        realm = given.get("REALM") or (known.audience[0] if known else "")
        self.space = ProtectionSpace(str(realm), _cookie(given.get("COOKIE")))

    @property
    def verifier(self) -> Verifier:
        """The verifier of sync views; built when first needed."""
        with self._lock:
            if self._verifier is None:
                self._verifier = self._built(Verifier)
            return self._verifier

    @property
    def async_verifier(self) -> AsyncVerifier:
        """The verifier of async views; built when first needed."""
        with self._lock:
            if self._async_verifier is None:
                self._async_verifier = self._built(AsyncVerifier)
            return self._async_verifier

    def _ready(self, name: str, *, awaited: bool) -> Any:
        value = self._given.get(name)
        if isinstance(value, str):
            try:
                value = import_string(value)
            except ImportError as error:
                raise ConfigurationError(f"APOSTILLE[{name!r}]: {error}") from error
        if value is not None and inspect.iscoroutinefunction(value.verify) is not awaited:
            kind = "an AsyncVerifier" if awaited else "a Verifier"
            raise ConfigurationError(f"APOSTILLE[{name!r}] is not {kind}")
        return value

    def _built(self, kind: Callable[..., _Built]) -> _Built:
        for name in ("ISSUER", "AUDIENCE"):
            if not self._given.get(name):
                raise ConfigurationError(f"APOSTILLE[{name!r}] is missing")
        options = self._given.get("OPTIONS", {})
        try:
            return kind(self._given["ISSUER"], audience=self._given["AUDIENCE"], **options)
        except TypeError as error:
            raise ConfigurationError(f"APOSTILLE['OPTIONS']: {error}") from error


def _cookie(given: str | TokenCookie | None) -> TokenCookie | None:
    return TokenCookie(given) if isinstance(given, str) else given


@lru_cache(maxsize=1)
def configuration() -> Configuration:
    """Return what ``settings.APOSTILLE`` says.

    Raises:
        ConfigurationError: It is missing, or something in it is wrong.
    """
    given = getattr(settings, "APOSTILLE", None)
    if not isinstance(given, Mapping):
        raise ConfigurationError("the setting APOSTILLE, a dictionary, is missing")
    return Configuration(given)


def _forget(*, setting: str, **_: object) -> None:
    if setting == "APOSTILLE":
        configuration.cache_clear()


setting_changed.connect(_forget, dispatch_uid="apostille")
