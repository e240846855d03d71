"""API keys that are secrets: how they are made, and known again.

.. code-block:: text

    apo_sk_<key id, 32 hex digits>_<256 random bits, 43 base64url characters>_<checksum>

Prefix and checksum are for secret scanners: what has this form and a right
checksum is a key of an Apostille issuer, live or not. The checksum is the
CRC-32 of all before its underscore, in base 62, six characters.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
import uuid
from hashlib import sha256
from typing import Final
from zlib import crc32

from msgspec import Struct

__all__ = ["FORM", "ApiSecret", "InvalidSecret", "make_secret", "matches", "read_secret"]

FORM: Final = r"apo_sk_[0-9a-f]{32}_[A-Za-z0-9_-]{43}_[0-9A-Za-z]{6}"
"""The regular expression by which scanners find secrets; no part of it varies."""

HINT_LENGTH: Final = 32
"""Characters of a secret that are shown for ever: prefix and key id, none that is random."""

_FORM: Final = re.compile(FORM, re.ASCII)
_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECKSUM_LENGTH: Final = 6
_NO_HASH: Final = sha256(b"").hexdigest()


class InvalidSecret(Exception):
    """It has not the form of a secret, or its checksum is wrong."""


class ApiSecret(Struct, frozen=True):
    """A secret, as text and as what is kept of it."""

    key_id: uuid.UUID
    text: str

    @property
    def hint(self) -> str:
        """What tells it from others."""
        return self.text[:HINT_LENGTH]

    @property
    def hash(self) -> str:
        """SHA-256 in hexadecimal: of 256 random bits nobody finds them by trying."""
        return sha256(self.text.encode("ascii")).hexdigest()

    def __repr__(self) -> str:
        """Show no secret in any log."""
        return f"ApiSecret(key_id={self.key_id!r})"


def make_secret(key_id: uuid.UUID) -> ApiSecret:
    """Return a fresh secret for a key."""
    start = f"apo_sk_{key_id.hex}_{secrets.token_urlsafe(32)}"
    return ApiSecret(key_id, f"{start}_{_checksum(start)}")


def read_secret(text: str) -> ApiSecret:
    """Return *text* as a secret; whether it is anybody's is not known.

    Raises:
        InvalidSecret: It cannot be one.
    """
    if _FORM.fullmatch(text) is None:
        raise InvalidSecret
    start, _, checksum = text.rpartition("_")
    if checksum != _checksum(start):
        raise InvalidSecret
    return ApiSecret(uuid.UUID(hex=text[7:39]), text)


def matches(secret: ApiSecret, stored: str | None) -> bool:
    """Say whether *stored* is the hash of *secret*; takes as long if there is none."""
    same = hmac.compare_digest(secret.hash, stored or _NO_HASH)
    return same and stored is not None


def _checksum(text: str) -> str:
    number, digits = crc32(text.encode("ascii")), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
