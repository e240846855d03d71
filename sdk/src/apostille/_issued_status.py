"""Status lists as an issuer keeps them, for tests alone.

See: draft-ietf-oauth-status-list-21.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from apostille_contracts.key_sets import KEY_SET_CLAIM

from ._signing import SigningKey, b64url
from ._token import split
from .errors import ConfigurationError, InvalidToken

__all__ = ["IssuedStatus", "session_of"]

LIST_SIZE = 2**17
"""Sessions of one list, as Apostille's issuer cuts them."""

TTL_SECONDS = 1
"""How long a served list may be used: tests are in a hurry."""

LIFETIME_SECONDS = 3600


class IssuedStatus:
    """Which session stands where, and which are no longer good."""

    __slots__ = ("_count", "_lists", "_places")

    def __init__(self) -> None:
        """Know no sessions."""
        self._places: dict[str, list[tuple[str, int]]] = {}
        self._lists: dict[str, bytearray] = {}
        self._count = 0

    def reference(self, issuer: str, session: object) -> dict[str, Any]:
        """Return where *session* stands in the lists of *issuer*; a new place if it has none.

        Raises:
            ConfigurationError: It is no session.
        """
        if not isinstance(session, str):
            raise ConfigurationError("a revocable token names its session")
        places = self._places.setdefault(session, [])
        for uri, index in places:
            if uri.startswith(f"{issuer}/"):
                return {"idx": index, "uri": uri}
        number, index = divmod(self._count, LIST_SIZE)
        uri = f"{issuer}/status-lists/{number + 1}"
        self._count += 1
        self._lists.setdefault(uri, bytearray(LIST_SIZE // 8))
        places.append((uri, index))
        return {"idx": index, "uri": uri}

    def revoke(self, session: str) -> bool:
        """Set the bits of *session*, whose next token gets a new place; say whether it had any."""
        places = self._places.pop(session, [])
        for uri, index in places:
            self._lists[uri][index >> 3] |= 1 << (index & 7)
        return bool(places)

    def signed(self, uri: str, key: SigningKey, issued: int, key_set: str) -> bytes | None:
        """Return the list at *uri* as a token (section 5.1), if there is one.

        *key_set* names the keys there are.
        """
        octets = self._lists.get(uri)
        if octets is None:
            return None
        header = {"typ": "statuslist+jwt", "alg": key.algorithm, "kid": key.kid}
        claims = {
            "sub": uri,
            "iat": issued,
            "exp": issued + LIFETIME_SECONDS,
            "ttl": TTL_SECONDS,
            KEY_SET_CLAIM: key_set,
            "status_list": {"bits": 1, "lst": b64url(zlib.compress(octets, 9))},
        }
        return key.token(header, claims).encode()

    def lists(self) -> dict[str, bytes]:
        """Return all lists by address."""
        return {uri: bytes(octets) for uri, octets in self._lists.items()}


class _Session(msgspec.Struct):
    sid: str


def session_of(token: str) -> str | None:
    """Return the session that *token* names, if it is a token and names one."""
    try:
        return msgspec.json.decode(split(token).payload, type=_Session).sid
    except (InvalidToken, msgspec.DecodeError):
        return None
