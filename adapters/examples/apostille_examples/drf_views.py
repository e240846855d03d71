"""Views and addresses of the Django REST Framework service; settings come first in Django."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apostille.http import Answer
from apostille_adapters.django import drf

from .inventory import BadInput, Stock, http_error, parse_change

__all__ = ["exception_handler", "handler404", "urlpatterns"]

STOCK = Stock()


class HealthView(APIView):
    """Whether the service runs."""

    permission_classes = (AllowAny,)

    def get(self, _: Request) -> Response:
        """Say so."""
        return Response({"status": "ok"})


class StockView(APIView):
    """What is in stock."""

    permission_classes = (drf.HasPermission("inventory.read"),)

    def get(self, _: Request) -> Response:
        """List items and quantities."""
        return Response({"stock": STOCK.quantities()})


class ItemView(APIView):
    """How many of one item there are."""

    permission_classes = (drf.HasPermission("inventory.write"),)

    def put(self, request: Request, item: str) -> Response:
        """Set the quantity: ``{"quantity": 12}``."""
        quantity = parse_change(item, request.content_type, request.body)
        STOCK.put(item, quantity)
        return Response({"item": item, "quantity": quantity})


def _response(answer: Answer) -> HttpResponse:
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Answer with problems what the views and REST framework refuse."""
    if isinstance(error, BadInput):
        return _response(error.answer)
    if isinstance(error, RequestDataTooBig):
        return _response(http_error(413))
    if isinstance(error, MethodNotAllowed | Http404):
        return _response(http_error(405 if isinstance(error, MethodNotAllowed) else 404))
    return drf.exception_handler(error, context)


def handler404(_: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """Answer for an address that is none."""
    return _response(http_error(404))


urlpatterns = [
    path("health", HealthView.as_view()),
    path("stock", StockView.as_view()),
    path("stock/<item>", ItemView.as_view()),
]
