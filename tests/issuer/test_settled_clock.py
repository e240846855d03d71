"""A step forward is believed once it has lasted; one back at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apostille_issuer.clock import SettledClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class Clocks:
    """A clock that can be set, and one that nobody sets."""

    def __init__(self) -> None:
        self.wall, self.elapsed = NOON, 5_000.0
        self.settled = SettledClock(lambda: self.wall, HOUR, monotonic=lambda: self.elapsed)
        self.settled()

    def run(self, time: timedelta) -> datetime:
        """Let time pass, and look every minute; return what the settled clock says."""
        while time > timedelta(0):
            step = min(time, MINUTE)
            self.wall += step
            self.elapsed += step.total_seconds()
            time -= step
            self.settled()
        return self.settled()


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_time_that_passes_is_believed(clocks: Clocks) -> None:
    assert clocks.settled() == NOON
    assert clocks.run(30 * HOUR) == NOON + 30 * HOUR


def test_a_step_forward_is_believed_when_it_has_lasted(clocks: Clocks) -> None:
    clocks.run(2 * HOUR)
    clocks.wall += timedelta(days=365)
    assert clocks.settled() == NOON + 2 * HOUR
    assert clocks.run(HOUR) == NOON + 3 * HOUR
    assert clocks.run(MINUTE) == NOON + timedelta(days=365) + 3 * HOUR + MINUTE


def test_a_step_forward_that_is_taken_back_was_never_believed(clocks: Clocks) -> None:
    clocks.wall += timedelta(days=365)
    clocks.run(30 * MINUTE)
    clocks.wall -= timedelta(days=365)
    assert clocks.run(3 * HOUR) == NOON + 3.5 * HOUR


def test_a_step_back_is_followed_at_once_and_its_undoing_later(clocks: Clocks) -> None:
    clocks.wall -= 5 * MINUTE
    assert clocks.settled() == NOON - 5 * MINUTE
    clocks.wall += 5 * MINUTE
    assert clocks.run(HOUR) == NOON + HOUR - 5 * MINUTE
    assert clocks.run(MINUTE) == NOON + HOUR + MINUTE


def test_what_was_seen_is_forgotten(clocks: Clocks) -> None:
    clocks.run(10 * HOUR)
    assert len(clocks.settled._seen) < 70
