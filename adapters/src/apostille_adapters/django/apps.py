"""The application, for its system checks alone: it has no models."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register

from ._checks import check_settings

__all__ = ["ApostilleConfig"]


class ApostilleConfig(AppConfig):
    """``INSTALLED_APPS = ["apostille_adapters.django"]``."""

    name = "apostille_adapters.django"
    label = "apostille"

    def ready(self) -> None:
        """Let ``manage.py check`` and every start name what is set up wrongly."""
        register(check_settings, "apostille")
