"""What a command has to say, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from apostille_contracts.claims import LAST_SECOND

__all__ = ["Answer", "Failure", "Status", "aligned", "moment", "shown"]


class Status(IntEnum):
    """Exit status of the command."""

    YES = 0
    NO = 1
    USAGE = 2
    UNAVAILABLE = 3
    """Neither yes nor no: the issuer could not be asked."""
    INTERRUPTED = 130
    """What shells report for a program that control-C ended."""


class Failure(Exception):
    """The command cannot do what it was asked to; the text is one line for the terminal."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a command."""

    status: Status
    lines: Sequence[str]
    document: dict[str, Any]

    def text(self) -> str:
        """Return the answer for a terminal."""
        return "".join(f"{line}\n" for line in self.lines)

    def json(self) -> str:
        """Return the answer for a program."""
        return json.dumps(self.document, indent=2) + "\n"


def shown(value: object) -> str:
    """Return *value* as ASCII JSON on one line.

    What a token says is somebody else's text: as escapes, its control
    characters cannot move the cursor, nor its letters change direction.
    """
    return json.dumps(value)


def aligned(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return *rows* as lines in two columns."""
    known = list(rows)
    width = max((len(name) for name, _ in known), default=0)
    return [f"  {name:<{width}}  {value}".rstrip() for name, value in known]


def moment(value: object, now: float) -> str:
    """Return the NumericDate *value* as a date and its distance from *now*, or as it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return shown(value)
    if not 0 <= value <= LAST_SECOND:
        return shown(value)
    date = datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if value >= now:
        return f"{date}, in {_span(value - now)}"
    return f"{date}, {_span(now - value)} ago"


def _span(seconds: float) -> str:
    """Return *seconds* in the largest unit that fits twice."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
