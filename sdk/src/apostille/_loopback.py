"""An HTTP server on 127.0.0.1 that serves an issuer's public documents in tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

__all__ = ["Document", "loopback_server"]

_POLL_SECONDS = 0.02
"""How often the server looks whether it should stop."""


class Document(NamedTuple):
    """What one path answers."""

    media_type: str
    body: bytes
    status: HTTPStatus = HTTPStatus.OK


@contextmanager
def loopback_server(find: Callable[[str], Document | None]) -> Iterator[str]:
    """Serve what *find* returns for a path, and yield the server's origin.

    Args:
        find: Called in the server's threads with the path of each ``GET``;
            ``None`` is answered with 404.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = find(self.path) or Document("text/plain", b"", HTTPStatus.NOT_FOUND)
            self.send_response(found.status)
            self.send_header("Content-Type", found.media_type)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        def log_message(self, *_: object) -> None:
            """Keep quiet: a test's output is the test's."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
