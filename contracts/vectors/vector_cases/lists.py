"""Status list tokens to be, and the one good list that cases spoil."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from apostille._forgeries import Draft
from apostille._signing import SigningKey
from apostille_contracts.claims import Algorithm
from apostille_contracts.vectors import ExpectedVerdict, StatusVector, VectorPolicy

from .forge import ISSUER, KEYS, NOW, POLICY, Case, b64url, draft

__all__ = [
    "GOOD",
    "SUSPENDED",
    "URI",
    "StatusCase",
    "at",
    "deflated",
    "packed",
    "status_list",
    "zipped",
]

URI = f"{ISSUER}/status-lists/1"

SUSPENDED = 2
"""What a session has besides 0, valid, and 1, invalid (draft section 7.1)."""

GOOD = b"\x00\x00\x02\x00"
"""32 statuses of one bit; the one at 17 is set."""


def at(index: object, uri: str = URI) -> dict[str, Any]:
    """Return the claim ``status`` of a session at *index*."""
    return {"status_list": {"idx": index, "uri": uri}}


def packed(bits: int, statuses: Sequence[int]) -> bytes:
    """Return *statuses* of so many *bits* side by side, the first one least (draft section 4.1)."""
    octets = bytearray((len(statuses) * bits + 7) // 8)
    for index, status in enumerate(statuses):
        octets[index * bits // 8] |= status << index * bits % 8
    return bytes(octets)


def deflated(octets: bytes) -> bytes:
    """Return *octets* as one DEFLATE block of fixed codes (RFC 1951 section 3.2.6).

    Written out, since two builds of zlib need not compress alike: literals,
    and 258 times the octet before wherever there are as many.
    """
    codes = ["1", "10"]  # the last block; fixed codes, the least significant bit first
    position = 0
    while position < len(octets):
        octet = octets[position]
        codes.append(f"{0x30 + octet:08b}" if octet < 144 else f"{0x190 + octet - 144:09b}")
        position += 1
        while octets[position : position + 258] == bytes([octet]) * 258:
            codes.append("11000101" + "00000")  # length 258, distance 1
            position += 258
    codes.append("0000000")  # the end
    bits = "".join(codes)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[start : start + 8][::-1], 2) for start in range(0, len(bits), 8))


def zipped(octets: bytes) -> bytes:
    """Return *octets* as a ZLIB stream (RFC 1950)."""
    return b"\x78\x01" + deflated(octets) + zlib.adler32(octets).to_bytes(4, "big")


def status_list(
    octets: bytes = GOOD, bits: object = 1, /, algorithm: Algorithm = "ES256", **claims: Any
) -> Draft:
    """Return a good status list token before it is signed (draft section 5.1).

    Args:
        octets: The statuses.
        bits: Of one of them.
        algorithm: Names the key, too.
        **claims: Further claims; ``None`` takes one away.
    """
    key = KEYS[algorithm]
    header = {"typ": "statuslist+jwt", "alg": algorithm, "kid": key.kid}
    good = {
        "sub": URI,
        "iat": NOW - 60,
        "exp": NOW + 3_600,
        "ttl": 10,
        "status_list": {"bits": bits, "lst": b64url(zipped(octets))},
    }
    return Draft(header, good, key).with_claims(**claims)


@dataclass(frozen=True)
class StatusCase:
    """One vector to be: an access token, and the list it points to."""

    name: str
    reference: str
    description: str
    served: Draft | str | None
    """The list at :data:`URI`: a draft is signed as it stands, a text goes out as it is."""
    expected: ExpectedVerdict
    index: object = 3
    """Where the token says its session stands."""
    token: Draft | None = None
    """The access token, if not the usual one at *index*."""
    keys: Sequence[SigningKey | Mapping[str, Any]] = ()
    """The published keys; if none are named, that of the token and that of the list."""
    policy: VectorPolicy = field(default=POLICY)
    elsewhere: Mapping[str, Draft] = field(default_factory=dict)
    """Lists at other addresses."""
    time: int = NOW

    def vector(self) -> StatusVector:
        """Return the finished vector."""
        token = self.token or draft(status=at(self.index))
        served: dict[str, Draft | str] = {} if self.served is None else {URI: self.served}
        served |= self.elsewhere
        signers = [token.key, *(each.key for each in served.values() if isinstance(each, Draft))]
        case = Case(
            self.name,
            self.reference,
            self.description,
            token,
            self.expected,
            keys=self.keys or tuple({key.kid: key for key in signers}.values()),
            policy=self.policy,
            time=self.time,
        )
        texts = {
            uri: each.signed() if isinstance(each, Draft) else each for uri, each in served.items()
        }
        return StatusVector(**msgspec.structs.asdict(case.vector()), status_lists=texts)
