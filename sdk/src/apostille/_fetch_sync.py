"""GET over httpcore for threads. Kept equal to ``_fetch_async`` by a test: edit both.

httpcore is the layer below httpx: HTTP/1.1 and TLS, and nothing else. It
follows no redirect, reads no environment, keeps no cookie and decodes no
compression, each of which would have to be turned off otherwise.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any, TypeVar

import httpcore

from ._http import answer_of, headers_of, translated
from ._inquiry import MAX_DOCUMENT_BYTES, Answer, FetchFailed, Inquiry, Request
from .events import FetchFailure

__all__ = ["fetch"]

Found = TypeVar("Found")


def fetch(inquiry: Inquiry[Found], timeout_seconds: float) -> Found:
    """Return what *inquiry* asks for.

    Args:
        inquiry: What to ask, and what to make of the answers.
        timeout_seconds: For everything together: connections, TLS, headers
            and bodies of all documents. A server that sends one octet a
            second does not get more.

    Raises:
        FetchFailed: It could not be had; the code says why.
    """
    deadline = time.monotonic() + timeout_seconds
    backend = _DeadlineBackend(httpcore.SyncBackend(), deadline)
    try:
        # A connection for each document: one kept from the last may be closed by
        # the server just as the next request is on its way, which looks like an outage.
        with httpcore.ConnectionPool(
            max_connections=1, max_keepalive_connections=0, network_backend=backend
        ) as pool:
            steps = inquiry.steps()
            try:
                request = next(steps)
                while True:
                    request = steps.send(_get(pool, request))
            except StopIteration as finished:
                found: Found = finished.value
                return found
    except Exception:
        # Whatever it was: an address that cannot be fetched from is looked up again.
        inquiry.forget()
        raise


def _get(pool: httpcore.ConnectionPool, request: Request) -> Answer:
    with translated():  # noqa: SIM117 - the other twin cannot join them
        with pool.stream("GET", request.address, headers=headers_of(request)) as response:
            body = bytearray()
            if response.status == 200:  # no other body is of interest
                for chunk in response.iter_stream():
                    body += chunk
                    if len(body) > MAX_DOCUMENT_BYTES:
                        raise FetchFailed(FetchFailure.TOO_LARGE)
            return answer_of(response.status, response.headers, bytes(body))


class _DeadlineStream(httpcore.NetworkStream):
    """A connection on which every operation ends at the same deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def _remaining(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise httpcore.ReadTimeout
        return remaining

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        del timeout
        return self._stream.read(max_bytes, self._remaining())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        del timeout
        self._stream.write(buffer, self._remaining())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        del timeout
        stream = self._stream.start_tls(ssl_context, server_hostname, self._remaining())
        return _DeadlineStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _DeadlineBackend(httpcore.NetworkBackend):
    """Opens connections that all end at the same deadline."""

    def __init__(self, backend: httpcore.NetworkBackend, deadline: float) -> None:
        self._backend = backend
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        del timeout
        left = max(self._deadline - time.monotonic(), 0.001)
        opened = self._backend.connect_tcp(host, port, left, local_address, socket_options)
        return _DeadlineStream(opened, self._deadline)
