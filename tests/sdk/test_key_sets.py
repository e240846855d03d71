"""Sets of keys: what is kept, what is left out, and keys that are given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apostille import StaticKeys, Verifier
from apostille._keyring import EMPTY_KEYRING, InvalidKeySet, read_key_set
from apostille._signing import SigningKey
from apostille.clock import ManualClock
from apostille.errors import ConfigurationError, KeysUnavailable, UnknownKey
from support.minting import AUDIENCE, ISSUER, claims_at, key_of, mint

EC = key_of("ES256").public_jwk()
RSA = key_of("RS256").public_jwk()
OKP = key_of("EdDSA").public_jwk()


# Sets.


def test_a_set_keeps_what_is_usable() -> None:
    keyring = read_key_set(json.dumps({"keys": [EC, {**RSA, "use": "enc"}, OKP]}).encode())
    assert set(keyring.keys) == {EC["kid"], OKP["kid"]}
    assert keyring.faults == ("keys[1]: the key's use is not sig",)
    assert repr(keyring) == "Keyring(keys=2, faults=1)"


@pytest.mark.parametrize(
    "second",
    [
        {**RSA, "kid": EC["kid"]},
        EC,
        {**EC, "use": "enc"},
        {"kid": EC["kid"]},
        {"kid": EC["kid"], "kty": "oct", "k": "AAAA"},
    ],
    ids=["another key", "the same", "for encryption", "malformed", "symmetric"],
)
def test_keys_that_share_a_kid_are_all_left_out(second: dict[str, Any]) -> None:
    keyring = read_key_set(json.dumps({"keys": [EC, second, OKP]}).encode())
    assert set(keyring.keys) == {OKP["kid"]}
    assert len(keyring.faults) == 2


def test_a_key_that_names_a_member_twice_is_left_out_alone() -> None:
    doubled = json.dumps(EC)[:-1] + ', "alg": "ES256"}'
    keyring = read_key_set(f'{{"keys": [{doubled}, {json.dumps(OKP)}]}}'.encode())
    assert set(keyring.keys) == {OKP["kid"]}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys":null}',
        b'{"keys":{}}',
        b'{"keys":[],"keys":[]}',
        b"\xff",
        b"NaN",
    ],
)
def test_what_is_no_set(document: bytes) -> None:
    with pytest.raises(InvalidKeySet):
        read_key_set(document)


def test_sets_are_equal_if_their_keys_are() -> None:
    one = read_key_set(json.dumps({"keys": [EC, OKP]}).encode())
    other = read_key_set(json.dumps({"keys": [OKP, {}, EC]}).encode())
    assert one == other
    assert hash(one) == hash(other)
    assert one != read_key_set(json.dumps({"keys": [EC]}).encode())
    assert one != read_key_set(json.dumps({"keys": [{**EC, "kid": "x"}, OKP]}).encode())
    assert read_key_set(json.dumps({"keys": [RSA]}).encode()) != read_key_set(
        json.dumps({"keys": [{**RSA, "alg": "PS256"}]}).encode()
    )
    assert one != "a set"
    assert not EMPTY_KEYRING


# Given keys.


@pytest.mark.parametrize(
    "form", [lambda jwks: jwks, json.dumps, lambda jwks: json.dumps(jwks).encode()]
)
def test_given_keys_come_decoded_or_not(form: Any, clock: ManualClock) -> None:
    keys = StaticKeys(form({"keys": [EC]}))
    assert repr(keys) == "StaticKeys(keys=1)"
    verifier = Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock)
    assert verifier.verify(mint(key_of("ES256"), claims_at(clock))).subject


@pytest.mark.parametrize(
    "jwks",
    [
        "",
        "[]",
        b"\xff",
        "{",
        {},
        {"keys": 7},
        {"keys": {1, 2}},
        None,
        7,
        {"keys": [{}]},
        {"keys": [{**EC, "d": "AQ"}]},
        "�",
    ],
)
def test_given_keys_that_are_none_are_a_mistake(jwks: Any) -> None:
    with pytest.raises(ConfigurationError):
        StaticKeys(jwks)


def test_replaced_keys_count_at_once_and_for_everybody(clock: ManualClock) -> None:
    first, second = SigningKey.generate("ES256"), SigningKey.generate("ES256")
    keys = StaticKeys({"keys": [first.public_jwk()]})
    verifiers = [Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock) for _ in range(3)]
    old, new = mint(first, claims_at(clock)), mint(second, claims_at(clock))
    for verifier in verifiers:
        verifier.verify(old)
    keys.replace({"keys": [second.public_jwk()]})
    for verifier in verifiers:
        assert verifier.verify(new).subject
        with pytest.raises(UnknownKey):
            verifier.verify(old)


def test_replacing_keys_by_the_same_keeps_what_they_verified(clock: ManualClock) -> None:
    keys = StaticKeys({"keys": [EC]})
    verifier = Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock)
    token = mint(key_of("ES256"), claims_at(clock))
    principal = verifier.verify(token)
    keys.replace({"keys": [EC]})
    assert verifier.verify(token) is principal


def test_keys_that_were_not_accepted_replace_nothing(clock: ManualClock) -> None:
    keys = StaticKeys({"keys": [EC]})
    verifier = Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock)
    with pytest.raises(ConfigurationError):
        keys.replace({"keys": [{}]})
    assert verifier.verify(mint(key_of("ES256"), claims_at(clock))).subject


def test_without_any_keys_yet_nobody_is_judged(clock: ManualClock) -> None:
    keys = StaticKeys({"keys": []})
    verifier = Verifier(ISSUER, audience=AUDIENCE, keys=keys, clock=clock)
    token = mint(key_of("ES256"), claims_at(clock))
    assert not verifier.health().ready
    for call in (lambda: verifier.verify(token), verifier.warm):
        with pytest.raises(KeysUnavailable):
            call()
    keys.replace({"keys": [EC]})
    verifier.warm()
    assert verifier.verify(token).subject
    assert verifier.health().ready
    verifier.close()


def test_a_verifier_that_is_gone_is_not_told() -> None:
    keys = StaticKeys({"keys": [EC]})
    Verifier(ISSUER, audience=AUDIENCE, keys=keys)
    keys.replace({"keys": [OKP]})
    assert keys._watchers == []
