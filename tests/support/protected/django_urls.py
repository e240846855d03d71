"""The protected service of the shared suite in Django: plain, async, REST framework."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, include, path
from django.views import View
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from apostille_adapters.django import (
    HasAnyPermission,
    HasPermission,
    HasPermissionMixin,
    authenticated,
    drf,
    optional_principal,
    public,
)

NOT_FROZEN = ~HasPermission("inventory.frozen")


def text(content: str) -> HttpResponse:
    return HttpResponse(content, content_type="text/plain")


def asked(request: HttpRequest | Request) -> str | None:
    named: str | None = request.headers.get("X-Organization")
    return named


# -- plain views -----------------------------------------------------------------------


@public
def everybody(_: HttpRequest) -> HttpResponse:
    return text("public")


class StockView(HasPermissionMixin, View):
    required = HasPermission("inventory.read")

    def get(self, _: HttpRequest) -> HttpResponse:
        return text("stock")

    def post(self, request: HttpRequest) -> HttpResponse:
        HasPermission("inventory.read", "inventory.write").check(request.user)  # type: ignore[arg-type]
        return text("changed")


@HasAnyPermission("inventory.read", "inventory.admin")
def either(_: HttpRequest) -> HttpResponse:
    return text("either")


@(HasPermission("inventory.read") & NOT_FROZEN)
def composed(_: HttpRequest) -> HttpResponse:
    return text("composed")


@authenticated
def me(request: HttpRequest) -> HttpResponse:
    return text(str(request.user))


def maybe(request: HttpRequest) -> HttpResponse:
    principal = optional_principal(request)
    return text(principal.subject if principal else "nobody")


@HasPermission("inventory.read", organization="organization_id")
def organization_stock(_: HttpRequest, organization_id: str) -> HttpResponse:
    assert organization_id
    return text("organization")


@HasPermission("inventory.read", organization=asked)
def owned(request: HttpRequest) -> HttpResponse:
    return text(str(request.user))


@authenticated
def inside(request: HttpRequest) -> HttpResponse:
    principal: Any = request.user
    principal.require("inventory.write")
    return text("inside")


# -- async views -----------------------------------------------------------------------


class AsyncStockView(HasPermissionMixin, View):
    required = HasPermission("inventory.read")

    async def get(self, _: HttpRequest) -> HttpResponse:
        return text("stock")

    async def post(self, request: HttpRequest) -> HttpResponse:
        HasPermission("inventory.read", "inventory.write").check(await request.auser())  # type: ignore[arg-type]
        return text("changed")


@HasAnyPermission("inventory.read", "inventory.admin")
async def async_either(_: HttpRequest) -> HttpResponse:
    return text("either")


@(HasPermission("inventory.read") & NOT_FROZEN)
async def async_composed(_: HttpRequest) -> HttpResponse:
    return text("composed")


@authenticated
async def async_me(request: HttpRequest) -> HttpResponse:
    return text(str(await request.auser()))


@HasPermission("inventory.read", organization="organization_id")
async def async_organization_stock(_: HttpRequest, organization_id: str) -> HttpResponse:
    assert organization_id
    return text("organization")


@HasPermission("inventory.read", organization=asked)
async def async_owned(request: HttpRequest) -> HttpResponse:
    return text(str(await request.auser()))


async def async_inside(request: HttpRequest) -> HttpResponse:
    return inside(request)


# -- REST framework --------------------------------------------------------------------


class RestStockView(APIView):
    def get_permissions(self) -> list[Any]:
        needed = {"POST": drf.HasPermission("inventory.read", "inventory.write")}
        return [needed.get(self.request.method or "", drf.HasPermission("inventory.read"))()]

    def get(self, _: Request) -> HttpResponse:
        return text("stock")

    def post(self, _: Request) -> HttpResponse:
        return text("changed")


def rest_view(requirement: Any, content: str | None = None) -> Any:
    class RestView(APIView):
        permission_classes = (requirement,)

        def get(self, request: Request, **_: object) -> HttpResponse:
            return text(content or str(request.user))

    return RestView.as_view()


@api_view(["GET"])
def rest_maybe(request: Request) -> HttpResponse:
    return text(str(request.user) if request.user.is_authenticated else "nobody")


@api_view(["GET"])
@permission_classes([IsAuthenticated])
def rest_inside(request: Request) -> HttpResponse:
    principal: Any = request.user
    principal.require("inventory.write")
    return text("inside")


def routes(*views: Any) -> list[URLPattern]:
    paths = (
        *("public", "stock", "either", "composed", "me", "maybe"),
        *("organizations/<organization_id>/stock", "owned", "inside"),
    )
    return [path(*given) for given in zip(paths, views, strict=True)]


urlpatterns = [
    path(
        "plain/",
        include(
            routes(
                *(everybody, StockView.as_view(), either, composed, me, maybe),
                *(organization_stock, owned, inside),
            )
        ),
    ),
    path(
        "async/",
        include(
            routes(
                *(everybody, AsyncStockView.as_view(), async_either, async_composed, async_me),
                *(maybe, async_organization_stock, async_owned, async_inside),
            )
        ),
    ),
    path(
        "rest/",
        include(
            routes(
                *(everybody, RestStockView.as_view()),
                rest_view(drf.HasAnyPermission("inventory.read", "inventory.admin"), "either"),
                rest_view(
                    drf.HasPermission("inventory.read") & ~drf.HasPermission("inventory.frozen"),
                    "composed",
                ),
                rest_view(IsAuthenticated),
                rest_maybe,
                rest_view(
                    drf.HasPermission("inventory.read", organization="organization_id"),
                    "organization",
                ),
                rest_view(drf.HasPermission("inventory.read", organization=asked)),
                rest_inside,
            )
        ),
    ),
]
