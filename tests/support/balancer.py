"""A load balancer on loopback: each connection goes to the next server that is up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from socketserver import BaseRequestHandler, ThreadingTCPServer

__all__ = ["balanced"]


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


@contextmanager
def balanced(ports: Sequence[int]) -> Iterator[str]:
    """Yield the origin of a balancer over the servers on *ports*."""
    turns, lock = cycle(ports), threading.Lock()

    def connected() -> socket.socket | None:
        for _ in ports:
            with lock:
                port = next(turns)
            with suppress(OSError):
                return socket.create_connection(("127.0.0.1", port), timeout=20)
        return None

    class Forward(BaseRequestHandler):
        def handle(self) -> None:
            server = connected()
            if server is None:
                return
            with server:
                pump = threading.Thread(target=_pump, args=(server, self.request), daemon=True)
                pump.start()
                _pump(self.request, server)
                pump.join()

    with _Server(("127.0.0.1", 0), Forward) as balancer:
        thread = threading.Thread(target=balancer.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{balancer.server_address[1]}"
        finally:
            balancer.shutdown()
            thread.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Carry octets one way until either side ends."""
    try:
        while octets := source.recv(65_536):
            sink.sendall(octets)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # Wakes the other direction too.
        for side in (source, sink):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
