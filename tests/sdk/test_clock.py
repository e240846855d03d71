"""The clock that tests turn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apostille.clock import ManualClock


def test_it_stands_still_until_it_is_advanced() -> None:
    clock = ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
    assert clock.time() == clock.time() == clock.now().timestamp()
    before = clock.monotonic()
    clock.advance(timedelta(minutes=1))
    assert clock.now() == datetime(2030, 1, 1, 0, 1, tzinfo=UTC)
    assert clock.monotonic() == before + 60


def test_the_wall_clock_alone_can_be_set() -> None:
    clock = ManualClock()
    before = clock.monotonic()
    clock.shift_wall(timedelta(hours=-1))
    assert clock.monotonic() == before
    assert clock.now() < datetime.now(UTC)


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="forward"):
        ManualClock().advance(timedelta(seconds=-1))
