"""Tokens that need no row: an identifier, a number and a MAC, made again when needed.

.. code-block:: text

    <prefix>_<identifier, 32 hex digits>_<generation>_<MAC, 43 base64url characters>

The MAC is keyed by a secret that lives with the signing keys, so nobody makes a
token from what the database holds, and the database holds no token. The prefix
is for secret scanners.
"""

from __future__ import annotations

import hmac
import re
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence

__all__ = ["InvalidMacToken", "MacTokens"]


class InvalidMacToken(Exception):
    """Not a token that was made here; says nothing about what it is for."""


class MacTokens:
    """Makes and verifies tokens of one kind, with a secret that may have predecessors."""

    def __init__(
        self,
        prefix: str,
        purpose: bytes,
        macs: Callable[[bytes], Sequence[bytes]],
        *,
        most_digits: int,
    ) -> None:
        """Take what sets this kind of token apart from others.

        Args:
            prefix: What it begins with.
            purpose: Keeps the MAC apart from any other use of the same secret.
            macs: Keyed MACs of a message: HMAC-SHA256 under each secret that is
                accepted. The first one makes tokens, so that a secret can be
                replaced while those of its predecessors are still good.
            most_digits: Of the generation.
        """
        self._prefix = prefix
        self._purpose = purpose
        self._macs = macs
        self._form = re.compile(
            rf"{re.escape(prefix)}_([0-9a-f]{{32}})_(0|[1-9][0-9]{{0,{most_digits - 1}}})"
            r"_[A-Za-z0-9_-]{43}",
            re.ASCII,
        )

    def make(self, ident: uuid.UUID, generation: int) -> str:
        """Return the token of *generation*; always the same for the same arguments and secret."""
        return self._spellings(ident, generation)[0]

    def verify(self, token: str) -> tuple[uuid.UUID, int]:
        """Return the identifier and the generation that *token* says, if it was made here.

        Raises:
            InvalidMacToken: It has another form, or its MAC is wrong.
        """
        match = self._form.fullmatch(token)
        if match is None:
            raise InvalidMacToken
        ident, generation = uuid.UUID(hex=match[1]), int(match[2])
        # The whole token is compared, in constant time: no second spelling
        # of the same MAC (spare bits of the last character) is accepted.
        spellings = self._spellings(ident, generation)
        if not any(hmac.compare_digest(spelling, token) for spelling in spellings):
            raise InvalidMacToken
        return ident, generation

    def _spellings(self, ident: uuid.UUID, generation: int) -> list[str]:
        """Return the token under each secret."""
        message = self._purpose + ident.bytes + generation.to_bytes(8, "big")
        start = f"{self._prefix}_{ident.hex}_{generation}_"
        return [start + urlsafe_b64encode(mac).rstrip(b"=").decode() for mac in self._macs(message)]
