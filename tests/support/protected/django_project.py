"""The Django project of all tests: no database, no user table, no secret.

Settings exist once per process, so everybody who needs Django in a test calls
:func:`configure` and changes what differs with ``override_settings``.
"""

from __future__ import annotations

import django
from django.conf import settings

__all__ = ["configure"]

DRF = "apostille_adapters.django.drf"


def configure() -> None:
    """Set Django up; the second call does nothing."""
    if settings.configured:
        return
    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="support.protected.django_urls",
        INSTALLED_APPS=[
            # Asked for by Django's own PermissionRequiredMixin; no table of theirs exists.
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "rest_framework",
            "apostille_adapters.django",
        ],
        MIDDLEWARE=["apostille_adapters.django.ApostilleMiddleware"],
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": [f"{DRF}.ApostilleAuthentication"],
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
            "EXCEPTION_HANDLER": f"{DRF}.exception_handler",
            "UNAUTHENTICATED_USER": "apostille_adapters.django.Anonymous",
        },
        APOSTILLE={
            "ISSUER": "https://issuer.test",
            "AUDIENCE": "inventory",
            "COOKIE": "__Host-apostille",
        },
        USE_TZ=True,
    )
    django.setup()
