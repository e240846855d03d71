"""Litestar's own speed: routes that only answer, in the server that runs the issuer."""

from __future__ import annotations

import sys

from litestar import Litestar, MediaType, Response, get, post
from msgspec import Struct

from apostille_issuer.server import listening_socket, serve


class Given(Struct, forbid_unknown_fields=True):
    """As what a refresh takes."""

    refresh_token: str


class Taken(Struct):
    """As what a refresh answers."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


def create_app(document: bytes) -> Litestar:
    """Return two routes: *document* as it is; and a Struct in, a Struct out."""

    @get("/document", media_type=MediaType.JSON)
    async def fixed() -> Response[bytes]:
        return Response(document)

    @post("/structs", status_code=200)
    async def structs(data: Given) -> Taken:
        return Taken("a" * 800, "Bearer", 600, data.refresh_token, 1_209_600)

    return Litestar([fixed, structs], openapi_config=None, logging_config=None)


if __name__ == "__main__":
    given = b"x" * int(sys.argv[2])
    listener = listening_socket("127.0.0.1", int(sys.argv[1]))
    serve(create_app(given), listener, ready=lambda: None)
