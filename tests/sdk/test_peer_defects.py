"""Defects found in other verification SDKs, one test each: PEERS, last list, by number."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

import apostille
from apostille import AsyncVerifier, StaticKeys, Verifier
from apostille._signing import SigningKey
from apostille.clock import ManualClock
from apostille.errors import (
    AlgorithmNotAllowed,
    BadSignature,
    ExpiredToken,
    InvalidToken,
    KeysUnavailable,
    UnknownKey,
)
from apostille.events import Event, KeyState
from support.http_server import METADATA, IssuerServer, document, status
from support.minting import AUDIENCE, ISSUER, claims_at, key_of, mint
from support.subjects import Make, Token, eventually

FIRST = key_of("ES256", "first")
SECOND = key_of("ES256", "second")


def test_01_an_unknown_kid_during_an_outage_does_not_wipe_fresh_keys(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    """PyJWT up to 2.12, GHSA-fhv5-28vv-h8m8."""
    subject = make()
    subject.verify(token())
    server.stop()
    clock.advance(timedelta(seconds=60))
    with pytest.raises(KeysUnavailable):
        subject.verify(token(SECOND))
    assert subject.verify(token(jti="another")).subject
    assert subject.health().state is KeyState.FRESH


def test_02_unknown_kids_do_not_each_fetch(make: Make, server: IssuerServer, token: Token) -> None:
    """PyJWT's PyJWKClient."""
    subject = make()
    for number in range(100):
        with pytest.raises(UnknownKey):
            subject.verify(token(SECOND, {"kid": str(number)}))
    assert server.count() == 1


def test_03_a_rotation_does_not_break_tokens(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    """auth0-api-python, fastapi-azure-auth."""
    subject = make()
    subject.verify(token())
    server.keys = [SECOND]
    clock.advance(timedelta(seconds=30))
    assert subject.verify(token(SECOND)).subject


def test_04_a_bad_signature_neither_evicts_a_key_nor_fetches(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    """Clerk."""
    subject = make()
    subject.verify(token())
    keyring = subject.verifier._supply.snapshot.keyring
    clock.advance(timedelta(minutes=1))
    with pytest.raises(BadSignature):
        subject.verify(mint(SECOND, claims_at(clock, iss=server.issuer), {"kid": FIRST.kid}))
    assert subject.verifier._supply.snapshot.keyring is keyring
    assert server.count() == 1


def test_05_the_loop_goes_on_while_keys_are_fetched(
    server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    """SuperTokens blocks the loop under a global lock."""
    verifier = AsyncVerifier(server.issuer, audience=AUDIENCE, clock=clock)

    async def scenario() -> None:
        server.gate.clear()
        waiting = asyncio.create_task(verifier.verify(token()))
        await asyncio.to_thread(eventually, lambda: server.count(METADATA))
        for _ in range(100):
            await asyncio.sleep(0)  # the loop turns
        assert not waiting.done()
        server.gate.set()
        assert (await waiting).subject

    asyncio.run(scenario())


@pytest.mark.parametrize("claimed", ["none", "HS256", "PS256", "RS384"])
def test_05_the_algorithm_is_the_keys_and_not_the_tokens(claimed: str, clock: ManualClock) -> None:
    """SuperTokens takes it from the token."""
    key = key_of("RS256")
    verifier = Verifier(
        ISSUER, audience=AUDIENCE, keys=StaticKeys({"keys": [key.public_jwk()]}), clock=clock
    )
    with pytest.raises(AlgorithmNotAllowed):
        verifier.verify(mint(key, claims_at(clock), {"alg": claimed}))


def test_06_the_asynchronous_verifier_is_asynchronous_to_the_bottom() -> None:
    """WorkOS wraps a synchronous client."""
    source = (Path(apostille.__file__).parent / "_fetch_async.py").read_text()
    assert "SyncBackend" not in source
    assert inspect.iscoroutinefunction(AsyncVerifier.verify)
    assert inspect.iscoroutinefunction(AsyncVerifier.warm)


def test_07_unavailable_keys_are_no_verdict_on_the_token(
    make: Make, server: IssuerServer, token: Token
) -> None:
    """Seven of the Python peers answer 401, and clients throw good tokens away."""
    server.behaviours["/jwks"] = status(500)
    with pytest.raises(KeysUnavailable) as refused:
        make().verify(token())
    assert not isinstance(refused.value, InvalidToken)
    assert refused.value.retry_after >= timedelta(seconds=1)


def test_08_keys_of_several_issuers_are_not_one_pool(clock: ManualClock) -> None:
    """keyfunc: issuer A can sign as issuer B."""
    ours, theirs = SigningKey.generate("ES256"), SigningKey.generate("ES256")
    both = Verifier.of(
        Verifier("https://a", audience=AUDIENCE, keys=_keys(ours), clock=clock),
        Verifier("https://b", audience=AUDIENCE, keys=_keys(theirs), clock=clock),
    )
    assert both.verify(mint(ours, claims_at(clock, iss="https://a"))).subject
    with pytest.raises(UnknownKey):
        both.verify(mint(theirs, claims_at(clock, iss="https://a")))


def _keys(key: SigningKey) -> StaticKeys:
    return StaticKeys({"keys": [key.public_jwk()]})


def test_09_one_malformed_key_does_not_fail_the_set(
    make: Make, server: IssuerServer, token: Token
) -> None:
    """Keyfunc."""
    server.behaviours["/jwks"] = document({"keys": [{"kty": "EC"}, 7, FIRST.public_jwk()]})
    assert make().verify(token()).subject


def test_10_a_withdrawn_key_is_not_trusted_for_the_life_of_the_process(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    """aws-jwt-verify; PyJWT with cache_keys."""
    subject = make()
    good = token()
    subject.verify(good)
    server.keys = [SECOND]
    clock.advance(timedelta(minutes=5))
    with pytest.raises(UnknownKey):
        subject.verify(good)


def test_11_the_cooldown_counts_attempts_and_not_successes(
    make: Make, server: IssuerServer, clock: ManualClock, token: Token
) -> None:
    """jose: an outage is hammered."""
    subject = make()
    server.behaviours["/jwks"] = status(503)
    for _ in range(29):
        with pytest.raises(KeysUnavailable):
            subject.verify(token())
        clock.advance(timedelta(seconds=1))
    assert server.count() == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_12_locks_survive_a_fork(server: IssuerServer, clock: ManualClock, token: Token) -> None:
    """None of eighteen peers handles it; more in test_fork."""
    from apostille._supply import FetchedKeys

    verifier = Verifier(server.issuer, audience=AUDIENCE, clock=clock)
    supply = verifier._supply
    assert isinstance(supply, FetchedKeys)
    good = token()
    with supply._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if verifier.verify(good).subject else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_13_permissions_are_answered_from_the_token(clock: ManualClock) -> None:
    """Simplejwt's has_perm is always False; Django's own is tested with its adapter."""
    verifier = Verifier(ISSUER, audience=AUDIENCE, keys=_keys(FIRST), clock=clock)
    somebody = verifier.verify(mint(FIRST, claims_at(clock, permissions=["inventory.*"])))
    assert somebody.has("inventory.write")
    assert not somebody.has("orders.write")


def test_14_leeway_is_thirty_seconds_and_nobody_sleeps(clock: ManualClock) -> None:
    """Okta: 120 seconds, and time.sleep in asynchronous code."""
    verifier = Verifier(ISSUER, audience=AUDIENCE, keys=_keys(FIRST), clock=clock)
    now = int(clock.time())
    with pytest.raises(ExpiredToken):
        verifier.verify(mint(FIRST, claims_at(clock, iat=now - 900, exp=now - 31)))
    for module in Path(apostille.__file__).parent.glob("_*.py"):
        assert "sleep(" not in module.read_text(), module.name


@pytest.mark.parametrize(
    "changes", [{"exp": 1}, {"aud": "other"}, {"iss": "https://other"}, {"sub": 7}]
)
def test_15_a_locally_bad_token_asks_nobody(
    changes: dict[str, object], make: Make, server: IssuerServer, token: Token
) -> None:
    """Stytch."""
    with pytest.raises(InvalidToken):
        make().verify(token(SECOND, **changes))
    assert server.requests == []


def test_16_two_tokens_cannot_collide_in_the_cache(clock: ManualClock) -> None:
    """fast-jwt, GHSA-rp9m-7r4c-75qg: the key of the cache is the whole token."""
    verifier = Verifier(ISSUER, audience=AUDIENCE, keys=_keys(FIRST), clock=clock)
    token = mint(FIRST, claims_at(clock))
    verifier.verify(token)
    assert list(verifier._supply.snapshot.tokens.young) == [token]
    with pytest.raises(InvalidToken):
        verifier.verify(token + "A")


def test_17_no_log_line_and_no_event_carries_a_token(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """azure-auth; airflow #67142."""
    told: list[Event] = []
    verifier = Verifier(
        ISSUER, audience=AUDIENCE, keys=_keys(FIRST), clock=clock, on_event=told.append
    )
    tokens = [mint(FIRST, claims_at(clock)), mint(SECOND, claims_at(clock)), "not.a.token"]
    with caplog.at_level(logging.DEBUG):
        for token in tokens:
            try:
                verifier.verify(token)
            except InvalidToken as error:
                told.append(error)  # type: ignore[arg-type]
    for part in (part for token in tokens for part in token.split(".") if len(part) > 5):
        assert part not in caplog.text
        assert part not in repr(told)


def test_18_no_private_key_is_shipped() -> None:
    """Auth0."""
    for path in Path(apostille.__file__).parent.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            text = path.read_text()
            assert "PRIVATE KEY-----" not in text, path
            assert '"d":' not in text, path


def test_no_thread_stays_behind(make: Make, token: Token) -> None:
    """A refresh thread that lives for ever is what forks lose."""
    subject = make()
    subject.verify(token())
    eventually(
        lambda: not [t for t in threading.enumerate() if t.name == "apostille-fetch"],
    )
