"""The access token, contract v1 (RFC 9068), and the key set that verifies it.

These Structs are the only definition: the issuer encodes them, the SDK
decodes into them, and ``contracts/schemas`` is generated from them. Decoding
is strict about types; claims not named here are allowed and ignored.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

__all__ = [
    "ACCESS_TOKEN_TYPE",
    "ALGORITHMS",
    "LAST_SECOND",
    "MAX_TOKEN_BYTES",
    "AccessTokenClaims",
    "AccessTokenHeader",
    "Actor",
    "Algorithm",
    "Confirmation",
    "Status",
    "StatusListReference",
]

Algorithm = Literal["ES256", "RS256", "PS256", "EdDSA", "Ed25519"]
"""Signature algorithms of contract v1; ``EdDSA`` means Ed25519 here (RFC 9864)."""

ALGORITHMS: tuple[Algorithm, ...] = ("ES256", "RS256", "PS256", "EdDSA", "Ed25519")
"""All of :data:`Algorithm`. Never ``none``, never a MAC (RFC 8725 section 3.1)."""

ACCESS_TOKEN_TYPE: Literal["at+jwt"] = "at+jwt"  # noqa: S105 - a media type, not a secret (RFC 9068 section 2.1)

MAX_TOKEN_BYTES = 8_000
"""Largest token the issuer mints; verifiers accept up to 16 KiB."""

Text = Annotated[str, Meta(min_length=1, max_length=1024)]

LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z, the last time a token may name: no calendar of a language goes further."""

NumericDate = (
    Annotated[int, Meta(ge=0, le=LAST_SECOND)] | Annotated[float, Meta(ge=0, le=LAST_SECOND)]
)
"""Seconds since 1970-01-01T00:00:00Z, integer or not (RFC 7519 section 2); up to the year 9999."""


class AccessTokenHeader(Struct, frozen=True, kw_only=True):
    """JOSE header of an access token (RFC 9068 section 2.1)."""

    typ: Literal["at+jwt"] = ACCESS_TOKEN_TYPE
    alg: Algorithm
    kid: Text
    """RFC 7638 SHA-256 thumbprint of the signing key."""


class StatusListReference(Struct, frozen=True, gc=False):
    """Where a session stands (draft-ietf-oauth-status-list-21 section 6.2)."""

    idx: Annotated[int, Meta(ge=0)]
    uri: Text


class Status(Struct, frozen=True, gc=False):
    """The claim ``status``."""

    status_list: StatusListReference


class Actor(Struct, frozen=True, omit_defaults=True, gc=False):
    """Who acts for the subject (RFC 8693 section 4.1).

    A nested actor is history only and never used for access control.
    """

    sub: Text
    act: Actor | None = None


class Confirmation(Struct, frozen=True, omit_defaults=True, gc=False):
    """The key a token is bound to (RFC 9449 section 6.1, RFC 8705 section 3.1)."""

    jkt: str | None = None
    x5t_s256: str | None = field(default=None, name="x5t#S256")


class AccessTokenClaims(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Claims of an access token (RFC 9068 section 2.2).

    The first seven are required. All times are seconds since the epoch.
    """

    iss: Text
    sub: Text
    """The user, a UUIDv7 where Apostille's issuer minted the token."""
    aud: Text | tuple[Text, ...]
    client_id: Text
    exp: NumericDate
    iat: NumericDate
    jti: Text

    nbf: NumericDate | UnsetType = UNSET
    auth_time: NumericDate | UnsetType = UNSET
    acr: str | UnsetType = UNSET
    amr: tuple[str, ...] = ()
    sid: Text | UnsetType = UNSET
    """Session."""
    tid: Text | UnsetType = UNSET
    """Tenant."""
    org: Text | UnsetType = UNSET
    """Active organization."""
    roles: tuple[str, ...] = ()
    """Role names in that organization; for display and coarse checks."""
    permissions: tuple[str, ...] = ()
    """Effective grants: allows minus denies, wildcards kept where exact."""
    scope: str = ""
    """OAuth scopes, space separated (RFC 8693 section 4.2)."""
    plan: str | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    act: Actor | UnsetType = UNSET
    cnf: Confirmation | UnsetType = UNSET
