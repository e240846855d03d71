"""What is accepted from the network, and what becomes of everything else."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from apostille.clock import ManualClock
from apostille.errors import ConfigurationError, KeysUnavailable
from apostille.events import Event, EventTag, FetchFailure
from support.http_server import (
    METADATA,
    OIDC_METADATA,
    Behaviour,
    Exchange,
    IssuerServer,
    document,
    drip,
    raw,
    redirect,
    silence,
    status,
)
from support.minting import AUDIENCE, key_of
from support.subjects import Make, TaskSubject, ThreadSubject, Token
from support.tls import Authority

FIRST = key_of("ES256", "first")
MEBIBYTE = 1024 * 1024
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS_HEADERS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Padding: " + b"x" * 20_000
)
LONG_BODY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20000\r\n\r\n"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def tls_issuer(authority: Authority) -> Iterator[str]:
    with IssuerServer(FIRST, tls=authority.server_context()) as running:
        yield running.issuer


def padded(size: int) -> bytes:
    """Return a key set of exactly *size* octets."""
    bare = json.dumps({"keys": [FIRST.public_jwk()], "padding": ""}).encode()
    return bare[:-2] + b"x" * (size - len(bare)) + bare[-2:]


FAULTS: list[tuple[str, Behaviour, FetchFailure]] = [
    ("redirect", redirect("/elsewhere"), FetchFailure.REDIRECTED),
    ("moved for good", status(308, [("Location", "/jwks2")]), FetchFailure.REDIRECTED),
    ("not modified", status(304), FetchFailure.REDIRECTED),
    ("server error", status(500), FetchFailure.BAD_STATUS),
    ("not found", status(404), FetchFailure.BAD_STATUS),
    ("no content", status(204), FetchFailure.BAD_STATUS),
    ("one octet too many", document(padded(MEBIBYTE + 1)), FetchFailure.TOO_LARGE),
    (
        "endless",
        raw(CHUNKED + (b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 17),
        FetchFailure.TOO_LARGE,
    ),
    ("a page", document(b"<html>", "text/html"), FetchFailure.WRONG_CONTENT),
    ("no media type", document(b"{}", ""), FetchFailure.WRONG_CONTENT),
    ("no JSON", document(b"hello"), FetchFailure.WRONG_CONTENT),
    ("empty", document(b""), FetchFailure.WRONG_CONTENT),
    ("another encoding", document('{"keys": []}'.encode("utf-16")), FetchFailure.WRONG_CONTENT),
    ("a list", document([]), FetchFailure.WRONG_CONTENT),
    ("keys is no list", document({"keys": {}}), FetchFailure.WRONG_CONTENT),
    ("nested", document(b'{"keys":' + b"[" * 100_000), FetchFailure.WRONG_CONTENT),
    (
        "compressed",
        document(padded(1000), headers=[("Content-Encoding", "gzip")]),
        FetchFailure.WRONG_CONTENT,
    ),
    (
        "truncated",
        raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"),
        FetchFailure.UNREACHABLE,
    ),
    ("hung up", raw(b""), FetchFailure.UNREACHABLE),
    ("no HTTP", raw(b"220 mail.example.com ESMTP\r\n"), FetchFailure.UNREACHABLE),
    ("silent", silence(), FetchFailure.TIMEOUT),
    ("headers one octet at a time", drip(ENDLESS_HEADERS), FetchFailure.TIMEOUT),
]


@pytest.mark.parametrize(
    ("behaviour", "failure"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS]
)
def test_a_key_set_is_refused(
    behaviour: Behaviour,
    failure: FetchFailure,
    make: Make,
    server: IssuerServer,
    token: Token,
    events: list[Event],
) -> None:
    server.behaviours["/jwks"] = behaviour
    server.behaviours["/elsewhere"] = document(server.jwks())
    subject = make(timeout=timedelta(seconds=5 if failure is not FetchFailure.TIMEOUT else 0.2))
    with pytest.raises(KeysUnavailable):
        subject.verify(token())
    assert subject.health().last_error is failure
    assert "/elsewhere" not in server.requests
    assert [event.tag for event in events] == [EventTag.KEYS_FAILED, EventTag.TOKEN_REJECTED]
    assert events[0].failure is failure


def test_a_body_that_comes_one_octet_at_a_time_ends_at_the_timeout(
    make: Make, server: IssuerServer, token: Token
) -> None:
    def behave(exchange: Exchange) -> None:
        exchange.send(LONG_BODY)
        drip(b" " * 20_000)(exchange)

    server.behaviours["/jwks"] = behave
    subject = make(timeout=timedelta(seconds=0.2))
    with pytest.raises(KeysUnavailable):
        subject.verify(token())
    assert subject.health().last_error is FetchFailure.TIMEOUT


def test_the_timeout_covers_all_documents_together(
    make: Make, server: IssuerServer, token: Token
) -> None:
    body = json.dumps(server.metadata()).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    server.behaviours[METADATA] = drip(head % len(body) + body, 0.001)
    server.behaviours["/jwks"] = silence()
    subject = make(timeout=timedelta(seconds=1))
    with pytest.raises(KeysUnavailable):
        subject.verify(token())
    assert subject.health().last_error is FetchFailure.TIMEOUT


def test_exactly_one_mebibyte_is_read(make: Make, server: IssuerServer, token: Token) -> None:
    server.behaviours["/jwks"] = document(padded(MEBIBYTE))
    assert make().verify(token()).subject


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/jwk-set+json", "Application/JSON; charset=utf-8"],
)
def test_json_media_types_are_read(
    content_type: str, make: Make, server: IssuerServer, token: Token
) -> None:
    server.behaviours["/jwks"] = document(server.jwks(), content_type)
    assert make().verify(token()).subject


def test_one_malformed_key_is_skipped_on_its_own(
    make: Make, server: IssuerServer, token: Token, events: list[Event]
) -> None:
    broken = [None, 7, {}, {"kty": "EC", "kid": "x"}, {**FIRST.public_jwk(), "kid": "y", "x": "?"}]
    server.behaviours["/jwks"] = document({"keys": [*broken, FIRST.public_jwk()]})
    assert make().verify(token()).subject
    assert (events[0].keys, events[0].skipped) == (1, 5)


# Where keys are looked for.


def test_metadata_stands_between_host_and_path(make: Make, token: Token) -> None:
    with IssuerServer(FIRST, path="/tenants/one") as server:
        subject = make(issuer=server.issuer)
        assert subject.verify(token(iss=server.issuer)).subject
        assert server.requests == [f"{METADATA}/tenants/one", "/jwks"]


def test_a_trailing_slash_is_the_issuers_own_but_not_the_addresss(make: Make, token: Token) -> None:
    with IssuerServer(FIRST, path="/one/") as server:
        server.behaviours[f"{METADATA}/one"] = document(server.metadata())
        assert make(issuer=server.issuer).verify(token(iss=server.issuer)).subject


def test_openid_metadata_is_found_after_the_path(make: Make, token: Token) -> None:
    with IssuerServer(FIRST, path="/one") as server:
        server.behaviours[f"{METADATA}/one"] = status(404)
        server.behaviours[f"/one{OIDC_METADATA}"] = document(server.metadata())
        assert make(issuer=server.issuer).verify(token(iss=server.issuer)).subject
        assert server.requests == [f"{METADATA}/one", f"/one{OIDC_METADATA}", "/jwks"]


@pytest.mark.parametrize(
    "fallback", [status(403), document(b"<html>", "text/html"), document(b"[]"), document(b"?")]
)
def test_a_server_may_answer_anything_where_the_metadata_is_not(
    fallback: Behaviour, make: Make, server: IssuerServer, token: Token
) -> None:
    server.behaviours[METADATA] = fallback
    server.behaviours[OIDC_METADATA] = document(server.metadata())
    assert make().verify(token()).subject


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"issuer": "https://somebody.else"}, FetchFailure.ISSUER_MISMATCH),
        ({"issuer": None}, FetchFailure.ISSUER_MISMATCH),
        ({"jwks_uri": None}, FetchFailure.WRONG_CONTENT),
        ({"jwks_uri": "/jwks"}, FetchFailure.INSECURE_ADDRESS),
        ({"jwks_uri": "file:///etc/passwd"}, FetchFailure.INSECURE_ADDRESS),
        ({"jwks_uri": "http://keys.example.com/jwks"}, FetchFailure.INSECURE_ADDRESS),
        ({"jwks_uri": "https://user:secret@localhost/"}, FetchFailure.INSECURE_ADDRESS),
        ({"jwks_uri": "https://localhost:x/"}, FetchFailure.INSECURE_ADDRESS),
    ],
)
def test_metadata_is_refused(
    changes: dict[str, Any],
    failure: FetchFailure,
    make: Make,
    server: IssuerServer,
    token: Token,
) -> None:
    server.behaviours[METADATA] = document(server.metadata(**changes))
    subject = make()
    with pytest.raises(KeysUnavailable):
        subject.verify(token())
    assert subject.health().last_error is failure
    assert server.count() == 0


@pytest.mark.parametrize("host", ["a..b", ".", "l" * 64 + ".example"])
def test_a_host_that_cannot_be_looked_up_is_forgotten_like_any_other(
    host: str, make: Make, server: IssuerServer, token: Token, clock: ManualClock
) -> None:
    server.behaviours[METADATA] = document(server.metadata(jwks_uri=f"https://{host}/jwks"))
    subject = make(cooldown=timedelta(seconds=30))
    with pytest.raises(KeysUnavailable):
        subject.verify(token())
    assert subject.health().last_error is FetchFailure.UNREACHABLE
    del server.behaviours[METADATA]
    clock.advance(timedelta(seconds=31))
    assert subject.verify(token()).subject


def test_an_issuer_without_metadata_has_no_keys(
    make: Make, server: IssuerServer, token: Token
) -> None:
    server.behaviours[METADATA] = status(404)
    subject = make()
    with pytest.raises(KeysUnavailable):
        subject.verify(token())
    assert subject.health().last_error is FetchFailure.NO_METADATA


def test_metadata_that_names_a_member_twice_is_refused(
    make: Make, server: IssuerServer, token: Token
) -> None:
    doubled = json.dumps(server.metadata())[:-1] + ', "jwks_uri": "https://somebody.else"}'
    server.behaviours[METADATA] = document(doubled.encode())
    subject = make()
    with pytest.raises(KeysUnavailable):
        subject.verify(token())
    assert subject.health().last_error is FetchFailure.WRONG_CONTENT


def test_an_issuer_that_speaks_no_tls_is_unreachable(
    make: Make, server: IssuerServer, token: Token
) -> None:
    subject = make(issuer=server.issuer.replace("http://", "https://"))
    with pytest.raises(KeysUnavailable):
        subject.verify(token(iss=subject.verifier.issuer))
    assert subject.health().last_error is FetchFailure.UNREACHABLE


def test_a_certificate_nobody_vouches_for_is_refused(
    make: Make, token: Token, tls_issuer: str
) -> None:
    subject = make(issuer=tls_issuer)
    with pytest.raises(KeysUnavailable):
        subject.verify(token(iss=tls_issuer))
    assert subject.health().last_error is FetchFailure.UNREACHABLE


def test_a_certificate_of_a_trusted_authority_is_accepted(
    make: Make,
    token: Token,
    tls_issuer: str,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = tmp_path / "authority.pem"
    bundle.write_bytes(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert make(issuer=tls_issuer).verify(token(iss=tls_issuer)).subject


def test_nothing_in_the_environment_sends_us_elsewhere(
    make: Make, server: IssuerServer, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{unused.getsockname()[1]}"
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy)
        assert make().verify(token()).subject
    assert server.count() == 1


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "iam.example.com",
        "ftp://iam.example.com",
        "https://",
        "https:///path",
        "https://iam.example.com?x=1",
        "https://iam.example.com?",
        "https://iam.example.com#here",
        "https://user@iam.example.com",
        "https://iam.example.com:port",
        "https://iam.example.com/\u00e9",
        "https://iam.example.com/a b",
        "https://iam.example.com\\@elsewhere",
        " https://iam.example.com",
        "https://[::1",
        "http://iam.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
    ],
)
@pytest.mark.parametrize("kind", [ThreadSubject, TaskSubject])
def test_an_issuer_that_cannot_be_asked_safely_is_a_mistake(
    issuer: str, kind: type[ThreadSubject | TaskSubject]
) -> None:
    with pytest.raises(ConfigurationError):
        kind(issuer, audience=AUDIENCE)


@pytest.mark.parametrize(
    "issuer",
    [
        "https://iam.example.com",
        "https://iam.example.com:8443/tenant",
        "http://localhost:8000",
        "http://iam.localhost",
        "http://127.0.0.1:8000",
        "http://127.8.9.10",
        "http://[::1]:8000",
    ],
)
def test_https_and_loopback_are_safe(issuer: str, make: Make) -> None:
    assert make(issuer=issuer).verifier.issuer == issuer


def test_http_elsewhere_is_for_those_who_say_so(make: Make) -> None:
    assert make(issuer="http://iam.internal", allow_insecure_http=True).verifier.issuers


def test_allowing_http_extends_to_the_key_set(
    make: Make, server: IssuerServer, token: Token
) -> None:
    # Nobody answers there, which is all this test may find out.
    elsewhere = "http://0.0.0.0:9/jwks"
    server.behaviours[METADATA] = document(server.metadata(jwks_uri=elsewhere))
    subject = make(allow_insecure_http=True)
    with pytest.raises(KeysUnavailable):
        subject.verify(token())
    assert subject.health().last_error is FetchFailure.UNREACHABLE
