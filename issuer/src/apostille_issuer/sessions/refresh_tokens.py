"""Refresh tokens: made from a session and a number, and made again when needed.

.. code-block:: text

    apo_rt_<session id, 32 hex digits>_<generation>_<MAC, 43 base64url characters>

The MAC is keyed by a secret that lives with the signing keys, so nobody makes a
token from what the database holds, and the database holds no token. The prefix
is for secret scanners. Nothing here knows the time or whether a session lives.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from apostille_issuer.keys.mac_tokens import InvalidMacToken, MacTokens

__all__ = ["InvalidRefreshToken", "RefreshToken", "RefreshTokens"]

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
        self._tokens = MacTokens("apo_rt", _PURPOSE, macs, most_digits=10)

    def make(self, session_id: uuid.UUID, generation: int) -> str:
        """Return the token of *generation*; always the same for the same arguments and secret."""
        return self._tokens.make(session_id, generation)

    def verify(self, token: str) -> RefreshToken:
        """Return what *token* says, if it was made here.

        Does not check whether the session lives or the generation is good.

        Raises:
            InvalidRefreshToken: It has another form, or its MAC is wrong.
        """
        try:
            return RefreshToken(*self._tokens.verify(token))
        except InvalidMacToken:
            raise InvalidRefreshToken from None
