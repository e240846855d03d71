"""Step 7 of DESIGN section 5: status lists, and how one is read from its token. Pure.

See: draft-ietf-oauth-status-list-21 (Token Status List).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from apostille_contracts.claims import LAST_SECOND

from ._inquiry import FetchFailed
from ._json import Malformed, decode_base64url, decode_text
from ._jwk import VerificationKey
from ._keyring import Keyring
from ._token import read_header, split
from .errors import BadSignature, InvalidToken, UnknownKey
from .events import FetchFailure

__all__ = [
    "EMPTY_STATUS_LIST",
    "MAX_LIST_BYTES",
    "SignedStatusList",
    "StatusList",
    "StatusListPolicy",
    "unpack",
]

MAX_LIST_BYTES = 1024 * 1024
"""Largest list that is unpacked: 2^23 statuses of one bit. Two kilobytes can unpack to as much."""

_MAX_TOKEN_CHARACTERS = 1024 * 1024
"""As large as any document that is fetched."""

_TYPES = frozenset({"statuslist+jwt", "application/statuslist+jwt"})

_Seconds = Annotated[int, Meta(ge=0, le=LAST_SECOND)] | Annotated[float, Meta(ge=0, le=LAST_SECOND)]
_Positive = Annotated[int, Meta(gt=0)] | Annotated[float, Meta(gt=0)]

Bits = Literal[1, 2, 4, 8]
"""How many bits a status has; eight are the most there are."""


class StatusList:
    """Statuses side by side, least significant bits first (section 4.1). Immutable.

    Args:
        bits: Of one status.
        octets: All of them.
    """

    __slots__ = ("_mask", "bits", "octets")

    def __init__(self, bits: Bits, octets: bytes) -> None:
        """Hold *octets* as they are."""
        self.bits = bits
        self.octets = octets
        self._mask = (1 << bits) - 1

    def value(self, index: int) -> int:
        """Return the status at *index*, which is not negative; 0 is "valid" (section 7.1).

        Raises:
            IndexError: The list does not reach so far.
        """
        position = index * self.bits
        return self.octets[position >> 3] >> (position & 7) & self._mask

    def __len__(self) -> int:
        return len(self.octets) * 8 // self.bits

    def __repr__(self) -> str:
        return f"StatusList(bits={self.bits}, statuses={len(self)})"


EMPTY_STATUS_LIST = StatusList(1, b"")
"""What is held before the first fetch."""


@dataclass(frozen=True, slots=True)
class SignedStatusList:
    """A status list whose signature, address and times have been checked."""

    statuses: StatusList
    key: VerificationKey
    """What it was signed with."""
    expires: float
    """``exp`` in seconds since the epoch; infinite if absent."""
    ttl: float | None
    """For how many seconds the issuer says it may be used before it is asked for anew."""
    key_set: str | None = None
    """What names the issuer's keys (:mod:`apostille_contracts.key_sets`), if it says so."""


class _Statuses(msgspec.Struct, frozen=True, gc=False):
    bits: Bits
    lst: str


class _Claims(msgspec.Struct, frozen=True, gc=False):
    """Claims of a status list token (section 5.1); others are allowed and ignored."""

    sub: str
    iat: _Seconds
    status_list: _Statuses
    exp: _Seconds | UnsetType = UNSET
    ttl: _Positive | UnsetType = UNSET
    key_set: msgspec.Raw = msgspec.Raw()
    """Of another issuer it may be anything."""


_DECODER = msgspec.json.Decoder(_Claims)

_Thumbprint = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{43}\Z")]
_KEY_SET = msgspec.json.Decoder(_Thumbprint)


@dataclass(frozen=True, slots=True)
class StatusListPolicy:
    """What a status list token must be to be believed.

    Args:
        uri: Where it stands, letter for letter as access tokens say it.
        algorithms: The allow-list.
        leeway: How far the issuer's clock and ours may differ, in seconds.
    """

    uri: str
    algorithms: AbstractSet[str]
    leeway: float

    def accept(self, document: bytes, keyring: Keyring, now: float) -> SignedStatusList:
        """Return the list in *document*, a compact JWS (section 8.3).

        Args:
            document: As fetched; its size is bounded already.
            keyring: The issuer's keys; no others sign its lists.
            now: Seconds since the epoch.

        Raises:
            UnknownKey: It is signed with a key that is not in *keyring*.
            FetchFailed: ``untrusted``: a bad signature, or another list than
                was asked for. ``expired``. ``too_large``: it unpacks to more
                than :data:`MAX_LIST_BYTES`. ``wrong_content``: whatever else.
        """
        key, payload = self._verified(document, keyring)
        try:
            claims = _DECODER.decode(decode_text(payload))
        except (Malformed, msgspec.DecodeError):
            raise FetchFailed(FetchFailure.WRONG_CONTENT) from None
        if claims.sub != self.uri:
            # Of two lists of one issuer, the other might not know the session.
            raise FetchFailed(FetchFailure.UNTRUSTED)
        expires = math.inf if claims.exp is UNSET else float(claims.exp)
        if now >= expires + self.leeway:
            raise FetchFailed(FetchFailure.EXPIRED)
        if claims.iat - self.leeway > now:
            raise FetchFailed(FetchFailure.WRONG_CONTENT)
        statuses = unpack(claims.status_list.bits, claims.status_list.lst)
        ttl = None if claims.ttl is UNSET else float(claims.ttl)
        return SignedStatusList(statuses, key, expires, ttl, _key_set_in(claims))

    def _verified(self, document: bytes, keyring: Keyring) -> tuple[VerificationKey, bytes]:
        """Return the key that signed *document*, and the payload it signed."""
        try:
            text = document.decode("ascii").strip()
            parts = split(text, limit=_MAX_TOKEN_CHARACTERS)
            header = read_header(parts.header_segment, self.algorithms, types=_TYPES)
        except (UnicodeDecodeError, InvalidToken):
            raise FetchFailed(FetchFailure.WRONG_CONTENT) from None
        key = keyring.keys.get(header.kid)
        if key is None:
            raise UnknownKey
        if header.algorithm not in key.algorithm_names:
            raise FetchFailed(FetchFailure.UNTRUSTED)
        try:
            key.check(parts.signature, parts.signing_input)
        except BadSignature:
            raise FetchFailed(FetchFailure.UNTRUSTED) from None
        return key, parts.payload


def _key_set_in(claims: _Claims) -> str | None:
    """Return what names the issuer's keys, if *claims* do.

    A private claim: where it is not what Apostille's issuer writes, it is
    somebody else's, and as good as absent. The list is no worse for it.
    """
    try:
        return _KEY_SET.decode(claims.key_set)
    except msgspec.DecodeError:
        return None


def unpack(bits: Bits, lst: str) -> StatusList:
    """Return the list in *lst*: base64url of a ZLIB stream (sections 4.1 and 4.2).

    Raises:
        FetchFailed: ``wrong_content``: it is not that, or does not end where
            its stream does. ``too_large``: over :data:`MAX_LIST_BYTES`.
    """
    stream = zlib.decompressobj()
    try:
        # One octet more than allowed tells a list that is too long from one that just fits.
        octets = stream.decompress(decode_base64url(lst.encode("ascii")), MAX_LIST_BYTES + 1)
    except (UnicodeEncodeError, Malformed, zlib.error):
        raise FetchFailed(FetchFailure.WRONG_CONTENT) from None
    if len(octets) > MAX_LIST_BYTES:
        raise FetchFailed(FetchFailure.TOO_LARGE)
    if not stream.eof or stream.unused_data:
        raise FetchFailed(FetchFailure.WRONG_CONTENT)
    return StatusList(bits, octets)
