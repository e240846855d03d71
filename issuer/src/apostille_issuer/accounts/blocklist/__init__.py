"""Passwords that are known to be used, and so are guessed first.

``passwords.bin`` holds a fingerprint of each: the first five bytes of the
SHA-256 of its folded form, sorted, without separators. Five bytes keep a third
of a million passwords in 1.8 MB, and refuse about three good passwords in ten
million by accident. Where the passwords come from says ``PROVENANCE.md``; how
the file is made says :mod:`.build`.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from functools import cache
from hashlib import sha256
from importlib.resources import files

__all__ = ["FINGERPRINT_BYTES", "fingerprint", "fold", "is_listed"]

FINGERPRINT_BYTES = 5


def is_listed(password: str) -> bool:
    """Say whether *password* is on the list, in any case and width of its letters."""
    listed = _fingerprints()
    wanted = fingerprint(fold(password))
    position = bisect_left(
        range(len(listed) // FINGERPRINT_BYTES), wanted, key=lambda index: _at(listed, index)
    )
    return _at(listed, position) == wanted


def fold(text: str) -> str:
    """Return what *text* is compared by: normalisation form KC, case folded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def fingerprint(folded: str) -> bytes:
    """Return what the list keeps of a password."""
    return sha256(folded.encode()).digest()[:FINGERPRINT_BYTES]


def _at(listed: bytes, index: int) -> bytes:
    return listed[index * FINGERPRINT_BYTES : (index + 1) * FINGERPRINT_BYTES]


@cache
def _fingerprints() -> bytes:
    """Read the list at first use; it costs no start time and no import time."""
    return (files(__name__) / "passwords.bin").read_bytes()
