"""Invitation tokens: made from what is stored, verified without it."""

from __future__ import annotations

import hmac
import uuid

import pytest

from apostille_issuer.sessions.refresh_tokens import InvalidRefreshToken, RefreshTokens
from apostille_issuer.tenancy.invitation_tokens import (
    InvalidInvitationToken,
    InvitationToken,
    InvitationTokens,
)

OLD, NEW = b"o" * 32, b"n" * 32
IDENT = uuid.UUID("0195512a-8f3b-7c3d-9e2a-4b5c6d7e8f90")


def tokens(*secrets: bytes) -> InvitationTokens:
    return InvitationTokens(lambda message: [hmac.digest(s, message, "sha256") for s in secrets])


def test_a_token_says_which_letter_of_which_invitation() -> None:
    made = tokens(NEW).make(IDENT, 3)
    assert made.startswith("apo_in_0195512a8f3b7c3d9e2a4b5c6d7e8f90_3_")
    assert len(made) <= 128
    assert tokens(NEW).verify(made) == InvitationToken(IDENT, 3)
    assert made == tokens(NEW).make(IDENT, 3)


def test_a_secret_is_replaced_without_voiding_letters() -> None:
    made = tokens(OLD).make(IDENT, 0)
    both = tokens(NEW, OLD)
    assert both.verify(made) == InvitationToken(IDENT, 0)
    assert both.make(IDENT, 0) == tokens(NEW).make(IDENT, 0)
    with pytest.raises(InvalidInvitationToken):
        tokens(NEW).verify(made)


def test_the_same_secret_makes_no_refresh_token_of_it() -> None:
    def macs(message: bytes) -> list[bytes]:
        return [hmac.digest(NEW, message, "sha256")]

    refresh, invitation = RefreshTokens(macs), InvitationTokens(macs)
    with pytest.raises(InvalidInvitationToken):
        invitation.verify(refresh.make(IDENT, 0).replace("apo_rt_", "apo_in_"))
    with pytest.raises(InvalidRefreshToken):
        refresh.verify(invitation.make(IDENT, 0).replace("apo_in_", "apo_rt_"))


@pytest.mark.parametrize("place", range(7, len(tokens(NEW).make(IDENT, 12))))
def test_no_character_can_be_changed(place: int) -> None:
    made = tokens(NEW).make(IDENT, 12)
    for other in "0aA_-":
        changed = made[:place] + other + made[place + 1 :]
        if changed != made:
            with pytest.raises(InvalidInvitationToken):
                tokens(NEW).verify(changed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "apo_in_",
        f"apo_in_{IDENT}_0_{'x' * 43}",
        f"apo_in_{IDENT.hex.upper()}_0_{'x' * 43}",
        f"apo_in_{IDENT.hex}_00_{'x' * 43}",
        f"apo_in_{IDENT.hex}_-1_{'x' * 43}",
        f"apo_in_{IDENT.hex}_{'9' * 10}_{'x' * 43}",
        f"apo_in_{IDENT.hex}_0_{'x' * 42}",
        f"apo_in_{IDENT.hex}_\u0660_{'x' * 43}",
    ],
)
def test_what_has_another_form_is_none(text: str) -> None:
    with pytest.raises(InvalidInvitationToken):
        tokens(NEW).verify(text)
