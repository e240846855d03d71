"""Refresh tokens: made, made again, told from forgeries."""

from __future__ import annotations

import hmac
import re
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apostille_issuer.sessions.refresh_tokens import (
    InvalidRefreshToken,
    RefreshToken,
    RefreshTokens,
)

SESSION = uuid.UUID("01a20386-9bb3-7fcb-8d6c-a9e40a7a13f9")


def tokens(*secrets: bytes) -> RefreshTokens:
    accepted = secrets or (b"s" * 32,)
    return RefreshTokens(lambda message: [hmac.digest(s, message, "sha256") for s in accepted])


def test_a_token_has_its_fixed_form_and_is_always_the_same() -> None:
    token = tokens().make(SESSION, 7)
    assert re.fullmatch(rf"apo_rt_{SESSION.hex}_7_[A-Za-z0-9_-]{{43}}", token)
    assert token == tokens().make(SESSION, 7)


@given(st.uuids(), st.integers(0, 2**31 - 1))
def test_what_was_made_is_verified(session_id: uuid.UUID, generation: int) -> None:
    token = tokens().make(session_id, generation)
    assert tokens().verify(token) == RefreshToken(session_id, generation)


def test_every_token_of_a_chain_differs_in_its_mac() -> None:
    macs = {tokens().make(SESSION, generation)[-43:] for generation in range(100)}
    assert len(macs) == 100


def test_another_secret_makes_other_tokens() -> None:
    with pytest.raises(InvalidRefreshToken):
        tokens(b"t" * 32).verify(tokens().make(SESSION, 0))


GOOD = tokens().make(SESSION, 12)
MAC = GOOD[-43:]


@pytest.mark.parametrize(
    "token",
    [
        "",
        "apo_rt_",
        GOOD + "=",
        GOOD + "\n",
        " " + GOOD,
        GOOD[:-1],
        GOOD + "A",
        GOOD.upper(),
        GOOD.replace("apo_rt", "apo_at"),
        GOOD.replace("_12_", "_13_"),
        GOOD.replace("_12_", "_012_"),
        GOOD.replace("_12_", "_+12_"),
        GOOD.replace("_12_", "_-12_"),
        GOOD.replace("_12_", "_\u0661\u0662_"),  # Arabic-Indic digits
        GOOD.replace("_12_", "_12000000000_"),
        GOOD.replace(SESSION.hex, str(SESSION)),
        GOOD.replace(SESSION.hex, SESSION.hex[:-1] + "8"),
        GOOD.replace(SESSION.hex, SESSION.hex.upper()),
        GOOD[:-43] + "A" * 43,
        GOOD[:-43] + MAC[::-1],
        "a" * 100_000,
    ],
)
def test_nothing_else_is_a_token(token: str) -> None:
    with pytest.raises(InvalidRefreshToken):
        tokens().verify(token)


def test_the_last_character_has_one_spelling() -> None:
    """43 characters hold 258 bits; the two spare ones must not make twins."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    accepted = []
    for last in alphabet:
        try:
            tokens().verify(GOOD[:-1] + last)
        except InvalidRefreshToken:
            continue
        accepted.append(last)
    assert accepted == [GOOD[-1]]


@given(st.text(alphabet=string.printable, max_size=120))
def test_only_invalid_refresh_token_comes_out(text: str) -> None:
    with pytest.raises(InvalidRefreshToken):
        tokens().verify("apo_rt_" + text)


def test_a_new_secret_makes_tokens_and_accepts_those_of_the_old_one() -> None:
    old, new = b"o" * 32, b"n" * 32
    before = tokens(old).make(SESSION, 3)
    rotated = tokens(new, old)
    assert rotated.verify(before) == RefreshToken(SESSION, 3)
    assert rotated.make(SESSION, 4) == tokens(new).make(SESSION, 4)
    assert rotated.verify(rotated.make(SESSION, 4)) == RefreshToken(SESSION, 4)


def test_a_secret_that_was_withdrawn_is_accepted_no_more() -> None:
    with pytest.raises(InvalidRefreshToken):
        tokens(b"n" * 32).verify(tokens(b"o" * 32).make(SESSION, 3))
