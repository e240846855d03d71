"""Django REST Framework: our permission class beside simplejwt's stateless users."""

from __future__ import annotations

import asyncio
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler

from apostille import Verifier
from bench.in_process import Route, WsgiRoute
from bench.tokens import AUDIENCE, ISSUER, Mint

__all__ = ["django_routes"]


def django_routes(_: asyncio.Runner, mint: Mint) -> dict[str, Route]:
    """Return the same view unprotected, with ours and with simplejwt; configures Django."""
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        APOSTILLE={"VERIFIER": Verifier(ISSUER, audience=AUDIENCE, **mint.sources)},
        INSTALLED_APPS=[
            "apostille_adapters.django",
            "rest_framework",
            "django.contrib.auth",  # simplejwt imports its models
            "django.contrib.contenttypes",
        ],
        MIDDLEWARE=[],
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": [],
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
            "EXCEPTION_HANDLER": "apostille_adapters.django.drf.exception_handler",
            "UNAUTHENTICATED_USER": "apostille_adapters.django.Anonymous",
        },
        ROOT_URLCONF=_Urls,
        SECRET_KEY="x" * 50,
        SIMPLE_JWT={
            "ALGORITHM": "ES256",
            "VERIFYING_KEY": mint.public_pem,
            "AUDIENCE": AUDIENCE,
            "ISSUER": ISSUER,
            "USER_ID_CLAIM": "sub",
            "TOKEN_TYPE_CLAIM": None,
        },
        USE_TZ=True,
    )
    django.setup()
    _Urls.urlpatterns = _views()
    application = WSGIHandler()
    return {
        "unprotected": WsgiRoute(application, "/open"),
        "Apostille": WsgiRoute(application, "/ours"),
        "simplejwt, stateless user": WsgiRoute(application, "/simplejwt"),
    }


class _Urls:
    """Stands for the module with URL patterns."""

    urlpatterns: list[Any]


def _views() -> list[Any]:
    # REST framework reads the settings while it is imported.
    from django.urls import path
    from rest_framework.permissions import BasePermission
    from rest_framework.request import Request
    from rest_framework.response import Response
    from rest_framework.views import APIView
    from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication

    from apostille_adapters.django.drf import ApostilleAuthentication, HasPermission

    class MayRead(BasePermission):
        def has_permission(self, request: Request, _: APIView) -> bool:
            claims: Any = request.auth
            return "inventory.read" in claims["permissions"]

    class Open(APIView):
        def get(self, _: Request) -> Response:
            return Response({"stock": 7})

    class Ours(Open):
        authentication_classes = (ApostilleAuthentication,)
        permission_classes = (HasPermission("inventory.read"),)

    class Theirs(Open):
        authentication_classes = (JWTStatelessUserAuthentication,)
        permission_classes = (MayRead,)

    views = {"open": Open, "ours": Ours, "simplejwt": Theirs}
    return [path(name, view.as_view()) for name, view in views.items()]
