"""What one client can do to the others before it has said who it is."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import httpx
import pytest
import uvicorn
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from apostille_issuer.http import connection
from apostille_issuer.http.connection import MAX_HEAD_BYTES, MAX_HEADERS, Connection

BEGIN = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body; to ``/early`` before it is there, to ``/never`` not at all."""
    assert scope["type"] == ScopeType.HTTP
    body = b"early" if scope["path"] == "/early" else b""
    if scope["path"] == "/never":
        await asyncio.Event().wait()
    while not body.startswith(b"early"):
        message = await receive()
        if message["type"] != "http.request":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    length = str(len(body)).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


@contextmanager
def serving(limit: int | None = None) -> Iterator[int]:
    """Serve :func:`echo` in a thread; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            cast("Any", echo),
            http=Connection,
            lifespan="off",
            log_config=None,
            access_log=False,
            limit_concurrency=limit,
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def port() -> Iterator[int]:
    with serving() as bound:
        yield bound


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connection, "DELIVERY_SECONDS", 0.2)
    with serving() as bound:
        yield bound


def opened(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def everything(client: socket.socket) -> bytes:
    """Return what the server says until it ends the connection."""
    return b"".join(iter(lambda: client.recv(65_536), b""))


def exchange(port: int, *pieces: bytes) -> bytes:
    with opened(port) as client:
        for piece in pieces:
            client.sendall(piece)
        return everything(client)


def assert_others_are_answered(port: int) -> None:
    assert httpx.post(f"http://127.0.0.1:{port}/", content=b"x").text == "x"


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /",
        BEGIN + b"X-A: ",
        BEGIN + b"X-",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    ],
    ids=["url", "header value", "header name", "trailer"],
)
def test_what_grows_without_end_is_refused(port: int, begin: bytes) -> None:
    with opened(port) as client:
        client.sendall(begin)
        client.sendall(b"a" * 2 * MAX_HEAD_BYTES)
        assert_others_are_answered(port)
        answer = everything(client)
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"\r\nconnection: close\r\n" in answer


def test_a_head_may_be_as_long_as_the_limit(port: int) -> None:
    head = POST + b"Connection: close\r\nContent-Length: 2\r\nX-A: "
    head += b"a" * (MAX_HEAD_BYTES - len(head) - 4) + b"\r\n\r\n"
    assert exchange(port, head, b"ok").endswith(b"\r\n\r\nok")
    longer = head.replace(b"X-A: ", b"X-A: a")
    assert exchange(port, longer).startswith(b"HTTP/1.1 431 ")


def test_many_headers_are_refused(port: int) -> None:
    headers = b"".join(b"X-%d: y\r\n" % number for number in range(MAX_HEADERS - 2))
    most = BEGIN + b"Connection: close\r\n" + headers
    assert exchange(port, most + b"\r\n").startswith(b"HTTP/1.1 200 ")
    assert exchange(port, most + b"One: more\r\n\r\n").startswith(b"HTTP/1.1 431 ")


def test_who_does_not_read_the_refusal_is_thrown_out(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.1)
    with opened(port) as client:
        client.sendall(BEGIN + b"X-A: ")
        with suppress(ConnectionError):
            while True:
                client.sendall(b"a" * 1_000_000)
    assert_others_are_answered(port)


def test_what_is_no_request_is_refused(port: int) -> None:
    assert exchange(port, b"\x16\x03\x01\x02\x00\r\n").startswith(b"HTTP/1.1 400 ")


def test_requests_in_one_piece_are_answered_in_order(port: int) -> None:
    request = POST + b"Content-Length: 1\r\n\r\n"
    last = POST + b"Connection: close\r\nContent-Length: 40000\r\n\r\n" + b"c" * 40_000
    answer = exchange(port, request + b"a" + request + b"b" + last)
    assert [part[:1] for part in answer.split(b"\r\n\r\n")[1:]] == [b"a", b"b", b"c"]
    assert answer.endswith(b"c" * 40_000)


def test_a_body_longer_than_the_limit_for_heads_is_no_business_of_it(port: int) -> None:
    body = b"x" * 20 * MAX_HEAD_BYTES
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert client.post("/", content=body).content == body
        assert client.post("/", content=iter([body, body])).content == body + body


@pytest.mark.parametrize(
    "begin",
    [b"GET", BEGIN, b"\r\n\r\n", POST + b"Content-Length: 2\r\n\r\n{"],
    ids=["request line", "headers", "empty lines", "body"],
)
def test_what_does_not_arrive_in_time_is_refused(hurried: int, begin: bytes) -> None:
    assert exchange(hurried, begin).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_an_endless_trickle_does_not_keep_a_connection(hurried: int) -> None:
    answer = b""
    with opened(hurried) as client:
        client.sendall(BEGIN)
        client.settimeout(0.02)
        while not answer:
            client.sendall(b"a")
            try:
                answer = client.recv(100)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_who_asks_nothing_is_sent_away_without_a_word(hurried: int) -> None:
    assert exchange(hurried) == b""


def test_a_body_that_is_missing_after_the_answer_ends_the_connection(hurried: int) -> None:
    answer = exchange(hurried, b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\nearly")


def test_empty_lines_after_an_answer_do_not_keep_a_connection(hurried: int) -> None:
    with opened(hurried) as client:
        client.sendall(BEGIN + b"\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        client.sendall(b"\r\n")
        assert everything(client).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_we_do_not_read_is_not_late(hurried: int) -> None:
    with opened(hurried) as client:
        client.sendall(b"POST /never HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        client.sendall(b"x" * 200_000)
        client.settimeout(0.6)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_an_answer_under_way_is_not_mixed_with_a_refusal(port: int) -> None:
    never = b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n"
    assert exchange(port, never, BEGIN + b"X-A: " + b"a" * 2 * MAX_HEAD_BYTES) == b""


def test_a_connection_is_used_again(hurried: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{hurried}") as client:
        for number in range(3):
            answer = client.post("/", content=str(number).encode())
            assert answer.text == str(number)


def test_too_many_connections_are_told_so() -> None:
    with serving(limit=3) as port, opened(port), opened(port), opened(port):
        assert exchange(port, BEGIN + b"\r\n").startswith(b"HTTP/1.1 503 ")
