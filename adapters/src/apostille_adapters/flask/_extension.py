"""What an application needs once: the verifier within reach, and the answers."""

from __future__ import annotations

import inspect
from typing import TypeVar

from flask import Flask, Response, current_app, request
from werkzeug.local import LocalProxy

from apostille import Principal, Verifier
from apostille.errors import ConfigurationError, MissingToken
from apostille.http import REFUSALS, ProtectionSpace, Refusal, TokenCookie, wsgi_headers

__all__ = [
    "Apostille",
    "current_principal",
    "is_public",
    "mark_public",
    "optional_principal",
    "request_principal",
]

_EXTENSION = "apostille"
_PRINCIPAL = "apostille.principal"  # in the request's environment: g may outlive a request
_PUBLIC = "__apostille_public__"

_View = TypeVar("_View")


class Apostille:
    """Authenticates the requests of an application and answers refusals.

    Args:
        verifier: Verifies tokens; the application owns and closes it.
        realm: Shown to clients; by default the verifier's first audience.
        cookie: A cookie that may carry the token; none by default.
        authenticate_all: Whether every route needs a token. A view opts out
            with ``@public``, one by one.

    Raises:
        ConfigurationError: The verifier is not a ``Verifier``.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        realm: str | None = None,
        cookie: TokenCookie | None = None,
        authenticate_all: bool = False,
    ) -> None:
        if inspect.iscoroutinefunction(verifier.verify):
            raise ConfigurationError("Flask needs a Verifier: it cannot await an AsyncVerifier")
        self._verifier = verifier
        self._space = ProtectionSpace(realm or verifier.audience[0], cookie)
        self._authenticate_all = authenticate_all

    def init_app(self, app: Flask) -> None:
        """Serve *app* and its blueprints."""
        app.extensions[_EXTENSION] = self
        for refusal in REFUSALS:
            app.register_error_handler(refusal, self._answer)
        if self._authenticate_all:
            app.before_request(_unless_public)

    def principal(self) -> Principal:
        """Return whom the request's token speaks for; verified once per request."""
        environ = request.environ
        # With who verified it: an application mounted in another has its own verifier.
        known: tuple[Apostille, Principal] | None = environ.get(_PRINCIPAL)
        if known is not None and known[0] is self:
            return known[1]
        token = self._space.token(wsgi_headers(environ), request.method)
        principal = self._verifier.verify(token)
        environ[_PRINCIPAL] = self, principal
        return principal

    def _answer(self, refusal: Refusal) -> Response:
        answer = self._space.answer(refusal)
        return current_app.response_class(answer.body, answer.status, list(answer.headers))


def request_principal() -> Principal:
    """Return whom the request's token speaks for, or raise a refusal."""
    extension = current_app.extensions.get(_EXTENSION)
    if not isinstance(extension, Apostille):
        raise ConfigurationError("Apostille(verifier).init_app(app) is missing")
    return extension.principal()


current_principal: Principal = LocalProxy(request_principal)  # type: ignore[assignment]  # a proxy of one
"""Whom the request's token speaks for; to touch it without a good token is answered 401."""


def optional_principal() -> Principal | None:
    """Return whom the request's token speaks for, or ``None`` where there is none at all.

    Raises:
        InvalidToken: There is one that must not be accepted.
    """
    try:
        return request_principal()
    except MissingToken:
        return None


def mark_public(view: _View) -> _View:
    """Mark *view* as one that needs no token."""
    setattr(view, _PUBLIC, True)
    return view


def is_public(view: object) -> bool:
    """Say whether *view* is marked."""
    return getattr(view, _PUBLIC, False) is True


def _unless_public() -> None:
    rule = request.url_rule
    if rule is None:
        return  # nothing is here: 404 or 405 is the whole answer
    if request.method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
        return  # Flask's own answer to a browser that asks before it sends a token
    if not is_public(current_app.view_functions[rule.endpoint]):
        request_principal()
