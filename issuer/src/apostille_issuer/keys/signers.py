"""Signing tokens: what signs, and what the signature is put into.

A :class:`Signer` holds, or can reach, one private key. The local one is here;
one that asks a key management service has the same shape. Signatures are made
with ``cryptography`` directly: joserfc's general path costs 25 µs more per
token, on 35 µs for ES256, and warns at each use of the name ``EdDSA``.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key

from apostille_contracts.claims import Algorithm

__all__ = ["LocalSigner", "Signer", "TokenSigner", "TokenType"]

TokenType = Literal["at+jwt", "statuslist+jwt"]
"""What the issuer signs: access tokens (RFC 9068 section 2.1) and status list
tokens (draft-ietf-oauth-status-list section 5.1). No token passes for the other."""

P256_BYTES = 32

_SHA256 = SHA256()
_ECDSA = ECDSA(_SHA256)
_PKCS1 = PKCS1v15()
_PSS = PSS(mgf=MGF1(_SHA256), salt_length=_SHA256.digest_size)


class Signer(Protocol):
    """One private key, wherever it is kept."""

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint of the public key."""

    @property
    def algorithm(self) -> Algorithm:
        """The one algorithm this key signs with (RFC 8725 section 3.1)."""

    async def sign(self, message: bytes) -> bytes:
        """Return the signature of *message* in the form of JWS (RFC 7518 section 3).

        Raises:
            IssuerProblem: ``keys_unavailable``, with ``retry_after``: the key
                is kept elsewhere and cannot be reached.
        """


class LocalSigner:
    """Signs with a private key in the memory of this process."""

    def __init__(self, kid: str, algorithm: Algorithm, private_der: bytes) -> None:
        """Load the private key: PKCS #8, not encrypted.

        Raises:
            ValueError: It is a key for another algorithm.
        """
        self.kid = kid
        self.algorithm = algorithm
        self._sign = _signature_function(algorithm, load_der_private_key(private_der, None))

    async def sign(self, message: bytes) -> bytes:
        """Return the signature of *message*; 35 µs for ES256, and nothing is waited for."""
        return self._sign(message)


class TokenSigner:
    """Makes compact JWS with one signer: header, ``kid`` and key belong together.

    Replacing the key means replacing this, so that a token never names one
    key and is signed by another.
    """

    def __init__(self, signer: Signer) -> None:
        """Take the signer; a header is encoded once per type."""
        self.kid = signer.kid
        self._signer = signer
        self._prefixes: dict[TokenType, bytes] = {}

    async def sign(self, payload: bytes, typ: TokenType) -> str:
        """Return *payload* as a compact JWS of type *typ* (RFC 7515 section 7.1)."""
        prefix = self._prefixes.get(typ) or self._encode_header(typ)
        message = prefix + _base64url(payload)
        signature = await self._signer.sign(message)
        return (message + b"." + _base64url(signature)).decode("ascii")

    def _encode_header(self, typ: TokenType) -> bytes:
        header: dict[str, Any] = {"typ": typ, "alg": self._signer.algorithm, "kid": self.kid}
        prefix = self._prefixes[typ] = _base64url(msgspec.json.encode(header)) + b"."
        return prefix


def _signature_function(algorithm: Algorithm, key: object) -> Callable[[bytes], bytes]:
    match algorithm, key:
        case "ES256", EllipticCurvePrivateKey():
            return lambda message: _raw_ecdsa(key.sign(message, _ECDSA))
        case "RS256", RSAPrivateKey():
            return lambda message: key.sign(message, _PKCS1, _SHA256)
        case "PS256", RSAPrivateKey():
            return lambda message: key.sign(message, _PSS, _SHA256)
        case "EdDSA" | "Ed25519", Ed25519PrivateKey():
            return key.sign
        case _:
            raise ValueError(f"the stored key does not fit {algorithm}")


def _raw_ecdsa(der: bytes) -> bytes:
    """Return the signature as JWS wants it: r and s side by side (RFC 7518 section 3.4)."""
    r, s = decode_dss_signature(der)
    return r.to_bytes(P256_BYTES, "big") + s.to_bytes(P256_BYTES, "big")


def _base64url(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")
