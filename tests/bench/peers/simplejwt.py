"""Django with simplejwt, rotation and blacklist: the usual way, on SQLite or PostgreSQL.

Imported by gunicorn as ``bench.peers.simplejwt:application``; run as a module
it makes the tables and prints refresh tokens, one a line. The database is
the URL in ``BENCH_DATABASE``, the signing key PEM in the file ``BENCH_KEY``.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import django
from cryptography.hazmat.primitives import serialization
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path


def _database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": parts.path,
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "timeout": 10,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
            },
        }
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
        "HOST": parts.hostname or parse_qs(parts.query).get("host", [""])[0],
        "PORT": parts.port or "",
        "CONN_MAX_AGE": None,
    }


def _public_pem(private_pem: bytes) -> str:
    key = serialization.load_pem_private_key(private_pem, None).public_key()
    encoding, layout = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(encoding, layout).decode()


def _configure() -> None:
    private_pem = Path(os.environ["BENCH_KEY"]).read_bytes()
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={"default": _database(os.environ["BENCH_DATABASE"])},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "rest_framework",
            "rest_framework_simplejwt.token_blacklist",
        ],
        MIDDLEWARE=[],
        REST_FRAMEWORK={"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
        ROOT_URLCONF=__name__,
        SECRET_KEY="x" * 50,
        SIMPLE_JWT={
            "ALGORITHM": "ES256",
            "SIGNING_KEY": private_pem.decode(),
            "VERIFYING_KEY": _public_pem(private_pem),
            "AUDIENCE": "inventory",
            "ISSUER": "https://iam.example.com",
            "ACCESS_TOKEN_LIFETIME": timedelta(minutes=10),
            "ROTATE_REFRESH_TOKENS": True,
            "BLACKLIST_AFTER_ROTATION": True,
            "UPDATE_LAST_LOGIN": False,
        },
        USE_TZ=True,
    )
    django.setup()


if not settings.configured:
    _configure()

from rest_framework_simplejwt.tokens import RefreshToken  # noqa: E402 - needs settings
from rest_framework_simplejwt.views import TokenRefreshView  # noqa: E402 - the same


def ready(_: HttpRequest) -> JsonResponse:
    """Answer at once."""
    return JsonResponse({})


urlpatterns = [path("ready", ready), path("refresh", TokenRefreshView.as_view())]


def seed(count: int) -> list[str]:
    """Make tables and *count* users; return a refresh token of each."""
    from django.contrib.auth.models import User

    call_command("migrate", verbosity=0)
    users = [User.objects.create(username=f"user-{number}") for number in range(count)]
    return [str(RefreshToken.for_user(user)) for user in users]


if __name__ == "__main__":
    sys.stdout.write("\n".join(seed(int(sys.argv[1]))))
else:
    application = get_wsgi_application()
