"""What a section found, and how it is shown: Markdown, in the terminal and in the document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.series import TIMES, Better, Budget, Series

__all__ = ["Section", "Table", "budget_lines", "shown"]


@dataclass(frozen=True, slots=True)
class Table:
    """Figures of one kind, measured in the same rounds."""

    title: str
    unit: str
    rows: dict[str, Series]
    against: Sequence[str] = ()
    """Rows that every row is compared with, one column of ratios each."""
    above: str | None = None
    """The row whose figure is taken off every other, as a column of its own."""
    noise: Series | None = None
    """The ratio of one thing measured twice."""
    note: str = ""

    def lines(self) -> Iterator[str]:
        """Yield the table in Markdown."""
        yield f"### {self.title}"
        yield ""
        if self.note:
            yield from (self.note, "")
        heads = ["", self.unit, "quartiles"]
        heads += [f"{TIMES} {name}" for name in self.against]
        if self.above is not None:
            heads.append(f"above {self.above}")
        yield _row(heads)
        yield _row(["---", *("---:" for _ in heads[1:])])
        for name, series in self.rows.items():
            yield _row([name, *self._cells(series)])
        if self.noise is not None:
            yield ""
            yield (
                f"Noise: one thing measured twice came out at {TIMES} {self.noise.median:.3f} "
                f"(quartiles {self.noise.low:.3f} to {self.noise.high:.3f})."
            )
        yield ""

    def _cells(self, series: Series) -> Iterator[str]:
        yield shown(series.median)
        yield f"{shown(series.low)} to {shown(series.high)}"
        for name in self.against:
            yield f"{shown(series.over(self.rows[name]).median)}"
        if self.above is not None:
            yield shown(series.minus(self.rows[self.above]).median)


@dataclass(slots=True)
class Section:
    """One part of the run."""

    name: str
    title: str
    tables: list[Table] = field(default_factory=list)
    budgets: list[Budget] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    measured: str = ""
    """When, on what, and for how long."""

    def lines(self) -> Iterator[str]:
        """Yield the section in Markdown."""
        yield f"## {self.title}"
        yield ""
        for note in (self.measured, *self.notes):
            if note:
                yield from (note, "")
        if self.budgets:
            yield from budget_lines(self.budgets)
            yield ""
        for table in self.tables:
            yield from table.lines()


def budget_lines(budgets: Sequence[Budget]) -> Iterator[str]:
    """Yield all budgets with their verdicts, in Markdown."""
    yield _row(["budget", "limit", "measured", "quartiles", "verdict"])
    yield _row(["---", "---:", "---:", "---:", "---"])
    for budget in budgets:
        sign = "≤" if budget.better is Better.LOWER else "≥"
        measured = budget.measured
        yield _row(
            [
                budget.text,
                f"{sign} {_with_unit(budget.limit, budget.unit)}",
                _with_unit(measured.median, budget.unit),
                f"{shown(measured.low)} to {shown(measured.high)}",
                str(budget.verdict),
            ]
        )


def shown(value: float) -> str:
    """Return *value* with three significant digits, and no more than it can bear."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 0.1:
        return f"{value:.2f}"
    return f"{value:.4f}" if size else "0"


def _with_unit(value: float, unit: str) -> str:
    return f"{TIMES} {shown(value)}" if unit == TIMES else f"{shown(value)} {unit}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
