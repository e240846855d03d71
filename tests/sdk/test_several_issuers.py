"""Several issuers in one service: each with its own keys, cache and options."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from apostille import AsyncVerifier, Principal, StaticKeys, Verifier
from apostille._signing import SigningKey
from apostille.clock import ManualClock
from apostille.errors import (
    BadSignature,
    ConfigurationError,
    ExpiredToken,
    InvalidClaim,
    KeysUnavailable,
    MalformedToken,
    TokenTooLarge,
    WrongAudience,
    WrongIssuer,
)
from apostille.events import Event, EventTag, KeyState
from support.http_server import IssuerServer
from support.minting import AUDIENCE, claims_at, key_of, mint

OURS, THEIRS = "https://iam.test", "https://partner.test"
FIRST = SigningKey.generate("ES256")
SECOND = SigningKey.generate("ES256")


def same_kid(key: SigningKey) -> StaticKeys:
    return StaticKeys({"keys": [{**key.public_jwk(), "kid": "1"}]})


class Pair:
    """Both kinds of verifier of two issuers whose keys have the same ``kid``."""

    def __init__(self, kind: type[Verifier | AsyncVerifier], clock: ManualClock) -> None:
        self.events: list[tuple[str, Event]] = []
        self.clock = clock
        self.verifier: Verifier | AsyncVerifier = kind.of(
            self._one(kind, OURS, AUDIENCE, FIRST),
            self._one(kind, THEIRS, [AUDIENCE, "stock"], SECOND),
        )

    def _one(self, kind: Any, issuer: str, audience: Any, key: SigningKey) -> Any:
        def tell(event: Event) -> None:
            self.events.append((issuer, event))

        keys = same_kid(key)
        return kind(issuer, audience=audience, keys=keys, clock=self.clock, on_event=tell)

    def verify(self, token: Any) -> Principal:
        result = self.verifier.verify(token)
        return result if isinstance(result, Principal) else asyncio.run(result)

    def token(self, key: SigningKey, issuer: Any, **changes: Any) -> str:
        return mint(key, claims_at(self.clock, iss=issuer, **changes), {"kid": "1"})


@pytest.fixture(params=[Verifier, AsyncVerifier])
def pair(request: pytest.FixtureRequest, clock: ManualClock) -> Pair:
    return Pair(request.param, clock)


def test_each_issuers_tokens_are_judged_by_its_own_keys(pair: Pair) -> None:
    for key, issuer in ((FIRST, OURS), (SECOND, THEIRS)):
        token = pair.token(key, issuer)
        first = pair.verify(token)
        assert first.claims.iss == issuer
        assert pair.verify(token) is first


def test_one_issuer_cannot_sign_as_the_other(pair: Pair) -> None:
    """The same ``kid`` on both sides changes nothing."""
    for key, issuer in ((SECOND, OURS), (FIRST, THEIRS)):
        with pytest.raises(BadSignature):
            pair.verify(pair.token(key, issuer))


def test_each_issuer_has_its_own_audience(pair: Pair) -> None:
    assert pair.verify(pair.token(SECOND, THEIRS, aud="stock")).subject
    with pytest.raises(WrongAudience):
        pair.verify(pair.token(FIRST, OURS, aud="stock"))


@pytest.mark.parametrize("issuer", ["https://iam.test/", "https://somebody.else", "IAM.TEST", "x"])
def test_another_issuer_is_refused(pair: Pair, issuer: str) -> None:
    with pytest.raises(WrongIssuer):
        pair.verify(pair.token(FIRST, issuer))
    # It is the business of nobody in particular; the first tells of it.
    (told,) = pair.events
    assert told[0] == OURS
    assert told[1].tag is EventTag.TOKEN_REJECTED


@pytest.mark.parametrize("issuer", [7, ["https://iam.test"], None, True, {}])
def test_an_issuer_that_is_no_text_is_refused(pair: Pair, issuer: object) -> None:
    claims = {**claims_at(pair.clock), "iss": issuer}
    with pytest.raises(InvalidClaim) as refused:
        pair.verify(mint(FIRST, claims, {"kid": "1"}))
    assert refused.value.claim == "iss"


@pytest.mark.parametrize(
    "token", ["", "a.b", None, 7, [], b"x", "QQ.QQ.QQ", "QQ.e30=.QQ", "QQ.\xe9.Q"]
)
def test_what_is_no_token_is_malformed(pair: Pair, token: object) -> None:
    with pytest.raises(MalformedToken):
        pair.verify(token)


def test_a_large_one_is_too_large(pair: Pair) -> None:
    with pytest.raises(TokenTooLarge):
        pair.verify("x" * 20_000)


def test_a_remembered_token_expires_all_the_same(pair: Pair) -> None:
    token = pair.token(FIRST, OURS)
    pair.verify(token)
    pair.clock.shift_wall(timedelta(hours=1))
    with pytest.raises(ExpiredToken):
        pair.verify(token)


def test_it_says_whom_it_serves(pair: Pair) -> None:
    assert pair.verifier.issuers == (OURS, THEIRS)
    assert pair.verifier.issuer == OURS
    assert pair.verifier.audience == (AUDIENCE, "stock")
    assert OURS in repr(pair.verifier)


@pytest.mark.parametrize("kind", [Verifier, AsyncVerifier])
def test_no_issuer_and_the_same_twice_are_mistakes(kind: Any) -> None:
    with pytest.raises(ConfigurationError):
        kind.of()
    one = [kind(OURS, audience=AUDIENCE, keys=same_kid(FIRST)) for _ in range(2)]
    with pytest.raises(ConfigurationError):
        kind.of(*one)


def test_choices_nest() -> None:
    inner = Verifier.of(Verifier(OURS, audience=AUDIENCE, keys=same_kid(FIRST)))
    outer = Verifier.of(inner, Verifier(THEIRS, audience=AUDIENCE, keys=same_kid(SECOND)))
    assert outer.issuers == (OURS, THEIRS)


@pytest.mark.parametrize("kind", [Verifier, AsyncVerifier])
def test_one_issuers_outage_is_not_the_others(
    kind: Any, server: IssuerServer, clock: ManualClock
) -> None:
    with IssuerServer(key_of("ES256")) as down:
        pass

    def run(result: Any) -> Any:
        return asyncio.run(result) if asyncio.iscoroutine(result) else result

    both = kind.of(
        kind(down.issuer, audience=AUDIENCE, clock=clock),
        kind(server.issuer, audience=AUDIENCE, clock=clock),
    )
    with pytest.raises(KeysUnavailable):
        run(both.warm())
    assert both.health().state is KeyState.NONE
    assert both.health().issuer == down.issuer
    good = mint(key_of("ES256", "first"), claims_at(clock, iss=server.issuer))
    assert run(both.verify(good)).subject
    assert server.count() == 1  # warm() reached the second although the first failed
    with pytest.raises(KeysUnavailable):
        run(both.verify(mint(key_of("ES256"), claims_at(clock, iss=down.issuer))))
    run(both.close() if kind is Verifier else both.aclose())


@pytest.mark.parametrize("kind", [Verifier, AsyncVerifier])
def test_warming_several_that_are_all_well_raises_nothing(kind: Any) -> None:
    both = kind.of(kind(OURS, audience=AUDIENCE, keys=same_kid(FIRST)))
    result = both.warm()
    if asyncio.iscoroutine(result):
        asyncio.run(result)
    assert both.health().ready
