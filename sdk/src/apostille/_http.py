"""What both fetchers say and how they read it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpcore

from ._inquiry import Answer, FetchFailed, Request
from .events import FetchFailure

__all__ = ["answer_of", "headers_of", "translated"]

Headers = list[tuple[bytes, bytes]]


def headers_of(request: Request) -> Headers:
    """Return the headers of *request*."""
    headers = [
        (b"accept", request.accept),
        # A small body that unpacks to a large one is refused by not asking for it.
        (b"accept-encoding", b"identity"),
        (b"user-agent", b"apostille"),
    ]
    if request.known_etag:
        headers.append((b"if-none-match", request.known_etag.encode("latin-1")))
    if request.anew:
        headers.append((b"cache-control", b"no-cache"))
    return headers


def answer_of(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> Answer:
    """Return what matters of a response.

    Values of a repeated header are joined (RFC 9110 section 5.3).
    """
    named: dict[bytes, str] = {}
    for name, value in headers:
        key, text = name.lower(), value.decode("latin-1")
        named[key] = f"{named[key]}, {text}" if key in named else text
    return Answer(
        status=status,
        media_type=named.get(b"content-type", ""),
        cache_control=named.get(b"cache-control", ""),
        age=named.get(b"age", ""),
        encoding=named.get(b"content-encoding", ""),
        body=body,
        etag=named.get(b"etag", ""),
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn whatever HTTP, TLS, sockets and host names raise into :class:`FetchFailed`."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise FetchFailed(FetchFailure.TIMEOUT) from error
    except (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.UnsupportedProtocol,
        OSError,
        ssl.SSLError,
        # A host name that cannot be encoded (a label empty or of more than 63
        # octets) gets as far as the resolver, and is a UnicodeError there.
        ValueError,
    ) as error:
        raise FetchFailed(FetchFailure.UNREACHABLE) from error
