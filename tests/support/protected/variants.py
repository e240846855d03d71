"""The same protected service in every framework, each on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apostille import AsyncVerifier, Verifier
from support.web import Headers, Reply, asgi_server, send, wsgi_server

from . import django_project, fastapi_app, flask_app, litestar_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

NAMES = ("django", "django-async", "rest-framework", "fastapi", "flask", "litestar")


@dataclass(frozen=True)
class Service:
    """One variant: where it listens."""

    origin: str
    prefix: str = ""

    def send(
        self, method: str, path: str, headers: Headers = (), body: bytes | None = None
    ) -> Reply:
        return send(self.origin, method, self.prefix + path, headers, body)

    def get(self, path: str, *tokens: str) -> Reply:
        """Get *path* with one ``Authorization`` header for each of *tokens*."""
        return self.send("GET", path, [("Authorization", f"Bearer {token}") for token in tokens])


@contextmanager
def serve_all(verifier: Verifier, async_verifier: AsyncVerifier) -> Iterator[dict[str, Service]]:
    """Serve every variant behind these verifiers, and yield them by name."""
    django_project.configure()
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings

    settings = {
        "VERIFIER": verifier,
        "ASYNC_VERIFIER": async_verifier,
        "COOKIE": "__Host-apostille",
    }
    with ExitStack() as stack:
        stack.enter_context(override_settings(APOSTILLE=settings))

        def wsgi(app: WSGIApplication) -> str:
            return stack.enter_context(wsgi_server(app))

        def asgi(app: object) -> str:
            return stack.enter_context(asgi_server(app))

        django = wsgi(WSGIHandler())
        yield {
            "django": Service(django, "/plain"),
            "django-async": Service(asgi(ASGIHandler()), "/async"),
            "rest-framework": Service(django, "/rest"),
            "fastapi": Service(asgi(fastapi_app.create_app(async_verifier))),
            "flask": Service(wsgi(flask_app.create_app(verifier))),
            "litestar": Service(asgi(litestar_app.create_app(async_verifier))),
        }
