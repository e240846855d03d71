"""Invitation tokens: made from an invitation and a number when its letter is written.

.. code-block:: text

    apo_in_<invitation id, 32 hex digits>_<generation>_<MAC, 43 base64url characters>

The same secrets key the MAC as those of refresh tokens, under another label, so
neither kind is ever the other. The database holds no token. Nothing here knows
the time, or whether the invitation can still be accepted.
"""

from __future__ import annotations

import hmac
import re
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

__all__ = ["InvalidInvitationToken", "InvitationToken", "InvitationTokens"]

_FORM: Final = re.compile(r"apo_in_([0-9a-f]{32})_(0|[1-9][0-9]{0,8})_[A-Za-z0-9_-]{43}", re.ASCII)

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
        self._macs = macs

    def make(self, invitation_id: uuid.UUID, generation: int) -> str:
        """Return the token of *generation*; always the same for the same arguments and secret."""
        return self._spellings(invitation_id, generation)[0]

    def verify(self, token: str) -> InvitationToken:
        """Return what *token* says, if it was made here.

        Raises:
            InvalidInvitationToken: It has another form, or its MAC is wrong.
        """
        match = _FORM.fullmatch(token)
        if match is None:
            raise InvalidInvitationToken
        found = InvitationToken(uuid.UUID(hex=match[1]), int(match[2]))
        # The whole token is compared, in constant time: no second spelling
        # of the same MAC (spare bits of the last character) is accepted.
        spellings = self._spellings(found.invitation_id, found.generation)
        if not any(hmac.compare_digest(spelling, token) for spelling in spellings):
            raise InvalidInvitationToken
        return found

    def _spellings(self, invitation_id: uuid.UUID, generation: int) -> list[str]:
        """Return the token under each secret."""
        message = _PURPOSE + invitation_id.bytes + generation.to_bytes(8, "big")
        start = f"apo_in_{invitation_id.hex}_{generation}_"
        return [start + urlsafe_b64encode(mac).rstrip(b"=").decode() for mac in self._macs(message)]
