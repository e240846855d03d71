"""One figure per round, and what a reader may conclude from them. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["TIMES", "Better", "Budget", "Series", "Verdict"]

TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Series:
    """What one thing measured, one value per round, in the order of the rounds."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a series needs at least one round")

    @classmethod
    def of(cls, values: Sequence[float]) -> Series:
        """Take *values* in the order of their rounds."""
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The middle value; the mean of the middle two of an even number."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """First quartile."""
        return self._quartile(0)

    @property
    def high(self) -> float:
        """Third quartile."""
        return self._quartile(2)

    def _quartile(self, number: int) -> float:
        if len(self.values) == 1:
            return self.values[0]
        return statistics.quantiles(self.values, n=4, method="inclusive")[number]

    def over(self, other: Series) -> Series:
        """Return the ratio to *other*, round by round.

        Two figures of one round share the machine's mood of that moment, so
        their ratio is steadier than the ratio of two medians.

        Raises:
            ValueError: The two had different numbers of rounds.
        """
        return self._with(other, lambda mine, theirs: mine / theirs)

    def minus(self, other: Series) -> Series:
        """Return the difference to *other*, round by round."""
        return self._with(other, lambda mine, theirs: mine - theirs)

    def _with(self, other: Series, combine: Callable[[float, float], float]) -> Series:
        return Series(
            tuple(
                combine(mine, theirs)
                for mine, theirs in zip(self.values, other.values, strict=True)
            )
        )

    @property
    def departure(self) -> float:
        """Of a ratio that should be 1: how far the quartiles are from it, as a fraction.

        This is the noise of the machine when both sides measured the same.
        """
        return max(abs(self.low - 1), abs(self.high - 1))


class Better(StrEnum):
    """Which way a figure is good."""

    LOWER = "at most"
    HIGHER = "at least"


class Verdict(StrEnum):
    """Whether a budget is kept."""

    MET = "met"
    WITHIN_NOISE = "missed, within noise"
    MISSED = "MISSED"


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit and what was measured against it.

    Args:
        text: What is limited, in a few words.
        limit: In *unit*.
        measured: The figures of all rounds, in *unit*.
        noise: By what fraction the machine moves a figure by itself.
        better: Whether the limit is the most or the least.
        unit: :data:`TIMES` for ratios.
    """

    text: str
    limit: float
    measured: Series
    noise: float = 0.0
    better: Better = Better.LOWER
    unit: str = TIMES

    @property
    def verdict(self) -> Verdict:
        """Judge the median; a miss smaller than the noise is not held against anybody."""
        if self._kept(self.limit):
            return Verdict.MET
        allowance = 1 + self.noise if self.better is Better.LOWER else 1 - self.noise
        return Verdict.WITHIN_NOISE if self._kept(self.limit * allowance) else Verdict.MISSED

    def _kept(self, limit: float) -> bool:
        median = self.measured.median
        return median <= limit if self.better is Better.LOWER else median >= limit
