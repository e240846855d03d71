"""What stands in an access token (RFC 9068 section 2.2), and how much may.

Building the claims is apart from signing them: the first is done while the
session's transaction is open, so that a token that would be refused uses up
nothing, the second after it.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from apostille_contracts.claims import (
    MAX_TOKEN_BYTES,
    AccessTokenClaims,
    Status,
    StatusListReference,
)
from apostille_issuer.access.schemas import Entitlements
from apostille_issuer.access.service import Place
from apostille_issuer.db.types import new_id
from apostille_issuer.status.schemas import StatusIndex, list_uri

__all__ = ["MAX_CLAIMS_BYTES", "Bearer", "Mint", "MintedClaims", "OversizedClaims"]

_HEADER_AND_SIGNATURE_BYTES: Final = 820
"""At most: 120 of header, two dots, 683 of an RSA signature with 4,096 bits."""

MAX_CLAIMS_BYTES: Final = (MAX_TOKEN_BYTES - _HEADER_AND_SIGNATURE_BYTES) * 3 // 4
"""Longest claims whose token stays within :data:`MAX_TOKEN_BYTES` whatever key signs it."""

_encoder = msgspec.json.Encoder()


class OversizedClaims(Exception):
    """The token would be longer than services accept."""


class Bearer(Struct, frozen=True):
    """Whom a token speaks for, as the session has it."""

    session_id: uuid.UUID
    user_id: uuid.UUID
    client_id: str
    auth_time: datetime | None
    """When a person proved who he is; ``None`` where none did."""
    amr: tuple[str, ...]
    expires_at: datetime
    """The session's absolute end; no token outlives it."""
    status: StatusIndex
    """Where services see whether it has been revoked."""
    organization_id: uuid.UUID | None = None
    """The organization it speaks for, if any."""
    scopes: frozenset[str] | None = None
    """The only ones of its scopes that were asked for; ``None`` for all."""

    @property
    def place(self) -> Place:
        """Where its rights are looked up."""
        return Place(self.user_id, self.organization_id)


class MintedClaims(Struct, frozen=True):
    """Claims that are ready to be signed."""

    payload: bytes
    issued_at: datetime
    expires_in: int
    """Seconds."""
    tenant_id: uuid.UUID | None = None
    """Of the organization that the token speaks for, if it speaks for one."""
    scopes: tuple[str, ...] = ()


class Mint:
    """Makes the claims of access tokens."""

    def __init__(self, *, issuer: str, lifetime: timedelta) -> None:
        """Take the claim ``iss`` and how long tokens live."""
        self._issuer = issuer
        self._lifetime = lifetime

    def claims(self, bearer: Bearer, rights: Entitlements, now: datetime) -> MintedClaims:
        """Return the claims of a fresh token for *bearer*, good from *now* on.

        Raises:
            OversizedClaims: There are more than :data:`MAX_CLAIMS_BYTES` of them.
        """
        issued = int(now.timestamp())
        expires = int(min(now + self._lifetime, bearer.expires_at).timestamp())
        audience, scopes = rights.audience, rights.scopes
        if bearer.scopes is not None:
            scopes = tuple(scope for scope in scopes if scope in bearer.scopes)
        payload = _encoder.encode(
            AccessTokenClaims(
                iss=self._issuer,
                sub=str(bearer.user_id),
                aud=audience[0] if len(audience) == 1 else audience,
                client_id=bearer.client_id,
                exp=expires,
                iat=issued,
                jti=str(new_id()),
                auth_time=UNSET if bearer.auth_time is None else int(bearer.auth_time.timestamp()),
                amr=bearer.amr,
                sid=str(bearer.session_id),
                tid=UNSET if rights.tenant_id is None else str(rights.tenant_id),
                org=UNSET if bearer.organization_id is None else str(bearer.organization_id),
                scope=" ".join(scopes),
                plan=UNSET if rights.plan is None else rights.plan,
                roles=rights.roles,
                permissions=rights.permissions,
                status=Status(
                    StatusListReference(
                        bearer.status.idx, list_uri(self._issuer, bearer.status.list_id)
                    )
                ),
            )
        )
        if len(payload) > MAX_CLAIMS_BYTES:
            raise OversizedClaims
        return MintedClaims(payload, now, expires - issued, rights.tenant_id, scopes)
