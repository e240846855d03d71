"""Which public keys are usable, and for which one algorithm."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from apostille._jwk import UnusableKey, parse_key
from apostille._roca import is_roca_weak
from apostille._signing import b64url
from apostille.errors import BadSignature
from support.minting import key_of
from support.published import published

EC = key_of("ES256").public_jwk()
RSA = key_of("RS256").public_jwk()
OKP = key_of("EdDSA").public_jwk()


def octets(number: int) -> str:
    return b64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def without(jwk: dict[str, str], *names: str) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name not in names}


def rsa_jwk(bits: int, exponent: int = 65537) -> dict[str, str]:
    numbers = rsa.generate_private_key(exponent, bits).public_key().public_numbers()
    return {**RSA, "n": octets(numbers.n), "e": octets(numbers.e)}


# Usable.


@pytest.mark.parametrize(
    ("jwk", "names"),
    [
        (EC, {"ES256"}),
        (without(EC, "alg", "use"), {"ES256"}),
        (RSA, {"RS256"}),
        (without(RSA, "alg"), {"RS256"}),
        ({**RSA, "alg": "PS256"}, {"PS256"}),
        (OKP, {"EdDSA", "Ed25519"}),
        (without(OKP, "alg"), {"EdDSA", "Ed25519"}),
        ({**OKP, "alg": "Ed25519"}, {"EdDSA", "Ed25519"}),
        ({**EC, "key_ops": ["verify"]}, {"ES256"}),
        ({**EC, "x5c": ["not read"], "x5t": 7, "anything": {}}, {"ES256"}),
    ],
)
def test_a_key_has_exactly_one_algorithm(jwk: dict[str, Any], names: set[str]) -> None:
    assert parse_key(jwk).algorithm_names == names


# Unusable.


@pytest.mark.parametrize("jwk", [None, 7, "EC", [], {}, {"kty": "EC"}])
def test_what_is_no_key(jwk: object) -> None:
    with pytest.raises(UnusableKey):
        parse_key(jwk)


@pytest.mark.parametrize(
    "changes",
    [
        {"kid": None},
        {"kid": ""},
        {"kid": 7},
        {"kid": ["k"]},
        {"kty": None},
        {"kty": "RSA"},
        {"kty": "OKP"},
        {"kty": "oct"},
        {"kty": "ec"},
        {"kty": ["EC"]},
        {"kty": {}},
        {"crv": None},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"crv": ["P-256"]},
        {"alg": None},
        {"alg": "ES384"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": ["ES256"]},
        {"use": None},
        {"use": "enc"},
        {"use": "SIG"},
        {"use": ["sig"]},
        {"key_ops": None},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"key_ops": ["sign"]},
        {"key_ops": ["encrypt"]},
        {"x": None},
        {"x": 7},
        {"x": ""},
        {"x": "?"},
        {"x": EC["x"] + "="},
        {"x": EC["x"] + "AA"},
        {"x": "\u00e9" + EC["x"][1:]},
        {"x": EC["y"]},
        {"x": b64url(bytes(32)), "y": b64url(bytes(32))},
        {"y": b64url(bytes(31))},
        {"y": EC["x"]},
        {"d": b64url(bytes(32))},
        {"k": "AAAA"},
        {"p": "AQ"},
        {"priv": "AQ"},
    ],
)
def test_an_ec_key_is_left_out(changes: dict[str, object]) -> None:
    with pytest.raises(UnusableKey):
        parse_key({**EC, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"crv": "Ed448"},
        {"crv": "X25519"},
        {"crv": None},
        {"alg": "ES256"},
        {"alg": "Ed448"},
        {"alg": ["EdDSA"]},
        {"x": b64url(bytes(31))},
        {"x": b64url(bytes(33))},
        {"x": None},
        {"d": OKP["x"]},
    ],
)
def test_an_okp_key_is_left_out(changes: dict[str, object]) -> None:
    with pytest.raises(UnusableKey):
        parse_key({**OKP, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"alg": "RS384"},
        {"alg": "PS512"},
        {"alg": "RSA-OAEP"},
        {"alg": "RS1"},
        {"alg": ["RS256"]},
        {"n": ""},
        {"n": None},
        {"n": b64url(bytes(256))},
        {"n": b64url(bytes(1) + bytes([255]) * 256)},
        {"n": octets((1 << 2048) - 2)},
        {"n": octets((1 << 2047) - 1)},
        {"n": octets((1 << 8192) + 1)},
        {"e": ""},
        {"e": "AA"},
        {"e": "AQ"},
        {"e": "Ag"},
        {"e": b64url(b"\0\1\0\1")},
        {"e": octets(65536)},
        {"e": octets((1 << 64) + 1)},
        {"d": "AQAB"},
        {"qi": "AQAB"},
        {"oth": []},
    ],
)
def test_an_rsa_key_is_left_out(changes: dict[str, object]) -> None:
    with pytest.raises(UnusableKey):
        parse_key({**RSA, **changes})


def test_rsa_sizes_at_their_boundaries() -> None:
    assert parse_key(rsa_jwk(2048)).algorithm_names == {"RS256"}
    assert parse_key(rsa_jwk(2048, 3)).algorithm_names == {"RS256"}
    with pytest.raises(UnusableKey):
        parse_key(rsa_jwk(2047))
    with pytest.raises(UnusableKey):
        parse_key(rsa_jwk(1024))
    largest = (1 << 8192) - 1  # nobody's key, but of an acceptable size
    assert parse_key({**RSA, "n": octets(largest)}).algorithm_names == {"RS256"}


def test_roca_moduli_are_left_out() -> None:
    """CVE-2017-15361: made by a smart card, and factored by anybody with some patience."""
    groups = published("wycheproof_json_web_key_test.json")["testGroups"]
    (weak,) = [group for group in groups if group["comment"] == "jws_rsa_roca_key"]
    with pytest.raises(UnusableKey, match="ROCA"):
        parse_key(weak["public"]["keys"][0])


def test_ordinary_moduli_are_not_taken_for_roca() -> None:
    for _ in range(3):
        assert not is_roca_weak(
            rsa.generate_private_key(65537, 2048).public_key().public_numbers().n
        )


def test_a_key_the_cryptographic_library_refuses_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: bytes) -> ed25519.Ed25519PublicKey:
        raise UnsupportedAlgorithm("not in FIPS mode")

    monkeypatch.setattr(ed25519.Ed25519PublicKey, "from_public_bytes", refuse)
    with pytest.raises(UnusableKey, match="cryptographic library"):
        parse_key(OKP)


def test_the_reason_names_nothing_out_of_the_key() -> None:
    for jwk in ({**EC, "x": "c2VjcmV0"}, {**EC, "d": "c2VjcmV0"}, {**RSA, "n": "c2VjcmV0"}):
        with pytest.raises(UnusableKey) as refused:
            parse_key(jwk)
        assert "c2VjcmV0" not in str(refused.value)


# Signatures.


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256", "PS256"])
@pytest.mark.parametrize("octet_count", [0, 1, 32, 63, 64, 65, 96, 255, 256, 257, 512, 4000])
def test_a_signature_of_any_other_length_is_bad(algorithm: Any, octet_count: int) -> None:
    key = parse_key(key_of(algorithm).public_jwk())
    for filling in (b"\x00", b"\x01", b"\xff"):
        with pytest.raises(BadSignature):
            key.check(filling * octet_count, b"message")


def test_r_and_s_of_every_length_are_encoded() -> None:
    """A leading zero in r or s, or a set high bit, changes the DER around it."""
    signer = key_of("ES256")
    key = parse_key(signer.public_jwk())
    seen: set[tuple[bool, bool, bool, bool]] = set()
    for number in range(6000):
        message = number.to_bytes(2, "big")
        signature = signer.sign(message)
        key.check(signature, message)
        r, s = signature[:32], signature[32:]
        seen.add((r[0] == 0, r[0] > 127, s[0] == 0, s[0] > 127))
        if len(seen) == 9:
            break
    assert {(False, True, False, True), (False, False, False, False)} <= seen
    for bad in (bytes(64), bytes(32) + s, r + bytes(32), b"\xff" * 64):
        with pytest.raises(BadSignature):
            key.check(bad, message)


def test_the_other_half_of_an_ecdsa_signature_holds_too() -> None:
    """(r, n - s) is as good as (r, s): a token is never told by its hash."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    signer = key_of("ES256")
    signature = signer.sign(b"message")
    other = order - int.from_bytes(signature[32:], "big")
    parse_key(signer.public_jwk()).check(signature[:32] + other.to_bytes(32, "big"), b"message")


def test_pss_wants_a_salt_as_long_as_the_hash() -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    signer = key_of("PS256")
    assert isinstance(signer.private_key, rsa.RSAPrivateKey)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=20)
    signature = signer.private_key.sign(b"message", scheme, hashes.SHA256())
    with pytest.raises(BadSignature):
        parse_key(signer.public_jwk()).check(signature, b"message")
