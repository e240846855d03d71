"""Requests in their plain form are answered as the route answers them, byte for byte."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec import Struct

from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer import app as composition
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.plain import PlainPost
from apostille_issuer.problems import IssuerProblem
from support.desk import PASSWORD, Desk, Person, open_desk
from support.web import Reply, send

from .conftest import migrated_copy

REFRESH, LOGIN = "/v1/auth/refresh", "/v1/auth/login"
JSON = ("Content-Type", "application/json")


@dataclass(frozen=True)
class Side:
    """An issuer, and somebody in it."""

    desk: Desk
    person: Person

    def token(self) -> str:
        """Return the refresh token of a new session."""
        return str(self.desk.tokens(self.person.login)["refresh_token"])


@pytest.fixture(scope="module")
def sides(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Side, Side]]:
    """Two issuers that differ in one thing: only the first has a short way."""
    folders = [tmp_path_factory.mktemp(name) for name in ("plain", "routed")]
    with (
        migrated_copy("sqlite", folders[0], request) as first,
        migrated_copy("sqlite", folders[1], request) as second,
        open_desk(first) as plain,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(composition, "plain_posts", lambda _: [])
        with open_desk(second) as routed:
            login = "ada@example.com"
            yield Side(plain, plain.hire(login=login)), Side(routed, routed.hire(login=login))


def seen(reply: Reply) -> tuple[Any, ...]:
    """Return all of *reply* that must not differ."""
    body, tokens = re.subn(rb'"(access|refresh)_token":"[^"]+"', rb'"\1_token":"..."', reply.body)
    changing = {"date", "x-request-id", *(["content-length"] if tokens else [])}
    headers = [
        # Litestar names allowed methods in no order.
        (name, sorted(value.split(", ")) if name.lower() == "allow" else value)
        for name, value in reply.headers
        if name.lower() not in changing
    ]
    assert len(reply.values("x-request-id")) == 1
    return reply.status, headers, re.sub(rb'"request_id":"\w+"', b"", body)


def ask(
    side: Side,
    body: bytes | None,
    headers: Sequence[tuple[str, str]] = (JSON,),
    method: str = "POST",
    path: str = REFRESH,
) -> Reply:
    if body is not None and b"{token}" in body:
        body = body.replace(b"{token}", side.token().encode())
    return send(side.desk.url, method, path, headers, body)


GOOD = b'{"refresh_token":"{token}"}'
FORGED = b'{"refresh_token":"apo_rt_%s_0_%s"}' % (b"0" * 32, b"A" * 43)
LOGGED_IN = b'{"login":"ada@example.com","password":"%s"}' % PASSWORD.encode()

BODIES = {
    "good": GOOD,
    "spaces": b' \n{ "refresh_token" : "{token}" }\t ',
    "escapes": b'{"refresh\\u005ftoken":"{token}"}',
    "twice": b'{"refresh_token":"x","refresh_token":"{token}"}',
    "twice of two types": b'{"refresh_token":1,"refresh_token":"{token}"}',
    "forged": FORGED,
    "empty token": b'{"refresh_token":""}',
    "not a token": b'{"refresh_token":"\\u0000\\ud83d\\ude00"}',
    "lone surrogate": b'{"refresh_token":"\\ud800"}',
    "bad UTF-8": b'{"refresh_token":"\xff"}',
    "null": b'{"refresh_token":null}',
    "number": b'{"refresh_token":1}',
    "list": b'{"refresh_token":["{token}"]}',
    "unknown field": b'{"refresh_token":"{token}","scope":"x"}',
    "no field": b"{}",
    "an array": b'["{token}"]',
    "nothing": b"null",
    "no JSON": b"refresh_token={token}",
    "half": b'{"refresh_token":"{token}"',
    "more": b'{"refresh_token":"{token}"}{}',
    "mark": b'\xef\xbb\xbf{"refresh_token":"{token}"}',
    "empty": b"",
    "none": None,
    "deep": b'{"a":' + b"[" * 5_000,
    "deep token": b'{"refresh_token":' + b"[" * 5_000,
    "too long": b'{"refresh_token":"' + b"a" * 70_000 + b'"}',
    "almost too long": b'{"refresh_token":"' + b"a" * 60_000 + b'"}',
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_judged_alike(sides: tuple[Side, Side], name: str) -> None:
    first, second = (seen(ask(side, BODIES[name])) for side in sides)
    assert first == second


HEADERS: dict[str, list[tuple[str, str]]] = {
    "no type": [],
    "charset": [("Content-Type", "application/json; charset=utf-8")],
    "shouted": [("CONTENT-TYPE", "APPLICATION/JSON")],
    "other type": [("Content-Type", "text/plain")],
    "empty type": [("Content-Type", "")],
    "two types": [JSON, ("Content-Type", "text/plain")],
    "two types, the other way": [("Content-Type", "text/plain"), JSON],
    "same type twice": [JSON, JSON],
    "cookies": [JSON, ("Cookie", "__Host-apostille-refresh=x; __Host-apostille=y")],
    "other origin": [JSON, ("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")],
    "bearer": [JSON, ("Authorization", "Bearer nonsense")],
    "basic, twice": [JSON, ("Authorization", "Basic eA=="), ("Authorization", "x")],
    "unlisted proxy": [JSON, ("X-Forwarded-For", "192.0.2.9"), ("X-Request-Id", "mine")],
    "agent": [JSON, ("User-Agent", "curl/8"), ("User-Agent", "second")],
    "long agent": [JSON, ("User-Agent", "ä\t" * 300)],
    "bad host": [JSON, ("Host", "exa mple")],
    "accept": [JSON, ("Accept", "text/html"), ("Accept-Encoding", "gzip")],
    "encoding": [JSON, ("Content-Encoding", "gzip")],
    "range": [JSON, ("Range", "bytes=0-1"), ("If-None-Match", "*")],
}


@pytest.mark.parametrize("body", [GOOD, FORGED, b"{}"], ids=["good", "forged", "bad"])
@pytest.mark.parametrize("name", HEADERS)
def test_headers_are_judged_alike(sides: tuple[Side, Side], name: str, body: bytes) -> None:
    first, second = (seen(ask(side, body, HEADERS[name])) for side in sides)
    assert first == second


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "HEAD", "OPTIONS", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        REFRESH,
        f"{REFRESH}/",
        f"/{REFRESH}",
        f"{REFRESH}?a=b",
        "/v1/auth/%72efresh",
        "/v1/Auth/refresh",
    ],
)
def test_paths_and_methods_are_judged_alike(
    sides: tuple[Side, Side], path: str, method: str
) -> None:
    replies = [ask(side, GOOD, method=method, path=path) for side in sides]
    if method == "HEAD":  # has a length and no content
        assert [(reply.status, reply.body) for reply in replies] == [(replies[0].status, b"")] * 2
        return
    first, second = map(seen, replies)
    assert first == second


LOGINS = {
    "good": LOGGED_IN,
    "wrong": b'{"login":"ada@example.com","password":"wrong"}',
    "unknown": b'{"login":"nobody","password":"wrong"}',
    "cookie": LOGGED_IN[:-1] + b',"transport":"cookie"}',
    "body": LOGGED_IN[:-1] + b',"transport":"body"}',
    "no transport": LOGGED_IN[:-1] + b',"transport":null}',
    "odd transport": LOGGED_IN[:-1] + b',"transport":"Body"}',
    "audience": LOGGED_IN[:-1] + b',"audience":"apostille"}',
    "audiences": LOGGED_IN[:-1] + b',"audience":["apostille","apostille"]}',
    "no audiences": LOGGED_IN[:-1] + b',"audience":[]}',
    "empty audience": LOGGED_IN[:-1] + b',"audience":""}',
    "null audience": LOGGED_IN[:-1] + b',"audience":null}',
    "audience named null": LOGGED_IN[:-1] + b',"audience":"null"}',
    "unknown audience": LOGGED_IN[:-1] + b',"audience":"nowhere"}',
    "audience of a number": LOGGED_IN[:-1] + b',"audience":1}',
    "organization": LOGGED_IN[:-1] + b',"organization":"01890a5d-ac96-774b-bcce-b302099a8057"}',
    "no organization": LOGGED_IN[:-1] + b',"organization":null}',
    "organization named null": LOGGED_IN[:-1] + b',"organization":"null"}',
    "organization in digits": LOGGED_IN[:-1] + b',"organization":"%s"}' % (b"0" * 32),
    "organization in braces": LOGGED_IN[:-1] + b',"organization":"{%s}"}' % (b"0" * 32),
    "unknown field": LOGGED_IN[:-1] + b',"otp":"1"}',
    "number": b'{"login":1,"password":2}',
    "one": b'{"login":"ada@example.com"}',
    "empty": b"",
}


@pytest.mark.parametrize("name", LOGINS)
def test_a_login_is_judged_alike(sides: tuple[Side, Side], name: str) -> None:
    first, second = (seen(ask(side, LOGINS[name], path=LOGIN)) for side in sides)
    assert first == second


def test_the_life_of_a_session_is_the_same(sides: tuple[Side, Side]) -> None:
    """Replay, theft, the end, and what the audit and the list of sessions say of it."""

    def live(side: Side) -> list[Any]:
        chain = [side.token()]
        replies: list[Reply] = []

        def refresh(token: str) -> None:
            body = b'{"refresh_token":"%s"}' % token.encode()
            replies.append(ask(side, body, [JSON, ("User-Agent", "Ä browser\t")]))

        for _ in range(3):
            refresh(chain[-1])
            chain.append(re.findall(r'"refresh_token":"([^"]+)"', replies[-1].text)[0])
        refresh(chain[-2])  # lost a race
        assert chain[-1] in replies[-1].text
        refresh(chain[0])  # theft
        refresh(chain[-1])
        events = side.desk.events(tag=EventTag.REFRESH_REUSED.value)[:1]
        told = [
            {name: event[name] for name in ("tag", "outcome", "address", "user_agent", "after")}
            for event in events
        ]
        assert {event["request_id"] for event in events} == set(replies[-2].values("x-request-id"))
        assert [event["actor_id"] for event in events] == [str(side.person.id)]
        return [[seen(reply) for reply in replies], told]

    first, second = map(live, sides)
    assert first == second
    assert [status for status, *_ in first[0]] == [200] * 4 + [401] * 2


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("secret"),
        IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE, retry_after=2),
        IssuerProblem.invalid_field("refresh_token", "something"),
    ],
    ids=["fault", "unavailable", "field"],
)
def test_failures_are_answered_alike(
    sides: tuple[Side, Side], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise error

    for side in sides:
        monkeypatch.setattr(side.desk.issuer.sessions._refreshes, "use", fail)
    first, second = (seen(ask(side, GOOD)) for side in sides)
    assert first == second


def talk(side: Side, *parts: bytes) -> bytes:
    """Send *parts* over one connection, and return the answer without what changes."""
    with socket.create_connection(
        (urlsplit(side.desk.url).hostname, urlsplit(side.desk.url).port)
    ) as s:
        s.settimeout(20)
        for part in parts:
            s.sendall(part)
        answer = b"".join(iter(lambda: s.recv(65_536), b""))
    answer = re.sub(rb'"(access|refresh)_token":"[^"]+"', b"", answer)
    answer = re.sub(rb"x-request-id: \w+", b"", answer)
    return re.sub(rb"(?i)(date|content-length): .*?\r\n", b"", answer)


HEAD = (
    b"POST /v1/auth/refresh HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\n"
)


@pytest.mark.parametrize("way", ["whole", "parts", "chunked", "chunks", "continue", "no length"])
def test_however_a_request_arrives_it_is_answered_alike(sides: tuple[Side, Side], way: str) -> None:
    answers = []
    for side in sides:
        body = GOOD.replace(b"{token}", side.token().encode())
        length = b"Content-Length: %d\r\n" % len(body)
        parts = {
            "whole": [HEAD + length + b"\r\n" + body],
            "parts": [HEAD, length + b"\r\n", body[:20], body[20:]],
            "chunked": [
                HEAD
                + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            ],
            "chunks": [
                HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
                b"5\r\n%s\r\n" % body[:5],
                b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) - 5, body[5:]),
            ],
            "continue": [HEAD + length + b"Expect: 100-continue\r\n\r\n", body],
            "no length": [HEAD + b"\r\n"],
        }[way]
        answers.append(talk(side, *parts))
    # The interim answer is left out where the body was there before it was asked for.
    first, second = (answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n") for answer in answers)
    assert first == second
    assert first.startswith(b"HTTP/1.1 422" if way == "no length" else b"HTTP/1.1 200")


# What goes where.


class Given(Struct):
    """What a test's act takes."""

    word: str


class Answer(Struct):
    """What it answers."""

    said: str


async def act(given: Given, context: RequestContext) -> Answer:
    return Answer(f"{given.word} {context.request_id}")


def run(messages: list[dict[str, Any]], **scope: Any) -> tuple[list[Any], list[Any]]:
    """Return what was sent, and what the route received if it was asked."""
    sent: list[Any] = []
    routed: list[Any] = []
    waiting = iter(messages)

    async def receive() -> Any:
        return next(waiting)

    async def collect(message: Any) -> None:
        sent.append(message)

    async def route(_scope: Any, receive: Any, _send: Any) -> None:
        routed.extend([await receive() for _ in messages])

    post = PlainPost("/say", Given, act, if_=lambda given: given.word != "other")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"15")]
    state = {"request_id": "r", "address": None}
    whole = {"type": "http", "path": "/say", "headers": headers, "state": state, **scope}
    asyncio.run(post.before(route, max_body_bytes=15)(whole, receive, collect))  # type: ignore[arg-type]
    return sent, routed


WHOLE = {"type": "http.request", "body": b'{"word":"hell"}', "more_body": False}


def test_what_is_plain_is_not_routed() -> None:
    sent, routed = run([WHOLE])
    assert sent[1]["body"] == b'{"said":"hell r"}'
    assert routed == []


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.disconnect"}],
        [WHOLE | {"more_body": True}, {"type": "http.request", "body": b"", "more_body": False}],
        [WHOLE | {"body": b'{"word":"x"}'}],
        [WHOLE | {"body": b'{"word":"other}'}],
        [WHOLE | {"body": b'{"word": "helo"'}],
    ],
    ids=["gone", "parts", "shorter than announced", "not JSON", "half"],
)
def test_what_is_not_plain_reaches_the_route_whole(messages: list[dict[str, Any]]) -> None:
    sent, routed = run(messages)
    assert sent == []
    assert routed == messages


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-type", b"application/json")],
        [(b"content-length", b"15")],
        [(b"content-type", b"application/json"), (b"content-length", b"-15")],
        [(b"content-type", b"application/json"), (b"content-length", b"16")],
        [(b"content-type", b"application/json"), *([(b"content-length", b"15")] * 2)],
    ],
    ids=["none", "no length", "no type", "no number", "too long", "two lengths"],
)
def test_a_head_that_is_not_plain_is_not_read_on(headers: list[tuple[bytes, bytes]]) -> None:
    _, routed = run([WHOLE], headers=headers)
    assert routed == [WHOLE]


def test_an_application_below_a_path_is_routed() -> None:
    _, routed = run([WHOLE], root_path="/iam")
    assert routed == [WHOLE]


def test_the_act_may_be_for_some_requests_alone() -> None:
    message = WHOLE | {"body": b'{"word":"other"}'[:-1] + b"}"}
    headers = [(b"content-type", b"application/json"), (b"content-length", b"16")]
    _, routed = run([message], headers=headers)
    assert routed == [message]
