"""What presenting a refresh token comes to, decided purely."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from apostille_issuer.sessions.chain import Standing, Use, Verdict, judge

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WINDOW = timedelta(seconds=10)
TICK = timedelta(microseconds=1)

STANDING = Standing(
    client_id="apostille",
    generation=7,
    rotated_at=NOW - timedelta(minutes=5),
    expires_at=NOW + timedelta(days=90),
    idle_expires_at=NOW + timedelta(days=14),
    revoked_at=None,
)


def verdict(generation: int = 7, *, presented_by: str = "apostille", **changes: Any) -> Verdict:
    standing = msgspec.structs.replace(STANDING, **changes)
    return judge(Use(uuid.uuid4(), generation, presented_by), standing, NOW, WINDOW)


def test_the_present_generation_is_good() -> None:
    assert verdict() is Verdict.ADVANCE


def test_a_session_that_is_gone_has_ended() -> None:
    assert judge(Use(uuid.uuid4(), 0, "apostille"), None, NOW, WINDOW) is Verdict.ENDED


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (timedelta(0), Verdict.REPLAY),
        (WINDOW - TICK, Verdict.REPLAY),
        (WINDOW, Verdict.REUSED),
        (timedelta(days=1), Verdict.REUSED),
        (-WINDOW + TICK, Verdict.REPLAY),  # another replica's clock is ahead
        (-WINDOW, Verdict.REUSED),
    ],
)
def test_the_loser_of_a_race_has_ten_seconds(ago: timedelta, expected: Verdict) -> None:
    assert verdict(6, rotated_at=NOW - ago) is expected


def test_older_generations_are_theft_however_soon() -> None:
    assert verdict(5, rotated_at=NOW) is Verdict.REUSED
    assert verdict(0, rotated_at=NOW) is Verdict.REUSED


def test_without_a_window_every_second_use_is_theft() -> None:
    standing = msgspec.structs.replace(STANDING, rotated_at=NOW)
    use = Use(uuid.uuid4(), 6, "apostille")
    assert judge(use, standing, NOW, timedelta(0)) is Verdict.REUSED


@pytest.mark.parametrize("generation", [0, 6, 7])
@pytest.mark.parametrize("end", ["expires_at", "idle_expires_at"])
def test_an_expired_session_has_ended_whatever_is_presented(generation: int, end: str) -> None:
    ended: dict[str, Any] = {end: NOW}
    assert verdict(generation, **ended) is Verdict.ENDED
    lives: dict[str, Any] = {end: NOW + TICK}
    assert verdict(7, **lives) is Verdict.ADVANCE


@pytest.mark.parametrize("generation", [0, 6, 7])
def test_an_ended_session_stays_ended(generation: int) -> None:
    assert verdict(generation, revoked_at=NOW, rotated_at=NOW) is Verdict.ENDED


def test_another_client_learns_nothing() -> None:
    assert verdict(7, presented_by="other") is Verdict.FOREIGN
    assert verdict(7, presented_by="other", revoked_at=NOW) is Verdict.FOREIGN
    assert verdict(7, presented_by="other", expires_at=NOW) is Verdict.FOREIGN
    assert verdict(3, presented_by="other") is Verdict.FOREIGN


def test_a_generation_of_the_future_is_neither_good_nor_theft() -> None:
    assert verdict(8) is Verdict.FOREIGN
