"""What names a whole key set in one word, so that one can tell it from another.

A status list token of Apostille's issuer says in :data:`KEY_SET_CLAIM` which
keys are published at this moment. Services fetch lists every few seconds and
keys every few minutes; so a key that was withdrawn is dropped as soon as a
session that ended is refused. Who does not know the claim ignores it, as the
draft wants (draft-ietf-oauth-status-list section 5.1: more claims may be there).
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["KEY_SET_CLAIM", "key_set_thumbprint"]

KEY_SET_CLAIM: Final = "key_set"
"""Claim of a status list token: the :func:`key_set_thumbprint` of the issuer's keys."""

_REQUIRED: Final = {"EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "RSA": ("e", "n")}
"""What identifies a key, besides its type (RFC 7638 section 3.2, RFC 8037 section 2)."""


def key_set_thumbprint(keys: Iterable[object]) -> str:
    """Return what names the key set of *keys*: 43 characters of base64url.

    SHA-256 over the RFC 7638 thumbprints (SHA-256, base64url, 43 characters
    each) of all keys, each once, sorted by their characters and written one
    after the other. In whatever order a set is published, its name is the
    same; what else is said about a key has no influence. An element without
    thumbprint, for it is no public key of these types, is left out.

    Args:
        keys: The elements of a JWK Set's ``keys``, decoded from JSON.
    """
    thumbprints = {thumbprint for key in keys if (thumbprint := _thumbprint(key)) is not None}
    return _digest("".join(sorted(thumbprints)))


def _thumbprint(key: object) -> str | None:
    """Return the RFC 7638 thumbprint of a JWK, if it has one."""
    if not isinstance(key, Mapping):
        return None
    kty = key.get("kty")
    names = _REQUIRED.get(kty) if isinstance(kty, str) else None
    if names is None:
        return None
    members: dict[str, Any] = {name: key.get(name) for name in ("kty", *names)}
    if not all(isinstance(value, str) and value.isascii() for value in members.values()):
        return None
    return _digest(json.dumps(members, sort_keys=True, separators=(",", ":")))


def _digest(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode("ascii")).digest()).decode().rstrip("=")
