"""Tokens of contract v1 for tests of the verifier, good and one step off."""

from __future__ import annotations

from functools import cache
from typing import Any

from apostille._signing import SigningKey
from apostille.clock import ManualClock
from apostille_contracts.claims import Algorithm

__all__ = ["AUDIENCE", "ISSUER", "claims_at", "key_of", "mint"]

ISSUER = "https://issuer.test"
AUDIENCE = "inventory"


@cache
def key_of(algorithm: Algorithm, name: str = "first") -> SigningKey:
    """Return a signing key; the same for the same arguments, since RSA keys take time to make."""
    del name
    return SigningKey.generate(algorithm)


def claims_at(clock: ManualClock, **changes: Any) -> dict[str, Any]:
    """Return good claims of a token minted now; ``None`` leaves a claim out."""
    now = int(clock.time())
    claims = {
        "iss": ISSUER,
        "sub": "0195c3f1-7c2e-7d11-9a55-3f3a4b5c6d7e",
        "aud": AUDIENCE,
        "client_id": "web",
        "exp": now + 600,
        "iat": now,
        "jti": "0195c3f1-7c2e-7d11-9a55-000000000001",
        "permissions": ["inventory.read"],
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def mint(
    key: SigningKey, claims: dict[str, Any] | bytes, header: dict[str, Any] | bytes | None = None
) -> str:
    """Return the token of *claims*; *header* adds to the usual header, or replaces it if bytes."""
    if isinstance(header, bytes):
        return key.token(header, claims)
    usual = {"typ": "at+jwt", "alg": key.algorithm, "kid": key.kid}
    members = {**usual, **(header or {})}
    return key.token({n: v for n, v in members.items() if v is not None}, claims)
