"""From a Django request to a principal, and the middleware that does it for all views."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from apostille import Principal
from apostille.errors import MissingToken
from apostille.http import REFUSALS, Refusal, wsgi_headers

from ._settings import Configuration, configuration
from ._users import Anonymous, PrincipalUser

__all__ = [
    "ApostilleMiddleware",
    "aauthenticate",
    "authenticate",
    "is_public",
    "mark_public",
    "optional_principal",
    "refused",
]

_PRINCIPAL = "_apostille"
_PUBLIC = "__apostille_public__"


def refused(refusal: Refusal) -> HttpResponse:
    """Return the response that says *refusal*."""
    answer = configuration().space.answer(refusal)
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


def authenticate(request: HttpRequest) -> Principal:
    """Return whom *request* speaks for; verified once per request.

    Raises:
        InvalidCredentials: There is not exactly one token.
        InvalidToken: It must not be accepted.
        Unavailable: The issuer could not be asked.
    """
    settings = configuration()
    known = _known(request, settings)
    return known or _welcome(request, settings, settings.verifier.verify(_token(request, settings)))


async def aauthenticate(request: HttpRequest) -> Principal:
    """See :func:`authenticate`; does not block the event loop."""
    settings = configuration()
    known = _known(request, settings)
    if known is not None:
        return known
    principal = await settings.async_verifier.verify(_token(request, settings))
    return _welcome(request, settings, principal)


def optional_principal(request: HttpRequest) -> Principal | None:
    """Return whom *request* speaks for, as far as the middleware found somebody."""
    return _known(request, configuration())


def _token(request: HttpRequest, settings: Configuration) -> str:
    return settings.space.token(wsgi_headers(request.META), request.method or "")


def _known(request: HttpRequest, settings: Configuration) -> Principal | None:
    known: tuple[Configuration, Principal] | None = getattr(request, _PRINCIPAL, None)
    return known[1] if known is not None and known[0] is settings else None


def _welcome(request: HttpRequest, settings: Configuration, principal: Principal) -> Principal:
    setattr(request, _PRINCIPAL, (settings, principal))
    _set_user(request, PrincipalUser(principal.claims))
    return principal


def _set_user(request: Any, user: PrincipalUser | Anonymous) -> None:
    async def auser() -> PrincipalUser | Anonymous:
        return user

    request.user, request.auser = user, auser


def mark_public(view: Any) -> None:
    """Mark *view* as one that needs no token."""
    setattr(view, _PUBLIC, True)


def is_public(view: object) -> bool:
    """Say whether *view* is marked."""
    return getattr(view, _PUBLIC, False) is True


class ApostilleMiddleware:
    """Authenticates every request to a view that is not ``@public``.

    A request without a token goes on as :class:`Anonymous`, unless
    ``APOSTILLE["AUTHENTICATE_ALL"]``; one with a bad token is answered here.
    Refusals that views raise are answered too. A user that an earlier
    middleware found stays if there is no token.
    """

    sync_capable = True
    async_capable = True

    def __init__(
        self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]
    ) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        self.process_view = self._aadmit if self._is_async else self._admit
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Pass the request on; what is decided waits until the view is known."""
        if not hasattr(request, "user"):
            _set_user(request, Anonymous())
        return self._get_response(request)

    def process_exception(self, _: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer refusals that a view raised."""
        return refused(exception) if isinstance(exception, REFUSALS) else None

    def _admit(
        self, request: HttpRequest, view: object, _args: object, _kwargs: object
    ) -> HttpResponse | None:
        try:
            if not is_public(view):
                authenticate(request)
        except REFUSALS as refusal:
            return self._turned_away(refusal)
        return None

    async def _aadmit(
        self, request: HttpRequest, view: object, _args: object, _kwargs: object
    ) -> HttpResponse | None:
        try:
            if not is_public(view):
                await aauthenticate(request)
        except REFUSALS as refusal:
            return self._turned_away(refusal)
        return None

    def _turned_away(self, refusal: Refusal) -> HttpResponse | None:
        if isinstance(refusal, MissingToken) and not configuration().authenticate_all:
            return None
        return refused(refusal)
