"""Invitation tokens: made from an invitation and a number when its letter is written.

.. code-block:: text

    apo_in_<invitation id, 32 hex digits>_<generation>_<MAC, 43 base64url characters>

The same secrets key the MAC as those of refresh tokens, under another label, so
neither kind is ever the other. The database holds no token. Nothing here knows
the time, or whether the invitation can still be accepted.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from apostille_issuer.keys.mac_tokens import InvalidMacToken, MacTokens

__all__ = ["InvalidInvitationToken", "InvitationToken", "InvitationTokens"]

_PURPOSE: Final = b"apostille invitation v1\0"
"""Keeps the MAC apart from any other use of the same secret, refresh tokens above all."""


class InvalidInvitationToken(Exception):
    """Not a token that was made here; says nothing about any invitation."""


class InvitationToken(Struct, frozen=True):
    """What a token says, once its MAC was found to be right."""

    invitation_id: uuid.UUID
    generation: int


class InvitationTokens:
    """Makes and verifies invitation tokens with a secret that may have predecessors."""

    def __init__(self, macs: Callable[[bytes], Sequence[bytes]]) -> None:
        """Take the keyed *macs* of a message: HMAC-SHA256 under each secret that is accepted.

        The first one makes tokens; see :meth:`.KeyService.refresh_macs`.
        """
        self._tokens = MacTokens("apo_in", _PURPOSE, macs, most_digits=9)

    def make(self, invitation_id: uuid.UUID, generation: int) -> str:
        """Return the token of *generation*; always the same for the same arguments and secret."""
        return self._tokens.make(invitation_id, generation)

    def verify(self, token: str) -> InvitationToken:
        """Return what *token* says, if it was made here.

        Raises:
            InvalidInvitationToken: It has another form, or its MAC is wrong.
        """
        try:
            return InvitationToken(*self._tokens.verify(token))
        except InvalidMacToken:
            raise InvalidInvitationToken from None
