"""Tokens that a verifier must refuse, by name, each with the code it must get.

Every entry starts from a good draft and spoils exactly one thing, so that a
refusal can have no other reason.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from cryptography.hazmat.primitives import serialization

from apostille_contracts.problems import ProblemCode

from ._signing import SigningKey, b64url, compact_json

__all__ = ["BAD_TOKENS", "BadTokenName", "Draft", "forge"]

_HOUR = 3600
_OVER_16_KIB = 17 * 1024


@dataclass(frozen=True, slots=True)
class Draft:
    """A good token just before it is signed."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    key: SigningKey

    def with_header(self, **changes: Any) -> Draft:
        """Return a draft whose header has *changes*; ``None`` takes a member away."""
        return replace(self, header=_merged(self.header, changes))

    def with_claims(self, **changes: Any) -> Draft:
        """Return a draft whose claims have *changes*; ``None`` takes a claim away."""
        return replace(self, claims=_merged(self.claims, changes))

    def signed(self) -> str:
        """Return the compact JWS."""
        return self.key.token(self.header, self.claims)


BadTokenName = Literal[
    "alg_none",
    "altered_claims",
    "another_keys_algorithm",
    "bad_signature",
    "critical_header",
    "duplicate_header",
    "embedded_key",
    "empty",
    "encrypted",
    "exp_as_boolean",
    "exp_as_text",
    "expired",
    "foreign_key",
    "hmac_confusion",
    "issued_in_the_future",
    "missing_aud",
    "missing_client_id",
    "missing_exp",
    "missing_iat",
    "missing_iss",
    "missing_jti",
    "missing_kid",
    "missing_sub",
    "missing_type",
    "not_a_token",
    "not_yet_valid",
    "oversized",
    "padded",
    "permissions_as_text",
    "unknown_key",
    "unsigned",
    "wrong_audience",
    "wrong_issuer",
    "wrong_type",
]
"""Names that :meth:`apostille.testing.LocalIssuer.bad_token` knows."""


def forge(name: BadTokenName, draft: Draft) -> str:
    """Return *draft* spoilt in the way *name* says.

    Raises:
        KeyError: There is no such name.
    """
    return _FORGERIES[name].make(draft)


def _merged(members: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not None}


def _flipped_signature(draft: Draft) -> str:
    signing_input, _, signature = draft.signed().rpartition(".")
    # The first character: unlike the last one it has no unused bits.
    return f"{signing_input}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def _altered_claims(draft: Draft) -> str:
    """Somebody raises his own rights and leaves the signature as it was."""
    header, _, signature = draft.signed().split(".")
    altered = {**draft.claims, "permissions": ["*"]}
    return f"{header}.{b64url(compact_json(altered))}.{signature}"


def _hmac_confusion(draft: Draft) -> str:
    """The public key, which everybody has, taken for a shared secret (RFC 8725 section 2.1)."""
    public = draft.key.private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header = b64url(compact_json({**draft.header, "alg": "HS256"}))
    signing_input = f"{header}.{b64url(compact_json(draft.claims))}"
    mac = hmac.new(public, signing_input.encode("ascii"), hashlib.sha256).digest()
    return f"{signing_input}.{b64url(mac)}"


def _unsigned(draft: Draft) -> str:
    return draft.signed().rpartition(".")[0] + "."


def _alg_none(draft: Draft) -> str:
    return _unsigned(draft.with_header(alg="none"))


def _another_keys_algorithm(draft: Draft) -> str:
    other = "ES256" if draft.key.algorithm.startswith("Ed") else "EdDSA"
    return draft.with_header(alg=other).signed()


def _unknown_key(draft: Draft) -> str:
    stranger = SigningKey.generate(draft.key.algorithm)
    return replace(draft.with_header(kid=stranger.kid), key=stranger).signed()


def _foreign_key(draft: Draft) -> str:
    return replace(draft, key=SigningKey.generate(draft.key.algorithm)).signed()


def _embedded_key(draft: Draft) -> str:
    """The attacker brings his own key in the header (RFC 8725 section 3.10)."""
    stranger = SigningKey.generate(draft.key.algorithm)
    return replace(draft.with_header(jwk=stranger.public_jwk()), key=stranger).signed()


def _duplicate_header(draft: Draft) -> str:
    header = compact_json(draft.header)
    doubled = header[:-1] + b',"alg":"none"}'
    return draft.key.token(doubled, draft.claims)


@dataclass(frozen=True, slots=True)
class _Forgery:
    """The code a bad token gets, and how it is made."""

    code: ProblemCode
    make: Callable[[Draft], str]


def _header(code: ProblemCode, **changes: Any) -> _Forgery:
    return _Forgery(code, lambda draft: draft.with_header(**changes).signed())


def _claims(code: ProblemCode, **changes: Any) -> _Forgery:
    return _Forgery(code, lambda draft: draft.with_claims(**changes).signed())


def _times(code: ProblemCode, **seconds: int) -> _Forgery:
    """Times that lie so many *seconds* after the moment of minting."""

    def make(draft: Draft) -> str:
        issued = draft.claims["iat"]
        moved = {name: issued + shift for name, shift in seconds.items()}
        return draft.with_claims(**moved).signed()

    return _Forgery(code, make)


_CODE = ProblemCode
_FORGERIES: dict[BadTokenName, _Forgery] = {
    # Shape (RFC 7515 section 5.2).
    "empty": _Forgery(_CODE.MALFORMED_TOKEN, lambda _: ""),
    "not_a_token": _Forgery(_CODE.MALFORMED_TOKEN, lambda _: "not-a-token"),
    "encrypted": _Forgery(_CODE.MALFORMED_TOKEN, lambda draft: draft.signed() + ".AAAA.AAAA"),
    "padded": _Forgery(_CODE.MALFORMED_TOKEN, lambda draft: draft.signed() + "="),
    "oversized": _claims(_CODE.TOKEN_TOO_LARGE, roles=["x" * _OVER_16_KIB]),
    # Header (RFC 8725 sections 3.1, 3.10, 3.11; RFC 7515 sections 4 and 4.1.11).
    "wrong_type": _header(_CODE.WRONG_TYPE, typ="JWT"),
    "missing_type": _header(_CODE.WRONG_TYPE, typ=None),
    "missing_kid": _header(_CODE.MALFORMED_TOKEN, kid=None),
    "critical_header": _header(_CODE.MALFORMED_TOKEN, crit=["b64"], b64=True),
    "duplicate_header": _Forgery(_CODE.MALFORMED_TOKEN, _duplicate_header),
    "embedded_key": _Forgery(_CODE.MALFORMED_TOKEN, _embedded_key),
    "alg_none": _Forgery(_CODE.ALGORITHM_NOT_ALLOWED, _alg_none),
    "another_keys_algorithm": _Forgery(_CODE.ALGORITHM_NOT_ALLOWED, _another_keys_algorithm),
    "hmac_confusion": _Forgery(_CODE.ALGORITHM_NOT_ALLOWED, _hmac_confusion),
    # Key and signature.
    "unknown_key": _Forgery(_CODE.UNKNOWN_KEY, _unknown_key),
    "foreign_key": _Forgery(_CODE.BAD_SIGNATURE, _foreign_key),
    "bad_signature": _Forgery(_CODE.BAD_SIGNATURE, _flipped_signature),
    "altered_claims": _Forgery(_CODE.BAD_SIGNATURE, _altered_claims),
    "unsigned": _Forgery(_CODE.BAD_SIGNATURE, _unsigned),
    # Claims (RFC 9068 sections 2.2 and 4).
    "missing_iss": _claims(_CODE.INVALID_CLAIM, iss=None),
    "missing_sub": _claims(_CODE.INVALID_CLAIM, sub=None),
    "missing_aud": _claims(_CODE.INVALID_CLAIM, aud=None),
    "missing_exp": _claims(_CODE.INVALID_CLAIM, exp=None),
    "missing_iat": _claims(_CODE.INVALID_CLAIM, iat=None),
    "missing_jti": _claims(_CODE.INVALID_CLAIM, jti=None),
    "missing_client_id": _claims(_CODE.INVALID_CLAIM, client_id=None),
    "exp_as_text": _claims(_CODE.INVALID_CLAIM, exp="4102444800"),
    "exp_as_boolean": _claims(_CODE.INVALID_CLAIM, exp=True),
    "permissions_as_text": _claims(_CODE.INVALID_CLAIM, permissions="inventory.read"),
    "wrong_issuer": _claims(_CODE.WRONG_ISSUER, iss="https://issuer.invalid"),
    "wrong_audience": _claims(_CODE.WRONG_AUDIENCE, aud="some-other-service"),
    "expired": _times(_CODE.EXPIRED_TOKEN, iat=-2 * _HOUR, auth_time=-2 * _HOUR, exp=-_HOUR),
    "not_yet_valid": _times(_CODE.NOT_YET_VALID, nbf=_HOUR, exp=2 * _HOUR),
    "issued_in_the_future": _times(_CODE.NOT_YET_VALID, iat=_HOUR, exp=2 * _HOUR),
}

BAD_TOKENS: Mapping[BadTokenName, ProblemCode] = MappingProxyType(
    {name: forgery.code for name, forgery in _FORGERIES.items()}
)
"""Every name of :meth:`apostille.testing.LocalIssuer.bad_token`, with the code its token gets."""
