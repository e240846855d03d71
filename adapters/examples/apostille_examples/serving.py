"""How an example service starts and stops, whatever its framework."""

from __future__ import annotations

import argparse
import contextlib
import errno
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.server import HTTPServer
from typing import Any, NoReturn

from apostille.errors import ConfigurationError

__all__ = ["Options", "listen", "serve_until_stopped", "setting_up", "stop_cleanly", "take_over"]


@dataclass(frozen=True)
class Options:
    """What the command line said."""

    framework: str
    issuer: str
    audience: str
    host: str
    port: int
    allow_insecure_http: bool

    @classmethod
    def parse(
        cls, framework: str, default_port: int, arguments: Sequence[str] | None = None
    ) -> Options:
        """Return what *arguments* say, by default those of the process."""
        parser = argparse.ArgumentParser(
            description=f"The example inventory service in {framework}."
        )
        parser.add_argument("--issuer", default="http://127.0.0.1:8000", help="whose tokens count")
        parser.add_argument("--audience", default="inventory", help="this service's name")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument(
            "--port", type=_port, default=default_port, help="port to listen on; 0 for a free one"
        )
        parser.add_argument(
            "--allow-insecure-http",
            action="store_true",
            help="accept an issuer on plain http that is not this machine, for trials",
        )
        return cls(framework, **vars(parser.parse_args(arguments)))

    @property
    def verifier_options(self) -> dict[str, Any]:
        """Arguments for ``Verifier`` and ``AsyncVerifier`` besides the issuer."""
        return {"audience": self.audience, "allow_insecure_http": self.allow_insecure_http}


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _give_up(reason: str) -> NoReturn:
    sys.exit(f"inventory: {reason}")  # one line on standard error, status 1


@contextlib.contextmanager
def setting_up() -> Iterator[None]:
    """Say in one line what is set up wrongly."""
    try:
        yield
    except ConfigurationError as error:
        _give_up(str(error))


def listen(options: Options) -> socket.socket:
    """Return a socket that takes connections from now on, and say so.

    A port that is taken, or an address that is not this machine's, ends the
    process with one line and status 1.
    """
    try:
        listening = socket.create_server((options.host, options.port), backlog=128)
    except OSError as error:
        reason = "it is in use" if error.errno == errno.EADDRINUSE else str(error)
        _give_up(f"cannot listen on {options.host}, port {options.port}: {reason}")
    host, port = listening.getsockname()[:2]
    print(
        f"inventory ({options.framework}) listens on http://{host}:{port}, trusts {options.issuer}",
        flush=True,
    )
    return listening


def stop_cleanly() -> None:
    """Let SIGTERM and SIGINT end the process with status 0."""

    def stop(*_: object) -> NoReturn:
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def take_over(server: HTTPServer, listening: socket.socket) -> None:
    """Let *server*, made with ``bind_and_activate=False``, serve what comes to *listening*."""
    server.socket.close()
    server.socket = listening
    server.server_name, server.server_port = listening.getsockname()[:2]


def serve_until_stopped(server: HTTPServer) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered first."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    thread = threading.Thread(target=server.serve_forever, args=(0.1,))
    thread.start()
    stopped.wait()
    server.shutdown()
    thread.join()
    server.server_close()
