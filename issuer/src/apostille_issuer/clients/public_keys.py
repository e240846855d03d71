"""Public keys that service accounts sign assertions with: which are accepted, and what they verify.

The judgement is the SDK's, as strict as over the keys of an issuer: one
algorithm for a key, at least 2,048 bits of RSA, P-256, Ed25519.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import msgspec

from apostille import StaticKeys
from apostille.errors import BadSignature, ConfigurationError
from apostille_issuer.problems import IssuerProblem

__all__ = ["checked_jwk", "fits", "verifies"]

MAX_KID_LENGTH: Final = 255

_MEMBERS: Final = {"EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "RSA": ("n", "e")}
_ALGORITHMS: Final = {"EC": "ES256", "OKP": "EdDSA", "RSA": "RS256"}
"""Of a key that names none."""

_SECRET: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})


def checked_jwk(jwk: dict[str, Any]) -> dict[str, Any]:
    """Return the public key that *jwk* is, with ``kid`` and ``alg`` and nothing else.

    Args:
        jwk: RFC 7517. Without ``kid`` it gets its RFC 7638 thumbprint; without
            ``alg``, ES256, EdDSA or RS256, as its type is.

    Raises:
        IssuerProblem: ``validation_failed``; it is secret, weak, or of no kind
            that is known here.
    """
    if not _SECRET.isdisjoint(jwk):
        # Whoever sends it has given it away; the text is not quoted anywhere.
        raise _invalid("a public key; this one is secret, make another")
    kty = jwk.get("kty")
    members = _MEMBERS.get(kty) if isinstance(kty, str) else None
    if members is None or kty is None:
        raise _invalid("a JSON Web Key of type EC, RSA or OKP")
    public = {"kty": kty, **{name: jwk[name] for name in members if name in jwk}}
    kid = jwk.get("kid") or _thumbprint(public)
    if not isinstance(kid, str) or len(kid) > MAX_KID_LENGTH or not kid.isprintable():
        raise _invalid(f"the kid is text of at most {MAX_KID_LENGTH} printable characters")
    meant = {name: jwk[name] for name in ("use", "key_ops") if name in jwk}
    found = {**public, "kid": kid, "alg": jwk.get("alg", _ALGORITHMS[kty])}
    try:
        StaticKeys({"keys": [{**found, **meant}]})
    except (ConfigurationError, RecursionError) as error:
        raise _invalid(_reason(error)) from None
    return found


def fits(jwk: dict[str, Any], algorithm: str, kid: str | None) -> bool:
    """Say whether an assertion with this header may be of this key."""
    return kid in (None, jwk["kid"]) and algorithm in _key(jwk).algorithm_names


def verifies(jwk: dict[str, Any], message: bytes, signature: bytes) -> bool:
    """Say whether *signature* is that of *message* by this key."""
    try:
        _key(jwk).check(signature, message)
    except BadSignature:
        return False
    return True


def _key(jwk: dict[str, Any]) -> Any:
    return _parsed(msgspec.json.encode(jwk, order="deterministic"))


@lru_cache(maxsize=1_000)
def _parsed(jwk: bytes) -> Any:
    (key,) = StaticKeys(b'{"keys":[' + jwk + b"]}").keyring.keys.values()
    return key


def _thumbprint(public: dict[str, Any]) -> str:
    """Return the RFC 7638 thumbprint of a key that has nothing but what it takes."""
    digest = sha256(msgspec.json.encode(public, order="deterministic")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _reason(error: Exception) -> str:
    """Return what the SDK says of the key, which quotes nothing of it."""
    _, _, reason = str(error).partition("keys[0]: ")
    return reason or "a JSON Web Key that can be read"


def _invalid(detail: str) -> IssuerProblem:
    return IssuerProblem.invalid_field("public_jwk", detail)
