"""System checks: what is set up wrongly is named before the first request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks

from apostille.errors import ConfigurationError

from ._settings import Configuration, configuration

__all__ = ["check_settings"]

_PACKAGE = "apostille_adapters.django"
_MIDDLEWARE = f"{_PACKAGE}.ApostilleMiddleware"
_HANDLER = f"{_PACKAGE}.drf.exception_handler"


def check_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:  # noqa: ARG001 - Django's signature
    """Return what in the settings cannot work, or not as it is meant to."""
    try:
        given = configuration()
    except ConfigurationError as error:
        return [checks.Error(str(error), hint="See the guide for Django.", id="apostille.E001")]
    return [*_middleware(given), *_rest_framework()]


def _middleware(given: Configuration) -> Iterator[checks.CheckMessage]:
    if given.authenticate_all and _MIDDLEWARE not in settings.MIDDLEWARE:
        yield checks.Error(
            "APOSTILLE['AUTHENTICATE_ALL'] protects nothing without the middleware",
            hint=f"Add {_MIDDLEWARE!r} to MIDDLEWARE.",
            id="apostille.E002",
        )


def _rest_framework() -> Iterator[checks.CheckMessage]:
    if find_spec("rest_framework") is None or not apps.is_installed("rest_framework"):
        return
    given = getattr(settings, "REST_FRAMEWORK", {})
    if given.get("EXCEPTION_HANDLER") is None:
        yield checks.Warning(
            "REST framework answers refusals in its own words, not as other Apostille services do",
            hint=f"Set REST_FRAMEWORK['EXCEPTION_HANDLER'] to {_HANDLER!r}.",
            id="apostille.W003",
        )
    if "UNAUTHENTICATED_USER" not in given and not apps.is_installed("django.contrib.auth"):
        yield checks.Error(
            "REST framework's anonymous user needs django.contrib.auth, which is not installed",
            hint=f"Set REST_FRAMEWORK['UNAUTHENTICATED_USER'] to '{_PACKAGE}.Anonymous'.",
            id="apostille.E004",
        )
