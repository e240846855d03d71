"""What the status domain hands out.

See: draft-ietf-oauth-status-list sections 5.1, 6.2 and 9.3.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

__all__ = [
    "LISTS_PATH",
    "LIST_SIZE",
    "STATUS_LIST_MEDIA_TYPE",
    "Aggregation",
    "StatusIndex",
    "StatusListClaims",
    "list_uri",
]

LIST_SIZE: Final = 2**17
"""Entries of a list: 16 KiB of bits, a few hundred bytes while few are set."""

LISTS_PATH: Final = "/status-lists"

STATUS_LIST_MEDIA_TYPE: Final = "application/statuslist+jwt"


class StatusIndex(Struct, frozen=True):
    """Where a session stands; given out once, never again."""

    list_id: int
    idx: int


class EncodedList(Struct, frozen=True):
    """The claim ``status_list``."""

    bits: int
    """Bits per entry."""
    lst: str
    """The bits, compressed by zlib, in base64url."""


class StatusListClaims(Struct, frozen=True, kw_only=True):
    """Claims of a status list token."""

    sub: str
    """Its own address, as tokens name it."""
    iat: int
    exp: int
    ttl: int
    """Seconds after which it is to be asked for again."""
    status_list: EncodedList
    key_set: str
    """What names the keys in force (:data:`.KEY_SET_CLAIM`)."""


class Aggregation(Struct, frozen=True):
    """The addresses of all lists."""

    status_lists: tuple[str, ...]


def list_uri(issuer_url: str, list_id: int) -> str:
    """Return the address of a list."""
    return f"{issuer_url}{LISTS_PATH}/{list_id}"
