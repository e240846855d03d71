"""Races and corners that the other tests do not come by."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import httpcore
import pytest

from apostille import AsyncVerifier, StaticKeys, Verifier, _fetch_async, _fetch_sync, _fork
from apostille._address import is_safe_address
from apostille._supply import FetchedKeys
from apostille.clock import ManualClock
from apostille.errors import (
    ConfigurationError,
    ExpiredToken,
    KeysUnavailable,
    MalformedToken,
    UnknownKey,
)
from apostille.events import FetchFailure
from support.http_server import METADATA, IssuerServer, document
from support.minting import AUDIENCE, ISSUER, claims_at, key_of, mint
from support.subjects import Make, Token, settle
from support.tls import Authority

FIRST = key_of("ES256", "first")
SECOND = key_of("ES256", "second")


@pytest.mark.parametrize("kind", [Verifier, AsyncVerifier])
def test_the_short_way_of_a_repeated_token(kind: Any, clock: ManualClock) -> None:
    keys = StaticKeys({"keys": [FIRST.public_jwk()]})
    verifier = kind(ISSUER, audience=AUDIENCE, keys=keys, clock=clock)
    token = mint(FIRST, claims_at(clock))

    def run(result: Any) -> Any:
        return asyncio.run(result) if asyncio.iscoroutine(result) else result

    assert run(verifier.verify(token)) is run(verifier.verify(token))
    clock.shift_wall(timedelta(hours=1))
    with pytest.raises(ExpiredToken):
        run(verifier.verify(token))
    with pytest.raises(MalformedToken):
        run(verifier.verify(["unhashable"]))


def test_keys_replaced_while_they_are_looked_after_count_at_once(
    server: IssuerServer, clock: ManualClock, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = Verifier(server.issuer, audience=AUDIENCE, clock=clock)
    good = token()
    verifier.verify(good)
    server.keys = [SECOND]
    clock.advance(timedelta(minutes=4))
    tend = FetchedKeys.tend

    def slow(keys: FetchedKeys, *arguments: Any) -> Any:
        attempt = tend(keys, *arguments)
        settle(verifier)  # the fetch in the background is faster than we are
        return attempt

    monkeypatch.setattr(FetchedKeys, "tend", slow)
    with pytest.raises(UnknownKey):
        verifier.verify(good)


def test_an_https_issuer_does_not_name_keys_at_http(make: Make, token: Token) -> None:
    authority = Authority()
    with (
        IssuerServer(FIRST) as plain,
        IssuerServer(FIRST, tls=authority.server_context()) as server,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setattr("httpcore._sync.connection.default_ssl_context", authority.client_context)
        patched.setattr("httpcore._async.connection.default_ssl_context", authority.client_context)
        server.behaviours[METADATA] = document(server.metadata(jwks_uri=f"{plain.origin}/jwks"))
        subject = make(issuer=server.issuer)
        with pytest.raises(KeysUnavailable):
            subject.verify(token(iss=server.issuer))
        assert subject.health().last_error is FetchFailure.INSECURE_ADDRESS
        assert plain.requests == []
    assert not is_safe_address(7, issuer="https://a", allow_insecure_http=True)


def test_nothing_is_read_or_written_after_the_deadline() -> None:
    past = time.monotonic() - 1
    stream = _fetch_sync._DeadlineStream(httpcore.MockStream([b"late"]), past)
    for call in (lambda: stream.read(10), lambda: stream.write(b"late")):
        with pytest.raises(httpcore.TimeoutException):
            call()
    other = _fetch_async._DeadlineStream(httpcore.AsyncMockStream([b"late"]), past)
    for late in (other.read(10), other.write(b"late")):
        with pytest.raises(httpcore.TimeoutException):
            asyncio.run(late)


def test_what_a_child_does_first_harms_no_parent(
    server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    """A fork runs this in the child, where no coverage is measured."""
    verifier = Verifier(server.issuer, audience=AUDIENCE, clock=clock)
    keys = StaticKeys({"keys": [FIRST.public_jwk()]})
    good = token()
    _fork._in_child()
    assert verifier.verify(good).subject
    keys.replace({"keys": [SECOND.public_jwk()]})
    assert repr(keys) == "StaticKeys(keys=1)"


def test_lists_are_no_permission_names(clock: ManualClock) -> None:
    keys = StaticKeys({"keys": [FIRST.public_jwk()]})
    somebody = Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock).verify(
        mint(FIRST, claims_at(clock))
    )
    for ask in (somebody.has, somebody.has_any, somebody.require):
        with pytest.raises(ConfigurationError, match="one by one"):
            ask(["inventory.read"])  # type: ignore[arg-type]
