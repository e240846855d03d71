"""The public key set, and the metadata by which services find it.

See: RFC 7517 section 5; RFC 8414 sections 2 and 3.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar import Router, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from apostille_adapters.litestar import EXCLUDE_FROM_AUTH
from apostille_contracts.claims import ALGORITHMS
from apostille_issuer.clients.service import TOKEN_PATH
from apostille_issuer.http.answers import NOT_MODIFIED
from apostille_issuer.http.documents import Document, PublicDocument
from apostille_issuer.keys.service import KeyService
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.settings import Settings
from apostille_issuer.status.schemas import LISTS_PATH

__all__ = ["Discovery", "JwkSet", "ServerMetadata"]

JWKS_PATH = "/.well-known/jwks.json"


class JwkSet(Struct, frozen=True):
    """The keys that verify access tokens: signing now, soon, or until lately."""

    keys: list[dict[str, Any]]


class ServerMetadata(Struct, frozen=True, kw_only=True):
    """What is said about this issuer (RFC 8414 section 2).

    There is no authorization endpoint yet: people log in at ``/v1/auth/login``.
    So no response type that would need one is named. The token endpoint is for
    service accounts.
    """

    issuer: str
    jwks_uri: str
    response_types_supported: tuple[str, ...] = ("none",)
    token_endpoint: str
    grant_types_supported: tuple[str, ...] = ("client_credentials",)
    token_endpoint_auth_methods_supported: tuple[str, ...] = (
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    )
    token_endpoint_auth_signing_alg_values_supported: tuple[str, ...] = ALGORITHMS
    """Of client assertions."""
    revocation_endpoint: str
    revocation_endpoint_auth_methods_supported: tuple[str, ...] = ("none",)
    introspection_endpoint: str
    introspection_endpoint_auth_methods_supported: tuple[str, ...] = ("Bearer",)
    service_documentation: str
    status_list_aggregation_endpoint: str
    """Names all status lists (draft-ietf-oauth-status-list section 9.1)."""


class KeySetDocument:
    """The key set, from memory, or from the database for who does not want what is kept.

    Verifiers that have just been told by a status list that there are other
    keys say ``Cache-Control: no-cache`` (RFC 9111 section 5.2.1.4). This
    process may not know of them yet.
    """

    def __init__(self, document: PublicDocument, keys: KeyService) -> None:
        """Take the document in memory, and who brings it up to date."""
        self._document = document
        self._keys = keys

    def answer(self, scope: Scope) -> ASGIApp:
        """Return the document, or 304 for who has it already."""
        for name, value in scope["headers"]:
            if name == b"cache-control" and b"no-cache" in value.lower():
                return self._answer_anew
        return self._document.answer(scope)

    async def _answer_anew(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Without the database nobody has changed anything: what is known is right.
        with suppress(IssuerProblem):
            await self._keys.catch_up()
        await self._document.answer(scope)(scope, receive, send)


class Discovery:
    """The public documents of one issuer."""

    def __init__(self, settings: Settings, keys: KeyService) -> None:
        """Take what the documents say."""
        issuer = settings.issuer_url
        metadata = msgspec.json.encode(
            ServerMetadata(
                issuer=issuer,
                jwks_uri=f"{issuer}{JWKS_PATH}",
                token_endpoint=f"{issuer}{TOKEN_PATH}",
                revocation_endpoint=f"{issuer}/oauth/revoke",
                introspection_endpoint=f"{issuer}/oauth/introspect",
                service_documentation=f"{issuer}/docs",
                status_list_aggregation_endpoint=f"{issuer}{LISTS_PATH}",
            )
        )
        self._keys = keys
        self._metadata_paths = _metadata_paths(issuer)
        self._key_set = PublicDocument(
            keys.jwks, media_type="application/jwk-set+json", max_age=settings.jwks_max_age
        )
        self._metadata = PublicDocument(
            lambda: metadata, media_type="application/json", max_age=settings.jwks_max_age
        )

    def documents(self) -> dict[str, Document]:
        """Return path and document, for whoever answers before routing."""
        fresh = KeySetDocument(self._key_set, self._keys)
        return {JWKS_PATH: fresh, **dict.fromkeys(self._metadata_paths, self._metadata)}

    def routes(self) -> Router:
        """Return the same as routes, which describe the documents."""
        key_set, metadata = self._key_set, self._metadata

        @get(
            JWKS_PATH,
            sync_to_thread=False,
            responses={
                200: _described(JwkSet, "The key set.", "application/jwk-set+json"),
                304: NOT_MODIFIED,
            },
        )
        def jwks(scope: Scope) -> ASGIResponse:
            """Public keys of this issuer."""
            return key_set.answer(scope)

        @get(
            self._metadata_paths,
            sync_to_thread=False,
            responses={
                200: _described(ServerMetadata, "The metadata.", "application/json"),
                304: NOT_MODIFIED,
            },
        )
        def server_metadata(scope: Scope) -> ASGIResponse:
            """Where this issuer has its keys."""
            return metadata.answer(scope)

        return Router(
            "/",
            route_handlers=[jwks, server_metadata],
            tags=["discovery"],
            opt={EXCLUDE_FROM_AUTH: True},
        )


def _metadata_paths(issuer: str) -> list[str]:
    """Return where the metadata is looked for.

    RFC 8414 section 3.1 puts the issuer's own path after the well-known one;
    OpenID Connect Discovery section 4 does it the other way round, and a proxy
    that serves us below a path takes that path away.
    """
    paths = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]
    if own := urlsplit(issuer).path:
        paths.append(f"/.well-known/oauth-authorization-server{own}")
    return paths


def _described(container: type[Struct], description: str, media_type: str) -> ResponseSpec:
    return ResponseSpec(
        container, description=description, media_type=media_type, generate_examples=False
    )
