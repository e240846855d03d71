"""Public keys out of a key set: which are usable, and for which one algorithm. Pure.

A key is bound to exactly one algorithm here, once, and verifies with no
other (RFC 8725 section 3.1): what a token's header says is only compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from ._json import Malformed, decode_base64url
from ._roca import is_roca_weak
from .errors import BadSignature

__all__ = ["UnusableKey", "VerificationKey", "parse_key"]

MIN_RSA_BITS = 2048
"""RFC 7518 sections 3.3 and 3.5."""

MAX_RSA_BITS = 8192
"""Larger keys only buy an attacker our time."""

_MAX_RSA_EXPONENT_BITS = 64

_EDDSA = frozenset({"EdDSA", "Ed25519"})
"""Two names of one algorithm over the curve Ed25519 (RFC 9864 section 2.2)."""

# Members of private and symmetric keys (RFC 7518 section 6, RFC 8037 section 2).
_SECRET_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})

_P256_COORDINATE_BYTES = 32
_SHA256 = SHA256()
_ECDSA = ec.ECDSA(_SHA256)
_PKCS1 = padding.PKCS1v15()
# RFC 7518 section 3.5: MGF1 with the same hash, the salt as long as the hash.
_PSS = padding.PSS(padding.MGF1(_SHA256), salt_length=SHA256.digest_size)

Check = Callable[[bytes, bytes], None]
"""Takes signature and signing input; returns, or raises BadSignature."""


class UnusableKey(ValueError):
    """A JWK that verifies nothing here; the text says why, for the operator."""


class VerificationKey(NamedTuple):
    """A public key that verifies one algorithm."""

    kid: str
    algorithm_names: frozenset[str]
    """What ``alg`` may say in a token of this key: one algorithm, under all its names."""
    check: Check
    identity: tuple[str, str, bytes]
    """Key id, algorithm and key material: equal exactly for equal keys."""


def parse_key(jwk: object) -> VerificationKey:
    """Return the verification key that *jwk* describes.

    Args:
        jwk: One element of a JWK Set, as decoded from JSON.

    Raises:
        UnusableKey: It is malformed, weak, secret, meant for something else,
            or for an algorithm that is not contract v1's.

    See: RFC 7517 section 4; RFC 7518 section 6; RFC 8037 section 2.
    """
    if not isinstance(jwk, dict):
        raise UnusableKey("a key is a JSON object with distinct member names")
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not kid:
        raise UnusableKey("a key needs a kid, a string")
    if not _SECRET_MEMBERS.isdisjoint(jwk):
        raise UnusableKey("private and symmetric keys have no place in a public key set")
    if jwk.get("use", "sig") != "sig":
        raise UnusableKey("the key's use is not sig")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise UnusableKey("the key's operations do not include verify")
    if not isinstance(jwk.get("alg", ""), str):
        raise UnusableKey("the key's alg is no string")
    kty = jwk.get("kty")
    reader = _READERS.get(kty) if isinstance(kty, str) else None
    if reader is None:
        raise UnusableKey("the key's type is none of EC, RSA and OKP")
    try:
        algorithm, names, material, check = reader(jwk)
    except UnsupportedAlgorithm:
        # Such as Ed25519 where OpenSSL runs in FIPS mode.
        raise UnusableKey("the cryptographic library does not support the key") from None
    return VerificationKey(kid, names, check, (kid, algorithm, material))


_Reading = tuple[str, frozenset[str], bytes, Check]


def _read_ec(jwk: Mapping[str, Any]) -> _Reading:
    if jwk.get("crv") != "P-256" or jwk.get("alg", "ES256") != "ES256":
        raise UnusableKey("of elliptic curves only P-256 with ES256 is in contract v1")
    x, y = _octets(jwk, "x"), _octets(jwk, "y")
    if len(x) != _P256_COORDINATE_BYTES or len(y) != _P256_COORDINATE_BYTES:
        raise UnusableKey("a coordinate on P-256 has 32 octets")
    point = b"\x04" + x + y
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise UnusableKey("the point is not on the curve") from None
    return "ES256", frozenset({"ES256"}), point, _ecdsa(key)


def _read_okp(jwk: Mapping[str, Any]) -> _Reading:
    if jwk.get("crv") != "Ed25519" or jwk.get("alg", "EdDSA") not in _EDDSA:
        raise UnusableKey("of octet key pairs only Ed25519 with EdDSA or Ed25519 is in contract v1")
    x = _octets(jwk, "x")
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(x)
    except ValueError:
        raise UnusableKey("an Ed25519 key has 32 octets") from None
    return "EdDSA", _EDDSA, x, _eddsa(key)


def _read_rsa(jwk: Mapping[str, Any]) -> _Reading:
    # Without alg the key must still have exactly one: the one RFC 9068
    # section 2.1 makes mandatory.
    algorithm = jwk.get("alg", "RS256")
    if algorithm not in {"RS256", "PS256"}:
        raise UnusableKey("of RSA only RS256 and PS256 are in contract v1")
    modulus, exponent = _unsigned(jwk, "n"), _unsigned(jwk, "e")
    if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS:
        raise UnusableKey("an RSA key has 2,048 to 8,192 bits")
    if modulus % 2 == 0 or exponent % 2 == 0 or exponent < 3:
        raise UnusableKey("an RSA modulus is odd, and so is its exponent, 3 or more")
    if exponent.bit_length() > _MAX_RSA_EXPONENT_BITS:
        raise UnusableKey("the RSA exponent is needlessly large")
    if is_roca_weak(modulus):
        raise UnusableKey("the RSA modulus can be factored (ROCA, CVE-2017-15361)")
    key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    scheme = _PSS if algorithm == "PS256" else _PKCS1
    material = f"{exponent:x}.{modulus:x}".encode()
    return algorithm, frozenset({algorithm}), material, _rsa(key, scheme)


_READERS: Mapping[str, Callable[[Mapping[str, Any]], _Reading]] = {
    "EC": _read_ec,
    "OKP": _read_okp,
    "RSA": _read_rsa,
}


def _octets(jwk: Mapping[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str) or not value.isascii():
        raise UnusableKey(f"the member {name} is missing or no string")
    try:
        return decode_base64url(value.encode("ascii"))
    except Malformed:
        raise UnusableKey(f"the member {name} is not base64url") from None


def _unsigned(jwk: Mapping[str, Any], name: str) -> int:
    octets = _octets(jwk, name)
    if octets[:1] in {b"", b"\0"}:
        raise UnusableKey(f"the member {name} is not written in as few octets as it takes")
    return int.from_bytes(octets, "big")


def _ecdsa(key: ec.EllipticCurvePublicKey) -> Check:
    verify = key.verify

    def check(signature: bytes, message: bytes) -> None:
        if len(signature) != 2 * _P256_COORDINATE_BYTES:
            raise BadSignature
        try:
            verify(_ecdsa_der(signature), message, _ECDSA)
        except InvalidSignature:
            raise BadSignature from None

    return check


def _ecdsa_der(signature: bytes) -> bytes:
    """Return *signature*, r and s side by side, as OpenSSL wants it (RFC 7518 section 3.4).

    By hand, since this is a quarter faster than ``encode_dss_signature``: a
    SEQUENCE of two INTEGERs, each without needless leading zeros and with one
    where it would otherwise be negative.
    """
    r, s = signature[:32].lstrip(b"\0"), signature[32:].lstrip(b"\0")
    if not r or not s:
        raise BadSignature  # both lie between 1 and the order of the curve
    if r[0] & 0x80:
        r = b"\0" + r
    if s[0] & 0x80:
        s = b"\0" + s
    return b"\x30%c\x02%c%b\x02%c%b" % (len(r) + len(s) + 4, len(r), r, len(s), s)


def _eddsa(key: ed25519.Ed25519PublicKey) -> Check:
    verify = key.verify

    def check(signature: bytes, message: bytes) -> None:
        try:
            verify(signature, message)
        except InvalidSignature:
            raise BadSignature from None

    return check


def _rsa(key: rsa.RSAPublicKey, scheme: padding.AsymmetricPadding) -> Check:
    verify = key.verify

    def check(signature: bytes, message: bytes) -> None:
        try:
            verify(signature, message, scheme, _SHA256)
        except InvalidSignature:
            raise BadSignature from None

    return check
