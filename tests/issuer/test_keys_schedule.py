"""The life of a key, decided purely: when what is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apostille_contracts.claims import Algorithm
from apostille_issuer.keys.schedule import (
    KeyStanding,
    KeyState,
    Step,
    after,
    due,
    making_version,
    rotation,
    wanted,
    withdrawal,
)
from support.keys import SCHEDULE

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BOTH: tuple[Algorithm, ...] = ("ES256", "RS256")


def key(kid: str, state: KeyState, **changes: object) -> KeyStanding:
    standing = KeyStanding(
        kid=kid,
        algorithm="ES256",
        state=state,
        created_at=NOW,
        activates_at=NOW,
    )
    return msgspec.structs.replace(standing, **changes)


ACTIVE = key("a", KeyState.ACTIVE)
NEXT = key("n", KeyState.NEXT, activates_at=NOW + SCHEDULE.lifetime)


def states(keys: list[KeyStanding]) -> dict[str, str]:
    return {standing.kid: standing.state.value for standing in keys}


def test_before_its_time_nothing_is_due() -> None:
    assert due([ACTIVE, NEXT], ["ES256"], NOW + SCHEDULE.lifetime - SECOND, SCHEDULE) == []


def test_at_its_time_the_next_key_takes_over_and_the_old_one_goes_first() -> None:
    then = NOW + SCHEDULE.lifetime
    steps = due([ACTIVE, NEXT], ["ES256"], then, SCHEDULE)
    assert steps == [
        Step(
            kid="a",
            before=KeyState.ACTIVE,
            after=KeyState.RETIRING,
            retires_at=then,
            expires_at=then + SCHEDULE.retirement,
        ),
        Step(kid="n", before=KeyState.NEXT, after=KeyState.ACTIVE, activates_at=then),
    ]


def test_a_retiring_key_goes_when_its_last_token_has_expired() -> None:
    retiring = key("r", KeyState.RETIRING, expires_at=NOW + SECOND)
    assert due([retiring, ACTIVE, NEXT], ["ES256"], NOW, SCHEDULE) == []
    (step,) = due([retiring, ACTIVE, NEXT], ["ES256"], NOW + SECOND, SCHEDULE)
    assert (step.kid, step.after) == ("r", KeyState.RETIRED)


def test_a_shorter_lifetime_holds_for_the_keys_there_are() -> None:
    shorter = msgspec.structs.replace(SCHEDULE, lifetime=timedelta(days=7))
    assert due([ACTIVE, NEXT], ["ES256"], NOW + timedelta(days=7) - SECOND, shorter) == []
    assert due([ACTIVE, NEXT], ["ES256"], NOW + timedelta(days=7), shorter)


def test_no_setting_lets_a_key_sign_before_it_was_published_for_long_enough() -> None:
    hasty = msgspec.structs.replace(SCHEDULE, lifetime=SECOND)
    assert due([ACTIVE, NEXT], ["ES256"], NOW + SCHEDULE.publication - SECOND, hasty) == []
    assert due([ACTIVE, NEXT], ["ES256"], NOW + SCHEDULE.publication, hasty)
    (successor,) = wanted([ACTIVE], ["ES256"], NOW, hasty)
    assert successor.activates_at == NOW + SCHEDULE.publication


def test_where_nothing_signs_the_next_key_does_at_once() -> None:
    (step,) = due([NEXT], ["ES256"], NOW, SCHEDULE)
    assert (step.kid, step.after) == ("n", KeyState.ACTIVE)


def test_an_algorithm_that_is_no_longer_used_ends_without_a_successor() -> None:
    then = NOW + SCHEDULE.lifetime
    rsa = key("b", KeyState.ACTIVE, algorithm="RS256", activates_at=then)
    old = [ACTIVE, NEXT, rsa]
    assert due(old, ["RS256"], then - SECOND, SCHEDULE) == []
    steps = due(old, ["RS256"], then, SCHEDULE)
    assert [(step.kid, step.after.value) for step in steps] == [("a", "retiring"), ("n", "retired")]


def test_rotating_takes_a_successor_that_is_known_everywhere_at_once() -> None:
    steps = rotation([ACTIVE, NEXT], "ES256", NOW + SCHEDULE.publication, SCHEDULE)
    assert states(after([ACTIVE, NEXT], steps)) == {"a": "retiring", "n": "active"}


def test_rotating_to_a_young_successor_plans_it_for_when_it_is_known() -> None:
    soon = NOW + SCHEDULE.publication
    steps = rotation([ACTIVE, NEXT], "ES256", soon - SECOND, SCHEDULE)
    planned = after([ACTIVE, NEXT], steps)
    assert states(planned) == {"a": "active", "n": "next"}
    assert planned[1].activates_at == soon
    # Asking again changes nothing.
    assert rotation(planned, "ES256", soon - SECOND, SCHEDULE) == []
    assert due(planned, ["ES256"], soon - SECOND, SCHEDULE) == []
    assert due(planned, ["ES256"], soon, SCHEDULE)


def test_there_is_nothing_to_rotate_to_without_a_successor() -> None:
    assert rotation([ACTIVE], "ES256", NOW, SCHEDULE) == []


def test_withdrawing_the_key_that_signs_brings_its_successor_at_any_age() -> None:
    steps = withdrawal([ACTIVE, NEXT], "a", NOW, SCHEDULE)
    assert states(after([ACTIVE, NEXT], steps)) == {"n": "active"}


@pytest.mark.parametrize("other", ["n", "r"])
def test_withdrawing_another_key_leaves_the_signing_one(other: str) -> None:
    keys = [ACTIVE, NEXT, key("r", KeyState.RETIRING, expires_at=NOW + SECOND)]
    left = states(after(keys, withdrawal(keys, other, NOW, SCHEDULE)))
    assert left["a"] == "active"
    assert other not in left


def test_the_first_key_of_all_signs_at_once_and_others_wait() -> None:
    first, second = wanted([], BOTH, NOW, SCHEDULE)
    assert (first.algorithm, first.activates_at, first.at_once) == ("ES256", NOW, True)
    assert (second.algorithm, second.at_once) == ("RS256", False)
    assert second.activates_at == NOW + SCHEDULE.publication


def test_a_key_that_signs_and_one_that_waits_are_all_that_is_wanted() -> None:
    assert wanted([ACTIVE, NEXT], ["ES256"], NOW, SCHEDULE) == []
    assert [want.algorithm for want in wanted([ACTIVE, NEXT], BOTH, NOW, SCHEDULE)] == ["RS256"]


def test_a_secret_makes_tokens_once_every_process_knows_it() -> None:
    versions = [(1, NOW), (2, NOW + timedelta(days=1))]
    known = NOW + timedelta(days=1) + SCHEDULE.spread
    assert making_version([], NOW, SCHEDULE) is None
    assert making_version(versions[:1], NOW, SCHEDULE) == 1
    assert making_version(versions, known - SECOND, SCHEDULE) == 1
    assert making_version(versions, known, SCHEDULE) == 2


Act = tuple[str, timedelta]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["wait", "rotate", "withdraw"]),
            st.timedeltas(timedelta(0), timedelta(days=40)),
        ),
        max_size=30,
    )
)
def test_whatever_happens_one_key_signs_and_none_unpublished_unless_one_was_withdrawn(
    acts: list[Act],
) -> None:
    now, made = NOW, 0
    keys: list[KeyStanding] = []
    for act, wait in [("wait", timedelta(0)), *acts]:
        now += wait
        signing = [k.kid for k in keys if k.state is KeyState.ACTIVE]
        steps = due(keys, ["ES256"], now, SCHEDULE)
        if act == "rotate":
            steps = rotation(keys, "ES256", now, SCHEDULE)
        elif act == "withdraw" and signing:
            steps = withdrawal(keys, signing[0], now, SCHEDULE)
        if act != "withdraw":
            born = {k.kid: k.created_at for k in keys}
            for step in steps:
                if step.after is KeyState.ACTIVE:
                    assert now - born[step.kid] >= SCHEDULE.publication
        keys = after(keys, steps)
        while missing := wanted(keys, ["ES256"], now, SCHEDULE):
            made += 1
            state = KeyState.ACTIVE if missing[0].at_once else KeyState.NEXT
            keys.append(key(str(made), state, created_at=now, activates_at=missing[0].activates_at))
        counted = [k.state for k in keys]
        assert counted.count(KeyState.ACTIVE) == 1
        assert counted.count(KeyState.NEXT) == 1
