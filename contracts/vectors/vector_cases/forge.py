"""What all vectors are made of: the test keys, the moment, and one good draft to spoil.

Everything is deterministic, so that a vector changes only when its case does.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from apostille._forgeries import Draft
from apostille._signing import PrivateKey, SigningKey, b64url, compact_json
from apostille_contracts.claims import ALGORITHMS, Algorithm
from apostille_contracts.problems import ProblemCode
from apostille_contracts.vectors import ExpectedVerdict, Vector, VectorPolicy

__all__ = [
    "AUDIENCE",
    "ISSUER",
    "KEYS",
    "NEXT",
    "NOW",
    "POLICY",
    "STRANGER",
    "SUBJECT",
    "WEAK",
    "Case",
    "accepted",
    "b64url",
    "compact_json",
    "draft",
    "jwks",
    "policy",
    "pss_signature",
    "refused",
    "unb64url",
]

NOW = 1_800_000_000
"""2027-01-15T08:00:00Z, when every vector is verified unless it says otherwise."""

ISSUER = "https://iam.example.com"
AUDIENCE = "inventory"
SUBJECT = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"

KEY_FOLDER = Path(__file__).parent.parent / "keys"

_SHA256_BYTES = 32


class _TestKey(SigningKey):
    """A signing key without randomness: RFC 6979 for ES256, salts out of the message for PS256."""

    def sign(self, message: bytes) -> bytes:
        if self.algorithm == "PS256":
            return pss_signature(self.private_key, message, hashlib.sha256(message).digest())
        return super().sign(message)


def pss_signature(private_key: object, message: bytes, salt: bytes) -> bytes:
    """Return the RSASSA-PSS signature with SHA-256 and this very *salt* (RFC 8017 section 8.1.1).

    Written out, since no library lets the caller choose the salt.
    """
    assert isinstance(private_key, rsa.RSAPrivateKey)  # noqa: S101 - a generator, never shipped
    numbers = private_key.private_numbers()
    modulus = numbers.public_numbers.n
    size = (modulus.bit_length() + 7) // 8
    digest = hashlib.sha256(bytes(8) + hashlib.sha256(message).digest() + salt).digest()
    masked_size = size - _SHA256_BYTES - 1
    block = bytes(masked_size - len(salt) - 1) + b"\x01" + salt
    mask = b"".join(
        hashlib.sha256(digest + counter.to_bytes(4, "big")).digest()
        for counter in range(masked_size // _SHA256_BYTES + 1)
    )
    masked = bytearray(byte ^ cover for byte, cover in zip(block, mask, strict=False))
    masked[0] &= 0xFF >> (8 * size - modulus.bit_length() + 1)
    encoded = int.from_bytes(bytes(masked) + digest + b"\xbc", "big")
    return pow(encoded, numbers.d, modulus).to_bytes(size, "big")


def _number(text: str) -> int:
    return int.from_bytes(unb64url(text), "big")


def unb64url(text: str) -> bytes:
    """Return what the base64url *text* without padding encodes."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _private_key(jwk: Mapping[str, str]) -> PrivateKey:
    match jwk["kty"]:
        case "EC":
            return ec.derive_private_key(_number(jwk["d"]), ec.SECP256R1())
        case "OKP":
            return ed25519.Ed25519PrivateKey.from_private_bytes(unb64url(jwk["d"]))
        case _:
            public = rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"]))
            p, q, d, dp, dq, qi = (_number(jwk[name]) for name in ("p", "q", "d", "dp", "dq", "qi"))
            return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key()


def _load(name: str, algorithm: Algorithm) -> SigningKey:
    jwk = json.loads((KEY_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return _TestKey(algorithm, _private_key(jwk), deterministic=True)


KEYS: dict[Algorithm, SigningKey] = {
    algorithm: _load(f"test-{algorithm.lower()}", algorithm) for algorithm in ALGORITHMS
}
"""The issuer's keys, one for each algorithm."""

NEXT = _load("test-next-es256", "ES256")
"""The issuer's next key for ES256."""

STRANGER = _load("test-stranger-es256", "ES256")
"""A key the issuer never had."""

WEAK = _load("test-weak-rs256", "RS256")
"""An RSA key of 1,024 bits."""

POLICY = VectorPolicy(issuer=ISSUER, audience=(AUDIENCE,), algorithms=ALGORITHMS, leeway_seconds=30)


def policy(**changes: Any) -> VectorPolicy:
    """Return the usual policy with *changes*."""
    return msgspec.structs.replace(POLICY, **changes)


def jwks(*keys: SigningKey | Mapping[str, Any]) -> dict[str, Any]:
    """Return a key set of *keys*; mappings go in as they are."""
    return {
        "keys": [key.public_jwk() if isinstance(key, SigningKey) else dict(key) for key in keys]
    }


def draft(algorithm: Algorithm = "ES256", /, **claims: Any) -> Draft:
    """Return a good token before it is signed, with further *claims*; ``None`` takes one away."""
    key = KEYS[algorithm]
    good = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": AUDIENCE,
        "client_id": "apostille",
        "exp": NOW + 600,
        "iat": NOW,
        "jti": "0190f5f0-0000-7000-8000-000000000001",
        "permissions": ["inventory.read"],
    }
    header = {"typ": "at+jwt", "alg": algorithm, "kid": key.kid}
    return Draft(header, good, key).with_claims(**claims)


def accepted(**claims: Any) -> ExpectedVerdict:
    """Expect the token to be accepted, with these *claims* among others."""
    return ExpectedVerdict(valid=True, claims=claims or {"sub": SUBJECT})


def refused(code: ProblemCode, claim: str | None = None) -> ExpectedVerdict:
    """Expect the token to be refused with *code*."""
    return ExpectedVerdict(valid=False, code=code, claim=claim)


@dataclass(frozen=True)
class Case:
    """One vector to be."""

    name: str
    reference: str
    description: str
    token: Draft | str
    """A draft is signed as it stands; a text is the token."""
    expected: ExpectedVerdict
    keys: Sequence[SigningKey | Mapping[str, Any]] = ()
    """The published keys; if none are named the draft's own, and with a text the ES256 key."""
    policy: VectorPolicy = field(default=POLICY)
    time: int = NOW

    def vector(self) -> Vector:
        """Return the finished vector."""
        if isinstance(self.token, Draft):
            signer, token = self.token.key, self.token.signed()
        else:
            signer, token = KEYS["ES256"], self.token
        return Vector(
            name=self.name,
            description=self.description,
            reference=self.reference,
            keys=jwks(*(self.keys or (signer,))),
            policy=self.policy,
            time=self.time,
            token=token,
            expected=self.expected,
        )
