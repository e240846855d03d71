"""Keys and tokens to measure with: real signatures, many distinct tokens."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apostille import StaticKeys
from apostille._signing import SigningKey
from apostille.status import StaticStatus
from apostille_contracts.claims import Algorithm

__all__ = ["AUDIENCE", "ISSUER", "Mint"]

ISSUER = "https://iam.example.com"
AUDIENCE = "inventory"
STATUS_LIST = f"{ISSUER}/status-lists/1"
LIST_BYTES = 16_384
"""Of a status list with room for 131,072 sessions."""

PERMISSIONS = (
    "inventory.read",
    "inventory.write",
    "inventory.stock.adjust",
    "orders.read",
    "reports.*",
)


class _Sources(TypedDict):
    keys: StaticKeys
    status: StaticStatus


@dataclass(frozen=True, slots=True)
class Mint:
    """Makes access tokens of contract v1 with one key; no two are alike."""

    key: SigningKey
    permissions: tuple[str, ...] = PERMISSIONS
    with_status: bool = True
    """Whether tokens say where their sessions stand in a status list, as the issuer's do."""
    issuer: str = ISSUER
    jwk: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "jwk", self.key.public_jwk())

    @classmethod
    def of(cls, algorithm: Algorithm) -> Mint:
        """Return a mint with a fresh key for *algorithm*."""
        return cls(SigningKey.generate(algorithm))

    @property
    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The key set that verifies the tokens."""
        return {"keys": [self.jwk]}

    @property
    def sources(self) -> _Sources:
        """What a verifier of ours takes to check the tokens, sessions included."""
        return {
            "keys": StaticKeys(self.jwks),
            "status": StaticStatus({STATUS_LIST: bytes(LIST_BYTES)}),
        }

    @property
    def public_pem(self) -> str:
        """The same key as peers want it that take PEM alone."""
        public = self.key.private_key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def token(self, place: tuple[str, int] | None = None) -> str:
        """Return a token that differs from every other in ``jti``, ``sub`` and ``sid``.

        Args:
            place: List and index of its session, if not any place in the usual list.
        """
        claims = self._claims()
        if place is not None:
            claims["status"] = {"status_list": {"uri": place[0], "idx": place[1]}}
        return self.signed("at+jwt", claims)

    def signed(self, kind: str, claims: Mapping[str, Any]) -> str:
        """Return a token of that ``typ`` with *claims* as they are."""
        return self.key.token({"typ": kind, "alg": self.jwk["alg"], "kid": self.jwk["kid"]}, claims)

    def tokens(self, count: int) -> list[str]:
        """Return *count* tokens."""
        return [self.token() for _ in range(count)]

    def stream(self, count: int) -> Iterator[str]:
        """Yield *count* tokens one after the other, and keep none."""
        for _ in range(count):
            yield self.token()

    def _claims(self) -> dict[str, Any]:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": str(uuid.uuid4()),
            "client_id": "storefront",
            "exp": now + 3_600,
            "iat": now,
            "jti": uuid.uuid4().hex,
            "auth_time": now - 120,
            "amr": ["pwd"],
            "sid": str(uuid.uuid4()),
            "tid": "0197a1b2-0000-7000-8000-000000000001",
            "org": "0197a1b2-0000-7000-8000-000000000002",
            "roles": ["clerk", "member"],
            "permissions": list(self.permissions),
        }
        if self.with_status:
            place = {"idx": secrets.randbelow(LIST_BYTES * 8), "uri": STATUS_LIST}
            claims["status"] = {"status_list": place}
        return claims
