"""The cache of verified tokens: bounded, whole-token keys, never a second opinion."""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from typing import Any

import pytest

from apostille import StaticKeys, Verifier
from apostille._snapshot import HeaderCache, TokenCache
from apostille.clock import ManualClock
from apostille.errors import BadSignature, ExpiredToken, NotYetValid
from apostille.principal import Principal, VerifiedClaims
from support.minting import AUDIENCE, ISSUER, claims_at, key_of, mint

KEY = key_of("ES256")
SOMEBODY: Any = (object(), 0.0, 1.0)


def make(clock: ManualClock, **options: Any) -> Verifier:
    keys = StaticKeys({"keys": [KEY.public_jwk()]})
    return Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock, **options)


def test_a_repeated_token_is_the_same_principal(clock: ManualClock) -> None:
    verifier = make(clock)
    token = mint(KEY, claims_at(clock))
    assert verifier.verify(token) is verifier.verify("".join(list(token)))


@pytest.mark.parametrize("size", [1, 2, 3, 10, 101])
def test_it_never_holds_more_than_its_bound(size: int) -> None:
    cache = TokenCache(size)
    for number in range(size * 5):
        cache.add(str(number), SOMEBODY)
        assert len(cache) <= size + size % 2
    assert cache.holds(str(size * 5 - 1))


def test_it_keeps_what_is_used(clock: ManualClock) -> None:
    verifier = make(clock, cache_size=10)
    favourite = mint(KEY, claims_at(clock, jti="favourite"))
    principal = verifier.verify(favourite)
    for number in range(100):
        verifier.verify(mint(KEY, claims_at(clock, jti=str(number))))
        assert verifier.verify(favourite) is principal


def test_size_zero_is_no_cache(clock: ManualClock) -> None:
    verifier = make(clock, cache_size=0)
    token = mint(KEY, claims_at(clock))
    first = verifier.verify(token)
    assert verifier.verify(token) == first
    assert verifier.verify(token) is not first


def test_what_was_refused_is_not_remembered(clock: ManualClock) -> None:
    verifier = make(clock)
    with pytest.raises(ExpiredToken):
        verifier.verify(mint(KEY, claims_at(clock, exp=1)))
    token = mint(KEY, claims_at(clock))
    with pytest.raises(BadSignature):
        verifier.verify(token[:-10] + "A" * 10)
    assert len(verifier._supply.snapshot.tokens) == 0


def test_one_letter_makes_another_token(clock: ManualClock) -> None:
    verifier = make(clock)
    token = mint(KEY, claims_at(clock))
    verifier.verify(token)
    for position in range(0, len(token), 7):
        other = "B" if token[position] == "A" else "A"
        with pytest.raises(Exception) as refused:  # noqa: PT011 - which one depends on the place
            verifier.verify(token[:position] + other + token[position + 1 :])
        assert isinstance(refused.value, Exception)


def test_a_remembered_token_ends_and_begins_with_its_times(clock: ManualClock) -> None:
    verifier = make(clock, leeway=timedelta(0))
    token = mint(KEY, claims_at(clock))
    verifier.verify(token)
    clock.shift_wall(timedelta(hours=-1))
    with pytest.raises(NotYetValid):
        verifier.verify(token)
    clock.shift_wall(timedelta(hours=2))
    with pytest.raises(ExpiredToken):
        verifier.verify(token)
    clock.shift_wall(timedelta(hours=-1))
    assert verifier.verify(token).subject


def test_two_verifiers_share_no_verdict(clock: ManualClock) -> None:
    keys = StaticKeys({"keys": [KEY.public_jwk()]})
    here = Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock)
    there = Verifier(ISSUER, audience="elsewhere", keys=keys, clock=clock)
    token = mint(KEY, claims_at(clock))
    here.verify(token)
    with pytest.raises(Exception, match="another service"):
        there.verify(token)


def test_many_threads_lose_no_check(clock: ManualClock) -> None:
    verifier = make(clock, cache_size=8)
    good = [mint(KEY, claims_at(clock, jti=str(number))) for number in range(20)]
    bad = [token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB") for token in good]
    wrong: list[str] = []

    def run() -> None:
        for _ in range(5):
            for token, forged in zip(good, bad, strict=True):
                if not verifier.verify(token).has("inventory.read"):
                    wrong.append(token)
                try:
                    verifier.verify(forged)
                    wrong.append(forged)
                except BadSignature:
                    pass

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert len(verifier._supply.snapshot.tokens) <= 8 + len(threads)


def test_headers_are_remembered_only_after_a_signature_held_and_within_a_bound(
    clock: ManualClock,
) -> None:
    verifier = make(clock)
    headers = verifier._supply.snapshot.headers
    token = mint(KEY, claims_at(clock))
    with pytest.raises(BadSignature):
        verifier.verify(token[:-10] + "A" * 10)
    assert headers._keys == {}
    for number in range(HeaderCache.LIMIT + 10):
        assert verifier.verify(mint(KEY, claims_at(clock), {"n": str(number)})).subject
    assert len(headers._keys) == HeaderCache.LIMIT


def test_a_principal_is_made_of_claims(clock: ManualClock) -> None:
    principal = make(clock).verify(mint(KEY, claims_at(clock)))
    assert isinstance(principal, Principal)
    assert isinstance(principal.claims, VerifiedClaims)
