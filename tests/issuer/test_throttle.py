"""How often a login may fail, per login name and per address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apostille_issuer.accounts import throttle as module
from apostille_issuer.accounts.throttle import LoginThrottle, Throttled
from apostille_issuer.settings import RateLimit

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOME, AWAY = "192.0.2.1", "198.51.100.7"


def make(per_login: int = 3, per_address: int = 10, minutes: int = 15) -> LoginThrottle:
    per = timedelta(minutes=minutes)
    return LoginThrottle(
        per_login=RateLimit(per_login, per), per_address=RateLimit(per_address, per)
    )


def fail(throttle: LoginThrottle, login: str = "ada", address: str = AWAY, times: int = 1) -> None:
    for _ in range(times):
        throttle.begin(login, address, NOW)


def turned_away(
    throttle: LoginThrottle, login: str = "ada", address: str = AWAY, now: datetime = NOW
) -> Throttled:
    with pytest.raises(Throttled) as caught:
        throttle.begin(login, address, now)
    return caught.value


def test_after_so_many_failures_one_is_turned_away() -> None:
    throttle = make(per_login=3)
    fail(throttle, times=3)
    assert turned_away(throttle).retry_after == 300
    throttle.begin("bob", AWAY, NOW)


def test_a_place_is_free_again_after_a_share_of_the_time() -> None:
    throttle = make(per_login=3)
    fail(throttle, times=3)
    just_before = NOW + timedelta(seconds=299, milliseconds=500)
    assert turned_away(throttle, now=just_before).retry_after == 1
    throttle.begin("ada", AWAY, NOW + timedelta(seconds=300))
    assert turned_away(throttle, now=NOW + timedelta(seconds=300)).retry_after == 300
    later = NOW + timedelta(minutes=30)
    for _ in range(3):
        throttle.begin("ada", AWAY, later)
    turned_away(throttle, now=later)


def test_who_knows_his_password_is_never_slowed_down() -> None:
    throttle = make(per_login=2, per_address=2)
    for _ in range(100):
        throttle.succeeded(throttle.begin("ada", HOME, NOW))
    for _ in range(100):
        throttle.abandoned(throttle.begin("bob", HOME, NOW))


def test_a_login_of_his_own_does_not_wipe_out_the_guesses_before_it() -> None:
    throttle = make(per_login=5, per_address=4)
    for _ in range(3):
        throttle.begin("ada", AWAY, NOW)
        throttle.succeeded(throttle.begin("mallory", AWAY, NOW))
    throttle.begin("ada", AWAY, NOW)
    turned_away(throttle)


def test_guesses_at_once_count_like_guesses_in_a_row() -> None:
    throttle = make(per_login=3)
    pending = [throttle.begin("ada", AWAY, NOW) for _ in range(3)]
    turned_away(throttle)
    throttle.abandoned(pending[0])
    throttle.begin("ada", AWAY, NOW)


def test_an_address_has_its_own_limit_over_all_names() -> None:
    throttle = make(per_login=3, per_address=4)
    for number in range(4):
        throttle.begin(f"user{number}", AWAY, NOW)
    turned_away(throttle, login="user9")
    throttle.begin("user9", HOME, NOW)


def test_being_turned_away_at_a_name_takes_nothing_from_the_address() -> None:
    throttle = make(per_login=1, per_address=2)
    fail(throttle)
    for _ in range(50):
        turned_away(throttle)
    throttle.begin("bob", AWAY, NOW)


def test_an_attacker_from_afar_cannot_lock_out_who_logged_in_from_here_before() -> None:
    throttle = make(per_login=3)
    throttle.succeeded(throttle.begin("ada", HOME, NOW))
    fail(throttle, address=AWAY, times=3)
    turned_away(throttle, address=AWAY)
    throttle.succeeded(throttle.begin("ada", HOME, NOW))


def test_a_familiar_address_is_limited_too() -> None:
    throttle = make(per_login=3)
    throttle.succeeded(throttle.begin("ada", HOME, NOW))
    fail(throttle, address=HOME, times=3)
    turned_away(throttle, address=HOME)
    throttle.begin("ada", AWAY, NOW)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),  # one subscriber has a /64
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("unix", "unix", True),
    ],
)
def test_addresses_are_counted_by_subscriber(one: str, other: str, *, same: bool) -> None:
    throttle = make(per_login=5, per_address=1)
    throttle.begin("ada", one, NOW)
    if same:
        turned_away(throttle, login="bob", address=other)
    else:
        throttle.begin("bob", other, NOW)


def test_no_address_is_an_address() -> None:
    throttle = make(per_address=1)
    throttle.begin("ada", None, NOW)
    with pytest.raises(Throttled):
        throttle.begin("bob", None, NOW)


def test_only_the_first_of_a_flood_is_reported() -> None:
    throttle = make(per_login=1, minutes=1)
    fail(throttle)
    assert [turned_away(throttle).first for _ in range(3)] == [True, False, False]
    throttle.begin("ada", AWAY, NOW + timedelta(minutes=1))
    assert turned_away(throttle, now=NOW + timedelta(minutes=1)).first


def test_a_clock_that_steps_back_locks_nobody_out_for_longer() -> None:
    throttle = make(per_login=3, minutes=15)
    fail(throttle, times=3)
    yesterday = NOW - timedelta(days=1)
    wait = turned_away(throttle, address="203.0.113.9", now=yesterday).retry_after
    assert wait <= 300
    throttle.begin("ada", HOME, yesterday + timedelta(seconds=300))


def test_memory_is_bounded_and_the_fullest_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 20)
    throttle = make(per_login=3, per_address=1000)
    fail(throttle, "ada", times=3)
    forgotten = throttle.begin("bob", AWAY, NOW)
    for number in range(30):
        throttle.begin(f"u{number}", AWAY, NOW)
        assert len(throttle._logins) <= 20
        turned_away(throttle, "ada")
    assert forgotten.login not in throttle._logins._buckets
    throttle.abandoned(forgotten)
    for number in range(30):
        throttle.succeeded(throttle.begin(f"v{number}", HOME, NOW))
    assert len(throttle._familiar) == 20
    assert len(throttle._logins) <= 20


def test_an_address_that_is_turned_away_leaves_no_trace_on_login_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 4)
    throttle = make(per_login=3, per_address=3)
    fail(throttle, "ada", HOME, times=3)
    fail(throttle, "mallory", AWAY, times=3)
    before = len(throttle._logins)
    for number in range(100):
        turned_away(throttle, f"u{number}", AWAY)
    assert len(throttle._logins) == before
    turned_away(throttle, "ada", "203.0.113.9")


def test_a_name_that_is_full_lets_nobody_fill_up_the_addresses() -> None:
    throttle = make(per_login=1)
    fail(throttle, "ada", HOME)
    for number in range(100):
        turned_away(throttle, "ada", f"203.0.113.{number}")
    assert len(throttle._addresses) == 1


def test_buckets_that_are_empty_again_go_before_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 2)
    throttle = make(per_login=3, per_address=100)
    throttle.begin("long ago", AWAY, NOW)
    later = NOW + timedelta(minutes=10)
    throttle.begin("ada", AWAY, later)
    for _ in range(3):  # nothing of importance was forgotten, so all places are free
        throttle.begin("bob", AWAY, later)
    throttle.begin("ada", AWAY, later)
    throttle.begin("ada", AWAY, later)
    turned_away(throttle, "ada", now=later)
    turned_away(throttle, "bob", now=later)


def test_being_forgotten_gives_no_more_than_one_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 1)
    throttle = make(per_login=3, per_address=100)
    fail(throttle, "ada", times=3)
    fail(throttle, "bob")
    fail(throttle, "ada")
    turned_away(throttle, "ada")


def test_what_was_forgotten_before_the_clock_stepped_back_is_over_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 1)
    throttle = make(per_login=3, per_address=100)
    fail(throttle, "ada", times=3)
    yesterday = NOW - timedelta(days=1)
    for number, login in enumerate(("bob", "cat", "dan")):
        throttle.begin(login, f"203.0.113.{number}", yesterday)
    turned_away(throttle, "dan", "203.0.113.2", yesterday)
    later = yesterday + timedelta(minutes=15)
    for number in range(3):
        throttle.begin("eve", f"192.0.2.{number}", later)
