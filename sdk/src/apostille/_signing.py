"""Private keys and compact JWS signatures, for tests and golden vectors alone.

Nothing of the verifier imports this module: a service that verifies tokens
holds no private key. It backs :mod:`apostille.testing` and the generator of
``contracts/vectors``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from apostille_contracts.claims import ALGORITHMS, Algorithm

from .errors import ConfigurationError

__all__ = ["PrivateKey", "SigningKey", "b64url", "compact_json", "thumbprint"]

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
"""Private keys that some algorithm of contract v1 signs with."""

_P256_BYTES = 32
_RSA_BITS = 2048
_RSA_EXPONENT = 65537

_THUMBPRINT_MEMBERS = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
    "oct": ("k", "kty"),
}


def b64url(data: bytes) -> str:
    """Return *data* as base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def compact_json(value: object) -> bytes:
    """Return *value* as UTF-8 JSON without needless white space."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the SHA-256 thumbprint of *jwk*, public or private (RFC 7638 section 3).

    Raises:
        ConfigurationError: Its ``kty`` is unknown or a required member is missing.
    """
    try:
        required = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    except KeyError as error:
        raise ConfigurationError("the JWK lacks a member its thumbprint needs") from error
    return b64url(hashlib.sha256(compact_json(required)).digest())


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key bound to the one algorithm it signs with.

    Args:
        algorithm: One of contract v1.
        private_key: P-256 for ES256, RSA for RS256 and PS256, Ed25519 for EdDSA and Ed25519.
        deterministic: Sign ES256 after RFC 6979, so that vectors can be made
            anew byte for byte; needs OpenSSL 3.2.

    Raises:
        ConfigurationError: The key does not fit the algorithm.
    """

    algorithm: Algorithm
    private_key: PrivateKey = field(repr=False)
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ConfigurationError(f"the algorithm must be one of {', '.join(ALGORITHMS)}")
        key = self.private_key
        match self.algorithm:
            case "ES256":
                fits = isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1"
            case "RS256" | "PS256":
                fits = isinstance(key, rsa.RSAPrivateKey)
            case _:
                fits = isinstance(key, ed25519.Ed25519PrivateKey)
        if not fits:
            raise ConfigurationError(f"the private key does not fit {self.algorithm}")

    @classmethod
    def generate(cls, algorithm: Algorithm) -> SigningKey:
        """Return a fresh key for *algorithm*; RSA keys get 2,048 bits."""
        key: PrivateKey
        if algorithm == "ES256":
            key = ec.generate_private_key(ec.SECP256R1())
        elif algorithm in {"RS256", "PS256"}:
            key = rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS)
        else:
            key = ed25519.Ed25519PrivateKey.generate()
        return cls(algorithm, key)

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint of the public key."""
        return thumbprint(_public_members(self.private_key))

    def public_jwk(self) -> dict[str, str]:
        """Return the public key as the issuer publishes it (RFC 7517 section 4)."""
        members = _public_members(self.private_key)
        return {**members, "use": "sig", "alg": self.algorithm, "kid": thumbprint(members)}

    def sign(self, message: bytes) -> bytes:
        """Return the JWS signature of *message* (RFC 7518 section 3, RFC 8037 section 3.1)."""
        key = self.private_key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            scheme = ec.ECDSA(hashes.SHA256(), deterministic_signing=self.deterministic)
            r, s = utils.decode_dss_signature(key.sign(message, scheme))
            # JWS wants r and s side by side at fixed width, not DER (RFC 7518 section 3.4).
            return r.to_bytes(_P256_BYTES, "big") + s.to_bytes(_P256_BYTES, "big")
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(message)
        if self.algorithm == "PS256":
            mask = padding.MGF1(hashes.SHA256())
            salted = padding.PSS(mask, salt_length=hashes.SHA256.digest_size)
            return key.sign(message, salted, hashes.SHA256())
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def token(self, header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes) -> str:
        """Return the compact JWS of *header* and *payload*, both taken as they are.

        Mappings are encoded to JSON; bytes go in untouched, so a test can
        sign what no JSON encoder would write.
        """
        parts = (
            part if isinstance(part, bytes) else compact_json(part) for part in (header, payload)
        )
        signing_input = ".".join(map(b64url, parts))
        return f"{signing_input}.{b64url(self.sign(signing_input.encode('ascii')))}"


def _public_members(key: PrivateKey) -> dict[str, str]:
    """Return the required members of the public JWK (RFC 7638 section 3.2, RFC 8037 section 2)."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        return {
            "kty": "EC",
            "crv": "P-256",
            "x": b64url(point.x.to_bytes(_P256_BYTES, "big")),
            "y": b64url(point.y.to_bytes(_P256_BYTES, "big")),
        }
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "x": b64url(raw)}
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": b64url(_unsigned(numbers.n)), "e": b64url(_unsigned(numbers.e))}


def _unsigned(number: int) -> bytes:
    """Return *number* big-endian in as few octets as it takes (RFC 7518 section 2)."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
