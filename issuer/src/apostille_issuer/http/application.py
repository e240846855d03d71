"""Litestar, less what is not used here, inside the outermost layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from litestar import Litestar
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin

from apostille_issuer.http.documents import Documents
from apostille_issuer.http.edge import Edge
from apostille_issuer.http.plain import PlainPost
from apostille_issuer.http.problems import EXCEPTION_HANDLERS
from apostille_issuer.http.proxies import TrustedProxies
from apostille_issuer.http.request import IssuerRequest
from apostille_issuer.settings import Settings

__all__ = ["IssuerApplication"]


class IssuerApplication(Litestar):
    """An application whose requests, errors and headers are as they are everywhere here."""

    def __init__(
        self,
        settings: Settings,
        *,
        documents: Sequence[Documents] = (),
        plain: Sequence[PlainPost] = (),
        **options: Any,
    ) -> None:
        """Build the application.

        Args:
            settings: Which proxies to believe, and how long bodies may be.
            documents: What is answered without routing, by exact path.
            plain: The same for ``POST``, where the request has its plain form.
            options: As for Litestar.
        """
        super().__init__(
            request_class=IssuerRequest,
            request_max_body_size=settings.max_body_bytes,
            exception_handlers=EXCEPTION_HANDLERS,
            # Logging is set up by whoever runs the process.
            logging_config=None,
            **options,
        )
        app = self.asgi_handler
        most = settings.max_body_bytes
        self.asgi_handler = Edge(
            app,
            TrustedProxies(settings.trusted_proxies),
            https=urlsplit(settings.issuer_url).scheme == "https",
            documents=documents,
            posts={post.path: post.before(app, max_body_bytes=most) for post in plain},
        )

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        """Leave out the plugins for pydantic and attrs.

        Litestar loads them wherever something else has installed these
        packages, at a cost of 14 MB and up to half a second of the start.
        """
        return [*plugins, MsgspecDIPlugin()]
