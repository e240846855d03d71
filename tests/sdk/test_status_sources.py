"""Lists that are given, not asked for, and those of LocalIssuer."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Any

import pytest

from apostille import AsyncVerifier, StaticKeys, Verifier
from apostille._issued_status import LIST_SIZE, IssuedStatus
from apostille.clock import ManualClock
from apostille.errors import ConfigurationError, InvalidClaim, RevokedToken, StatusUnavailable
from apostille.status import StaticStatus, UnsafeNoStatus
from apostille.testing import LocalIssuer
from support.minting import AUDIENCE, ISSUER, claims_at, key_of, mint
from support.subjects import eventually

KEY = key_of("ES256")
KEYS = StaticKeys({"keys": [KEY.public_jwk()]})
URI = "https://lists.test/1"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer(audience=AUDIENCE)


def standing_at(clock: ManualClock, index: int, uri: str = URI) -> str:
    status = {"status_list": {"idx": index, "uri": uri}}
    return mint(KEY, claims_at(clock, status=status))


def verifier(clock: ManualClock, **options: Any) -> Verifier:
    return Verifier(ISSUER, audience=AUDIENCE, keys=KEYS, clock=clock, **options)


# StaticStatus


def test_given_lists_are_asked_wherever_they_stand(clock: ManualClock) -> None:
    status = StaticStatus({URI: b"\x02\x80"})
    iam = verifier(clock, status=status)
    for index in (0, 2, 14):
        assert iam.verify(standing_at(clock, index)).subject
    for index in (1, 15):
        with pytest.raises(RevokedToken):
            iam.verify(standing_at(clock, index))
    with pytest.raises(InvalidClaim):
        iam.verify(standing_at(clock, 16))
    assert iam.health().status.lists == 1
    assert repr(status) == "StaticStatus(lists=1)"


def test_replaced_lists_count_at_once_for_every_verifier(clock: ManualClock) -> None:
    status = StaticStatus({URI: bytes(1)})
    one, other = verifier(clock, status=status), verifier(clock, status=status)
    good = standing_at(clock, 0)
    assert one.verify(good) is one.verify(good)
    assert other.verify(good).subject
    status.replace({URI: b"\x01"})
    for iam in (one, other):
        with pytest.raises(RevokedToken):
            iam.verify(good)
    clock.advance(timedelta(minutes=10))
    status.replace({URI: bytes(1)})
    assert one.verify(good).subject  # they do not age


def test_a_list_that_is_not_given_is_no_verdict(clock: ManualClock) -> None:
    status = StaticStatus()
    iam = verifier(clock, status=status)
    good = standing_at(clock, 0)
    for _ in range(2):
        with pytest.raises(StatusUnavailable):
            iam.verify(good)
    status.replace({URI: bytes(1)})
    assert iam.verify(good).subject
    status.replace({})
    with pytest.raises(StatusUnavailable):
        iam.verify(good)
    assert iam.health().status.lists == 0


def test_what_was_given_is_copied(clock: ManualClock) -> None:
    octets = bytearray(1)
    iam = verifier(clock, status=StaticStatus({URI: octets}))
    octets[0] = 1
    assert iam.verify(standing_at(clock, 0)).subject


def test_tokens_without_status_are_not_checked(clock: ManualClock) -> None:
    iam = verifier(clock, status=StaticStatus())
    assert iam.verify(mint(KEY, claims_at(clock))).subject
    iam.close()


def test_lists_are_neither_asked_for_nor_checked_if_the_program_says_so(
    clock: ManualClock,
) -> None:
    iam = verifier(clock, status=UnsafeNoStatus())
    assert iam.verify(standing_at(clock, 10**9, "urn:nowhere")).subject
    assert iam.health().status.lists == 0
    assert repr(UnsafeNoStatus()) == "UnsafeNoStatus()"
    iam.close()


@pytest.mark.parametrize("kind", [Verifier, AsyncVerifier])
def test_another_source_is_a_mistake(kind: Any) -> None:
    with pytest.raises(ConfigurationError):
        kind(ISSUER, audience=AUDIENCE, keys=KEYS, status={URI: b"\x00"})


def test_given_keys_alone_do_not_keep_lists_from_being_asked_for(clock: ManualClock) -> None:
    iam = Verifier("http://127.0.0.1:9", audience=AUDIENCE, keys=KEYS, clock=clock)
    status = {"status_list": {"idx": 0, "uri": "http://127.0.0.1:9/status-lists/1"}}
    with pytest.raises(StatusUnavailable):
        iam.verify(mint(KEY, claims_at(clock, iss=iam.issuer, status=status)))
    assert iam.health().status.last_error == "unreachable"


def test_a_list_is_not_asked_for_over_a_way_that_keys_are_not(clock: ManualClock) -> None:
    iam = Verifier("http://iam.test", audience=AUDIENCE, keys=KEYS, clock=clock)
    status = {"status_list": {"idx": 0, "uri": "http://iam.test/status-lists/1"}}
    with pytest.raises(StatusUnavailable):
        iam.verify(mint(KEY, claims_at(clock, iss=iam.issuer, status=status)))
    assert iam.health().status.last_error == "insecure_address"


# LocalIssuer


def test_a_revoked_token_is_refused_at_once(issuer: LocalIssuer) -> None:
    iam = issuer.verifier()
    token = issuer.token(revocable=True, permissions=["inventory.read"])
    other = issuer.token(revocable=True, session="another")
    assert iam.verify(token).has("inventory.read")
    issuer.revoke(token)
    with pytest.raises(RevokedToken):
        iam.verify(token)
    assert iam.verify(other).subject


def test_an_asynchronous_verifier_refuses_it_too(issuer: LocalIssuer) -> None:
    token = issuer.token(revocable=True)
    issuer.revoke(token)
    with pytest.raises(RevokedToken):
        asyncio.run(issuer.async_verifier().verify(token))


def test_a_session_is_revoked_with_all_its_tokens_and_later_ones_are_good(
    issuer: LocalIssuer,
) -> None:
    iam = issuer.verifier()
    tokens = [issuer.token(revocable=True, session="s", jti=str(number)) for number in range(3)]
    assert len({iam.verify(token).claims.status for token in tokens}) == 1
    issuer.revoke("s")
    for token in tokens:
        with pytest.raises(RevokedToken):
            iam.verify(token)
    assert iam.verify(issuer.token(revocable=True, session="s")).subject


@pytest.mark.parametrize("what", ["unheard of", "", "a.b.c", "e30.e30.e30"])
def test_a_session_without_revocable_tokens_cannot_be_revoked(
    issuer: LocalIssuer, what: str
) -> None:
    with pytest.raises(ConfigurationError):
        issuer.revoke(what)
    with pytest.raises(ConfigurationError):
        issuer.revoke(issuer.token())


def test_a_revocable_token_needs_a_session(issuer: LocalIssuer) -> None:
    with pytest.raises(ConfigurationError):
        issuer.token(revocable=True, session=None)


def test_usual_tokens_name_no_list(issuer: LocalIssuer) -> None:
    assert not issuer.principal().claims.status
    assert issuer.principal(revocable=True).claims.status


def test_a_verifier_that_stands_in_follows_revocations(issuer: LocalIssuer) -> None:
    iam = Verifier("https://iam.example.com", audience=AUDIENCE)
    with issuer.stand_in_for(iam):
        token = issuer.token(revocable=True)
        assert iam.verify(token).subject
        issuer.revoke(token)
        with pytest.raises(RevokedToken):
            iam.verify(token)


def test_a_session_stands_in_the_lists_of_each_name_of_the_issuer(issuer: LocalIssuer) -> None:
    own = issuer.verifier()
    token = issuer.token(revocable=True, session="s")
    iam = Verifier("https://iam.example.com", audience=AUDIENCE)
    with issuer.stand_in_for(iam):
        assert iam.verify(issuer.token(revocable=True, session="s")).subject
        issuer.revoke("s")
    with pytest.raises(RevokedToken):
        own.verify(token)


def test_services_that_fetch_the_list_refuse_within_seconds(issuer: LocalIssuer) -> None:
    with issuer.serve() as url, Verifier(url, audience=AUDIENCE) as iam:
        token = issuer.token(revocable=True)
        assert iam.verify(token).session
        issuer.revoke(token)

        def is_refused() -> bool:
            try:
                iam.verify(token)
            except RevokedToken:
                return True
            return False

        eventually(is_refused)


def test_there_are_as_many_lists_as_it_takes() -> None:
    sessions = IssuedStatus()
    for number in (0, 1, LIST_SIZE - 1, LIST_SIZE):
        sessions._count = number
        reference = sessions.reference(ISSUER, str(number))
        assert reference["uri"].endswith("/2" if number == LIST_SIZE else "/1")
        assert reference["idx"] == math.fmod(number, LIST_SIZE)
