"""Serving the application: one process, one event loop, uvicorn."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import uvicorn
from litestar import Litestar

from apostille_issuer.http.connection import Connection
from apostille_issuer.problems import IssuerProblem, StartupError

__all__ = ["listening_socket", "serve"]

GRACE_SECONDS = 10
"""How long requests may take to finish after a signal to end."""

MAX_CONNECTIONS = 1_000
"""Connections beyond so many get 503; idle ones count, and end after five seconds."""


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to *host* and *port*; 0 picks a free port.

    Bound before anything else is done, so that a port in use is found out
    first; it accepts nobody until the application is ready.

    Raises:
        StartupError: The address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with ExitStack() as undo:
            listener = undo.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            undo.pop_all()
    except OSError as error:
        raise StartupError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def serve(app: Litestar, listener: socket.socket, *, ready: Callable[[], None]) -> None:
    """Run *app* on *listener* until SIGTERM or SIGINT; requests under way may finish.

    Args:
        app: The application; started and stopped here.
        listener: Bound, not yet listening.
        ready: Called once requests are accepted.

    Raises:
        StartupError: The application cannot start.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(app, listener, ready))


async def _serve(app: Litestar, listener: socket.socket, ready: Callable[[], None]) -> None:
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        # Forwarded headers are the business of apostille_issuer.http.proxies.
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    # Not by uvicorn: it would log a traceback where one line is wanted.
    try:
        async with app.lifespan():
            await _Server(config, ready).serve(sockets=[listener])
    except* (StartupError, IssuerProblem) as group:
        raise _first(group) from None


class _Server(uvicorn.Server):
    """Tells when it is ready; at a signal it returns, so that the application can close."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is loaded by now is nobody's garbage: without this the collector walks over
        # all of it now and then, for tens of milliseconds in which nobody is answered.
        gc.collect()
        gc.freeze()
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error itself: Litestar starts inside a task group, which wraps errors."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop
