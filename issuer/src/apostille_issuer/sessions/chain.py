"""The rules of a refresh chain, decided purely.

Each refresh token is good once; using it makes its successor. Who presents a
token that was used is either the loser of a race, who gets the same successor,
or a thief, or the victim of one: then the session ends, for nobody can tell
which (RFC 9700 section 4.14.2).
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from enum import Enum, auto

from msgspec import Struct

__all__ = ["Standing", "Use", "Verdict", "judge"]


class Verdict(Enum):
    """What presenting a refresh token comes to."""

    ADVANCE = auto()
    """It is good: the session moves on to the next generation."""
    REPLAY = auto()
    """It lost a race; its successor is handed out again."""
    REUSED = auto()
    """It was used before: the session is to be ended."""
    ENDED = auto()
    """The session was ended, has expired or is gone."""
    FOREIGN = auto()
    """It belongs to another client, or to a future this database does not know."""


class Use(Struct, frozen=True):
    """A refresh token, its MAC verified, as it is presented."""

    session_id: uuid.UUID
    generation: int
    client_id: str
    """Who presents it."""


class Standing(Struct, frozen=True):
    """How a session stands."""

    client_id: str
    generation: int
    """Of the token that is good now."""
    rotated_at: datetime
    """When the one before was used."""
    expires_at: datetime
    idle_expires_at: datetime
    revoked_at: datetime | None


def judge(use: Use, standing: Standing | None, now: datetime, replay_window: timedelta) -> Verdict:
    """Return what *use* comes to.

    Args:
        use: What is presented.
        standing: The session's; ``None`` if there is no such session any more.
        now: The present.
        replay_window: How long after a use its loser gets the successor
            again, exclusive; 0 for never.
    """
    if standing is None:
        return Verdict.ENDED
    # A generation of the future: the secret is ours, so the database was set
    # back to an older state. Not theft, and nothing to build on.
    if use.client_id != standing.client_id or use.generation > standing.generation:
        return Verdict.FOREIGN
    if standing.revoked_at is not None or now >= min(standing.expires_at, standing.idle_expires_at):
        return Verdict.ENDED
    if use.generation == standing.generation:
        return Verdict.ADVANCE
    # A replica's clock may be a little behind that of the one that rotated.
    ago = abs(now - standing.rotated_at)
    if use.generation == standing.generation - 1 and ago < replay_window:
        return Verdict.REPLAY
    return Verdict.REUSED
