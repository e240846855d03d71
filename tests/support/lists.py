"""The issuer's status lists, as a service sees them."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import Any
from zlib import decompress

import msgspec

from apostille_contracts.claims import AccessTokenClaims, Status

__all__ = ["bit_in", "bits_in", "claims_in", "header_of", "place_of"]


def place_of(token: str) -> tuple[int, int]:
    """Return the list and the index that an access token names."""
    claims = claims_in(token, AccessTokenClaims)
    assert isinstance(claims.status, Status)
    reference = claims.status.status_list
    return int(reference.uri.rpartition("/")[2]), reference.idx


def bit_in(list_token: str, idx: int) -> int:
    """Return the bit at *idx* of a status list token of one bit each."""
    return _list_in(list_token)[idx // 8] >> idx % 8 & 1


def bits_in(list_token: str) -> set[int]:
    """Return the indexes of all bits that are set in such a token."""
    octets = enumerate(_list_in(list_token))
    return {
        number * 8 + bit
        for number, octet in octets
        if octet
        for bit in range(8)
        if octet >> bit & 1
    }


def _list_in(list_token: str) -> bytes:
    status_list = claims_in(list_token)["status_list"]
    assert status_list["bits"] == 1
    octets = decompress(_octets(status_list["lst"]))
    assert len(octets) == 2**17 // 8
    return octets


def claims_in(token: str, model: Any = dict) -> Any:
    """Return the claims of a token, unverified."""
    return msgspec.json.decode(_octets(token.split(".")[1]), type=model)


def header_of(token: str) -> dict[str, Any]:
    """Return the header of a token."""
    header: dict[str, Any] = msgspec.json.decode(_octets(token.split(".", maxsplit=1)[0]))
    return header


def _octets(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
