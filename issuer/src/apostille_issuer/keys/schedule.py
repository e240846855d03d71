"""The life of a key, decided purely: ``next``, ``active``, ``retiring``, ``retired``.

.. code-block:: text

    made                 signs                     last token expired
     |  published only    |   signs, published      |
     |--------------------|-------------------------|
     next                 active          retiring  retired
                                          |  published only

There is always a key that waits, so a successor has been known to every service
for long when it is wanted at once. All functions take what is in the database
and the time, and return what is to be done; doing it is :mod:`.rotation`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from apostille_contracts.claims import Algorithm

__all__ = [
    "KeySchedule",
    "KeyStanding",
    "KeyState",
    "Step",
    "Wanted",
    "after",
    "due",
    "making_version",
    "rotation",
    "wanted",
    "withdrawal",
]


class KeyState(StrEnum):
    """Where a key is in its life."""

    NEXT = "next"
    """Published, so that it is known when it first signs."""
    ACTIVE = "active"
    """Signs; there is one for each algorithm."""
    RETIRING = "retiring"
    """Signs no more; published until its last token has expired."""
    RETIRED = "retired"
    """Gone from the key set, its private half erased."""


class KeySchedule(Struct, frozen=True, kw_only=True):
    """How long the parts of a key's life are."""

    lifetime: timedelta
    """A key signs for this long."""
    publication: timedelta
    """It is published for at least this long before it first signs."""
    retirement: timedelta
    """It is published for this long after it last signed."""
    spread: timedelta
    """What one process changed, every process knows this much later."""
    secret_retirement: timedelta
    """A refresh secret is accepted for this long after its successor took over."""


class KeyStanding(Struct, frozen=True, kw_only=True):
    """How a key stands."""

    kid: str
    algorithm: Algorithm
    state: KeyState
    created_at: datetime
    activates_at: datetime
    """When it signs first, or did."""
    expires_at: datetime | None = None
    """When it leaves the key set, where that is known."""


class Step(Struct, frozen=True, kw_only=True):
    """One change to one key: done only if the key is still in the state *before*."""

    kid: str
    before: KeyState
    after: KeyState
    activates_at: datetime | None = None
    retires_at: datetime | None = None
    expires_at: datetime | None = None
    """What is ``None`` stays as it is."""


class Wanted(Struct, frozen=True):
    """A key that has to be made."""

    algorithm: Algorithm
    activates_at: datetime
    at_once: bool
    """Nothing else can sign: it does so without having been published."""


def due(
    keys: Sequence[KeyStanding],
    algorithms: Collection[Algorithm],
    now: datetime,
    schedule: KeySchedule,
) -> list[Step]:
    """Return what time has brought.

    Args:
        keys: All that are not retired.
        algorithms: Those in use. A key of another one signs to the end of its
            term, for another replica may have older settings, and has no
            successor.
        now: The present.
        schedule: How long things last.
    """
    steps = [
        Step(kid=key.kid, before=key.state, after=KeyState.RETIRED)
        for key in keys
        if key.state is KeyState.RETIRING and key.expires_at is not None and key.expires_at <= now
    ]
    nothing_signs = all(key.state is not KeyState.ACTIVE for key in keys)
    for algorithm in dict.fromkeys(key.algorithm for key in keys):
        active, upcoming = _pair_of(keys, algorithm)
        if algorithm in algorithms:
            if upcoming and (nothing_signs or _activation(active, upcoming, schedule) <= now):
                steps += _succession(active, upcoming, now, schedule)
            continue
        if active and active.activates_at + schedule.lifetime <= now:
            steps.append(_retire(active, now, schedule))
        if upcoming and upcoming.activates_at <= now:
            steps.append(Step(kid=upcoming.kid, before=KeyState.NEXT, after=KeyState.RETIRED))
    return steps


def rotation(
    keys: Sequence[KeyStanding], algorithm: Algorithm, now: datetime, schedule: KeySchedule
) -> list[Step]:
    """Return how the successor of *algorithm*'s key takes over as soon as it may.

    It does so at once if it has been published for long enough, which it
    usually has, and otherwise is planned for when it will have been.
    """
    active, upcoming = _pair_of(keys, algorithm)
    if upcoming is None:
        return []
    ripe_at = upcoming.created_at + schedule.publication
    if ripe_at <= now:
        return _succession(active, upcoming, now, schedule)
    if _activation(active, upcoming, schedule) <= ripe_at:
        return []
    return [Step(kid=upcoming.kid, before=KeyState.NEXT, after=KeyState.NEXT, activates_at=ripe_at)]


def withdrawal(
    keys: Sequence[KeyStanding], kid: str, now: datetime, schedule: KeySchedule
) -> list[Step]:
    """Return how the key *kid* goes at once, and its successor takes over.

    The successor does so however short it has been published: tokens that
    nobody could trust are worse than services that have to ask once.
    """
    (key,) = (key for key in keys if key.kid == kid)
    gone = Step(kid=kid, before=key.state, after=KeyState.RETIRED, expires_at=now)
    _, upcoming = _pair_of(keys, key.algorithm)
    if key.state is not KeyState.ACTIVE or upcoming is None:
        return [gone]
    return [gone, *_succession(None, upcoming, now, schedule)]


def after(keys: Iterable[KeyStanding], steps: Iterable[Step]) -> list[KeyStanding]:
    """Return how the keys stand once *steps* are done; retired ones are left out."""
    standing = {key.kid: key for key in keys}
    for step in steps:
        key = standing[step.kid]
        standing[step.kid] = replace(
            key,
            state=step.after,
            activates_at=step.activates_at or key.activates_at,
            expires_at=step.expires_at or key.expires_at,
        )
    return [key for key in standing.values() if key.state is not KeyState.RETIRED]


def wanted(
    keys: Sequence[KeyStanding],
    algorithms: Collection[Algorithm],
    now: datetime,
    schedule: KeySchedule,
) -> list[Wanted]:
    """Return the keys that are missing: one that signs and one that waits, per algorithm.

    Where another algorithm's key signs, the first of a new algorithm waits
    like any other; only where none does, it signs at once.
    """
    missing: list[Wanted] = []
    signing = any(key.state is KeyState.ACTIVE for key in keys)
    published_at = now + schedule.publication
    for algorithm in algorithms:
        active, upcoming = _pair_of(keys, algorithm)
        if active is None and upcoming is None:
            at_once = not signing
            missing.append(Wanted(algorithm, now if at_once else published_at, at_once))
            signing = True
        elif active is not None and upcoming is None:
            planned = max(active.activates_at + schedule.lifetime, published_at)
            missing.append(Wanted(algorithm, planned, at_once=False))
    return missing


def making_version(
    versions: Sequence[tuple[int, datetime]], now: datetime, schedule: KeySchedule
) -> int | None:
    """Return the version that makes new tokens: the newest that every process knows.

    A token made with a version that another process does not know yet would
    be refused there, and its user logged out.
    """
    known = [version for version, made in versions if made + schedule.spread <= now]
    if known:
        return known[-1]
    return versions[0][0] if versions else None


def _pair_of(
    keys: Iterable[KeyStanding], algorithm: Algorithm
) -> tuple[KeyStanding | None, KeyStanding | None]:
    """Return the key that signs and the one that waits."""
    own = [key for key in keys if key.algorithm == algorithm]
    active = next((key for key in own if key.state is KeyState.ACTIVE), None)
    upcoming = next((key for key in own if key.state is KeyState.NEXT), None)
    return active, upcoming


def _activation(
    active: KeyStanding | None, upcoming: KeyStanding, schedule: KeySchedule
) -> datetime:
    """Return when *upcoming* takes over: as planned, or sooner if lifetimes were shortened."""
    if active is None:
        return upcoming.activates_at
    planned = max(
        active.activates_at + schedule.lifetime, upcoming.created_at + schedule.publication
    )
    return min(planned, upcoming.activates_at)


def _succession(
    active: KeyStanding | None, upcoming: KeyStanding, now: datetime, schedule: KeySchedule
) -> list[Step]:
    """Return how *upcoming* takes over now; the old one goes first, for only one may be active."""
    taking_over = Step(
        kid=upcoming.kid, before=KeyState.NEXT, after=KeyState.ACTIVE, activates_at=now
    )
    return [_retire(active, now, schedule), taking_over] if active else [taking_over]


def _retire(key: KeyStanding, now: datetime, schedule: KeySchedule) -> Step:
    return Step(
        kid=key.kid,
        before=KeyState.ACTIVE,
        after=KeyState.RETIRING,
        retires_at=now,
        expires_at=now + schedule.retirement,
    )
