"""A load generator in a process of its own: raw sockets, keep-alive, prepared requests.

It must never be the limit, so it does as little per request as Python can;
:mod:`bench.issuer` measures its ceiling against a server that does nothing.
Orders come as JSON lines on standard input, outcomes leave on standard output.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence

import msgspec

__all__ = ["Conversation", "Order", "Outcome", "Refused", "run"]

_READ_BYTES = 65_536
_SILENCE_SECONDS = 20.0
"""Longest wait for any answer before a run is given up."""


class Conversation(msgspec.Struct, kw_only=True):
    """What is said on one connection, again and again.

    With ``field`` the answer's JSON member of that name replaces ``{token}``
    in the next request's body: a refresh token that rotates.
    """

    method: str = "GET"
    path: str = "/"
    body: str = ""
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    token: str = ""
    field: str = ""
    port: int = 0
    """Where it is said, if not where the order says."""

    def request(self) -> bytes:
        """Return the next request."""
        body = self.body.replace("{token}", self.token).encode()
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        if body:
            head += f"Content-Type: {self.content_type}\r\nContent-Length: {len(body)}\r\n"
        return f"{head}\r\n".encode() + body

    def heard(self, body: bytes) -> None:
        """Take what the next request needs out of an answer."""
        self.token = msgspec.json.decode(body)[self.field]


class Order(msgspec.Struct, kw_only=True):
    """One run of one set of conversations."""

    port: int
    conversations: str
    """Name under which they are kept between runs."""
    opening: list[Conversation] | None = None
    """Given once, when the name is new."""
    seconds: float = 1.0
    rate: float | None = None
    """Requests per second to offer; without it, as fast as answers come."""


class Outcome(msgspec.Struct, kw_only=True):
    """What came of a run."""

    answers: int
    seconds: float
    p50: float = 0.0
    """Median latency in ms; with a rate, counted from when a request was due."""
    p99: float = 0.0
    error: str = ""

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


class Refused(Exception):
    """An answer was neither 2xx nor 304, or none came."""


class _Connection:
    """One connection, one conversation, one request at a time."""

    __slots__ = ("conversation", "due", "received", "request", "socket")

    def __init__(self, port: int, conversation: Conversation) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.conversation = conversation
        self.request = conversation.request()
        self.received = b""
        self.due = 0.0

    def ask(self, due: float) -> None:
        self.due = due
        self.socket.sendall(self.request)

    def listen(self) -> bool:
        """Read what is there; say whether the answer is complete."""
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise Refused("the server closed the connection")
        received = self.received + data if self.received else data
        end = received.find(b"\r\n\r\n")
        body = None if end < 0 else complete_body(received[: end + 2], received[end + 4 :])
        if body is None:
            self.received = received
            return False
        self.received = b""
        if received[9:10] != b"2" and received[9:12] != b"304":
            raise Refused(received[:600].decode("latin-1"))
        if self.conversation.field:
            self.conversation.heard(body)
            self.request = self.conversation.request()
        return True


def complete_body(head: bytes, rest: bytes) -> bytes | None:
    """Return the body of an answer, or ``None`` while some of it is missing."""
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at >= 0:
        length = int(lower[at + 17 : lower.index(b"\r\n", at + 2)])
        return rest if len(rest) >= length else None
    if b"\r\ntransfer-encoding: chunked" not in lower:
        return rest
    if not rest.endswith(b"0\r\n\r\n"):
        return None
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return body


def run(order: Order, conversations: Sequence[Conversation]) -> Outcome:
    """Hold *conversations* for as long as *order* says.

    Raises:
        Refused: An answer was neither 2xx nor 304, or none came.
    """
    connections = [
        _Connection(conversation.port or order.port, conversation) for conversation in conversations
    ]
    poll = select.epoll()
    by_number = {connection.socket.fileno(): connection for connection in connections}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    try:
        if order.rate is None:
            latencies, seconds = _closed(poll, by_number, order.seconds)
        else:
            latencies, seconds = _open(poll, by_number, order.seconds, order.rate)
    finally:
        poll.close()
        for connection in connections:
            connection.socket.close()
    latencies.sort()
    count = len(latencies)
    return Outcome(
        answers=count,
        seconds=seconds,
        p50=latencies[count // 2] * 1e3,
        p99=latencies[min(count - 1, count * 99 // 100)] * 1e3,
    )


def _closed(
    poll: select.epoll, connections: dict[int, _Connection], seconds: float
) -> tuple[list[float], float]:
    """Ask again as soon as an answer is in: the rate the server can sustain."""
    now = time.perf_counter
    latencies: list[float] = []
    begin = now()
    end = begin + seconds
    for connection in connections.values():
        connection.ask(now())
    waiting = len(connections)
    while waiting:
        ready = poll.poll(_SILENCE_SECONDS)
        if not ready:
            raise Refused("no answer came")
        for number, _ in ready:
            connection = connections[number]
            if not connection.listen():
                continue
            moment = now()
            latencies.append(moment - connection.due)
            if moment < end:
                connection.ask(moment)
            else:
                waiting -= 1
    return latencies, now() - begin


def _open(
    poll: select.epoll, connections: dict[int, _Connection], seconds: float, rate: float
) -> tuple[list[float], float]:
    """Ask on a schedule, whatever the server does; waiting for a free connection counts."""
    now = time.perf_counter
    latencies: list[float] = []
    idle = deque(connections.values())
    busy = 0
    begin = now()
    asked, total = 0, max(1, int(rate * seconds))
    while asked < total or busy:
        moment = now()
        while asked < total and idle and begin + asked / rate <= moment:
            idle.popleft().ask(begin + asked / rate)
            asked += 1
            busy += 1
        due_in = begin + asked / rate - moment if asked < total and idle else _SILENCE_SECONDS
        # epoll wakes up to a millisecond late: what is due sooner is waited for awake.
        ready = poll.poll(max(0.0, due_in - 0.001))
        if not ready and due_in >= _SILENCE_SECONDS:
            raise Refused("no answer came")
        for number, _ in ready:
            connection = connections[number]
            if connection.listen():
                latencies.append(now() - connection.due)
                idle.append(connection)
                busy -= 1
    return latencies, now() - begin


def main() -> None:
    """Obey orders until standard input ends."""
    orders = msgspec.json.Decoder(Order)
    kept: dict[str, list[Conversation]] = {}
    for line in sys.stdin.buffer:
        order = orders.decode(line)
        if order.opening is not None:
            kept[order.conversations] = order.opening
        try:
            outcome = run(order, kept[order.conversations])
        except (Refused, OSError) as error:
            outcome = Outcome(answers=0, seconds=1.0, error=f"{type(error).__name__}: {error}")
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
