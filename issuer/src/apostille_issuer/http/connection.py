"""What a client may take of the server before anybody knows who it is.

uvicorn and its parser set no limit to the length of a head, nor to the time a
client takes to send it: a header that grows by a megabyte at a time is copied
whole with every piece, and holds up everybody else.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

__all__ = ["Connection"]

MAX_HEAD_BYTES = 32_768
"""Longest request line with all headers; an access token is at most half of it."""

MAX_HEADERS = 100
"""Most header fields of a request."""

DELIVERY_SECONDS = 15.0
"""Longest time for a head, from the connection or its first byte, and again for the body."""

LINGER_SECONDS = 2.0
"""How long what a refused client goes on sending is thrown away.

Closing at once would reset the connection, and the answer with it
(RFC 9112 section 9.6).
"""


class Connection(HttpToolsProtocol):
    """A client's connection, with limits to what it sends and how slowly.

    A head that is too long is answered with 431, and what takes too long to
    arrive with 408; then the connection ends.

    See: RFC 6585 section 5, RFC 9110 section 15.5.9.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take what uvicorn gives."""
        super().__init__(*arguments, **options)
        self._held = 0
        """Bytes that the parser holds at most: received since it last had something to say."""
        self._heard = False
        """Whether it had, of the piece that it is at."""
        self._in_body = False
        self._too_long = self._refused = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait: who connects has something to say."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse *data*, no further than the limits."""
        while data and not self._refused and not self.transport.is_closing():
            piece = data[: MAX_HEAD_BYTES - self._held]
            data = data[len(piece) :]
            self._heard = False
            super().data_received(piece)
            # Of a piece that holds an end and a beginning, the beginning goes
            # uncounted: a head that follows something may be twice as long.
            self._held = 0 if self._heard else self._held + len(piece)
            if self._held >= MAX_HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            elif self._held and self._deadline is None:  # such as empty lines between requests
                self._wait()

    def on_message_begin(self) -> None:
        """Begin to wait for the head."""
        super().on_message_begin()
        if self._deadline is None:
            self._wait()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, or a trailer; stop the parser at one too many."""
        if len(self.headers) >= MAX_HEADERS:
            self._too_long = True
            raise ValueError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to wait for the body, and to answer."""
        self._heard = self._in_body = True
        self._stop_waiting()
        super().on_headers_complete()
        self._wait()

    def on_body(self, body: bytes) -> None:
        """Hand on a part of the body."""
        self._heard = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait no longer."""
        self._heard = True
        self._in_body = False
        self._stop_waiting()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's
        """Refuse what the parser stopped at."""
        self._refuse(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if self._too_long else HTTPStatus.BAD_REQUEST
        )

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(DELIVERY_SECONDS, self._too_late)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        if self.flow.read_paused:  # it is we who do not read
            self._wait()
        elif self._held or self._in_body:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:  # nothing was asked
            self.transport.close()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer with *status* where an answer is due, and end the connection."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._stop_waiting()
        if not self._take_over():
            self.transport.close()
            return
        self.transport.write(
            STATUS_LINE[status] + b"content-length: 0\r\ncache-control: no-store\r\n"
            b"connection: close\r\n\r\n"
        )
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _take_over(self) -> bool:
        """Say whether an answer is due that nobody has begun; who was about to no longer does."""
        cycle = self.cycle
        if cycle is None:
            return True
        if not self._in_body:
            return cycle.response_complete
        if cycle.response_started or self.pipeline:
            return False
        cycle.disconnected = True
        cycle.message_event.set()
        return True
