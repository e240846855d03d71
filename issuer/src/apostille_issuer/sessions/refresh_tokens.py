"""Refresh tokens: made from a session and a number, and made again when needed.

.. code-block:: text

    apo_rt_<session id, 32 hex digits>_<generation>_<MAC, 43 base64url characters>

The MAC is keyed by a secret that lives with the signing keys, so nobody makes a
token from what the database holds, and the database holds no token. The prefix
is for secret scanners. Nothing here knows the time or whether a session lives.
"""

from __future__ import annotations

import hmac
import re
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

__all__ = ["InvalidRefreshToken", "RefreshToken", "RefreshTokens"]

_FORM: Final = re.compile(r"apo_rt_([0-9a-f]{32})_(0|[1-9][0-9]{0,9})_[A-Za-z0-9_-]{43}", re.ASCII)

_PURPOSE: Final = b"apostille refresh token v1\0"
"""Keeps the MAC apart from any other use of the same secret, now or later."""


class InvalidRefreshToken(Exception):
    """Not a token that was made here; says nothing about any session."""


class RefreshToken(Struct, frozen=True):
    """What a token says, once its MAC was found to be right."""

    session_id: uuid.UUID
    generation: int


class RefreshTokens:
    """Makes and verifies refresh tokens with a secret that may have predecessors."""

    def __init__(self, macs: Callable[[bytes], Sequence[bytes]]) -> None:
        """Take the keyed *macs* of a message: HMAC-SHA256 under each secret that is accepted.

        The first one makes tokens, so that a secret can be replaced without
        ending a session.
        """
        self._macs = macs

    def make(self, session_id: uuid.UUID, generation: int) -> str:
        """Return the token of *generation*; always the same for the same arguments and secret."""
        return self._spellings(session_id, generation)[0]

    def verify(self, token: str) -> RefreshToken:
        """Return what *token* says, if it was made here.

        Does not check whether the session lives or the generation is good.

        Raises:
            InvalidRefreshToken: It has another form, or its MAC is wrong.
        """
        match = _FORM.fullmatch(token)
        if match is None:
            raise InvalidRefreshToken
        found = RefreshToken(uuid.UUID(hex=match[1]), int(match[2]))
        # The whole token is compared, in constant time: no second spelling
        # of the same MAC (spare bits of the last character) is accepted.
        spellings = self._spellings(found.session_id, found.generation)
        if not any(hmac.compare_digest(spelling, token) for spelling in spellings):
            raise InvalidRefreshToken
        return found

    def _spellings(self, session_id: uuid.UUID, generation: int) -> list[str]:
        """Return the token under each secret."""
        message = _PURPOSE + session_id.bytes + generation.to_bytes(8, "big")
        start = f"apo_rt_{session_id.hex}_{generation}_"
        return [start + urlsafe_b64encode(mac).rstrip(b"=").decode() for mac in self._macs(message)]
