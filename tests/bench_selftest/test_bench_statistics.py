"""The pure parts of the bench: what it concludes must be right before its figures can be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.load import Conversation, complete_body
from bench.report import Table, budget_lines, shown
from bench.rounds import interleave
from bench.series import Better, Budget, Series, Verdict


def test_quartiles_and_median_of_the_rounds() -> None:
    series = Series.of([5.0, 1.0, 3.0, 2.0, 4.0])
    assert (series.low, series.median, series.high) == (2.0, 3.0, 4.0)


def test_one_round_has_no_spread() -> None:
    series = Series.of([7.0])
    assert (series.low, series.median, series.high) == (7.0, 7.0, 7.0)


def test_a_series_without_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        Series.of([])


def test_ratios_are_taken_round_by_round() -> None:
    slow_machine_in_round_two = Series.of([10.0, 40.0, 10.0])
    peer = Series.of([5.0, 20.0, 5.0])
    assert slow_machine_in_round_two.over(peer).values == (2.0, 2.0, 2.0)


def test_differences_are_taken_round_by_round() -> None:
    assert Series.of([10.0, 40.0]).minus(Series.of([9.0, 38.0])).values == (1.0, 2.0)


def test_different_numbers_of_rounds_do_not_compare() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Series.of([1.0, 2.0]).over(Series.of([1.0]))


def test_noise_is_the_farther_quartile_of_a_ratio_of_equals() -> None:
    assert Series.of([0.9, 1.0, 1.2]).departure == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("limit", "better", "measured", "verdict"),
    [
        (2.0, Better.LOWER, 2.0, Verdict.MET),
        (2.0, Better.LOWER, 2.1, Verdict.WITHIN_NOISE),
        (2.0, Better.LOWER, 2.3, Verdict.MISSED),
        (2.0, Better.HIGHER, 2.0, Verdict.MET),
        (2.0, Better.HIGHER, 1.9, Verdict.WITHIN_NOISE),
        (2.0, Better.HIGHER, 1.7, Verdict.MISSED),
    ],
)
def test_a_miss_counts_only_beyond_the_noise(
    limit: float, better: Better, measured: float, verdict: Verdict
) -> None:
    budget = Budget("work", limit, Series.of([measured]), noise=0.1, better=better)
    assert budget.verdict is verdict


def test_every_subject_is_measured_once_per_round_and_takes_its_turn_first() -> None:
    order: list[str] = []

    def subject(name: str) -> Callable[[], float]:
        def measure() -> float:
            order.append(name)
            return float(len(order))

        return measure

    rows = interleave({name: subject(name) for name in "abc"}, count=3)
    assert order == [*"abc", *"bca", *"cab"]
    assert rows["a"].values == (1.0, 6.0, 8.0)


def test_a_table_compares_its_rows() -> None:
    rows = {"peer": Series.of([10.0]), "ours": Series.of([2.0])}
    table = Table("Title", "µs", rows, against=("peer",), above="peer", noise=Series.of([1.0]))
    lines = list(table.lines())
    assert "| ours | 2.00 | 2.00 to 2.00 | 0.20 | -8.00 |" in lines
    assert any(line.startswith("Noise:") for line in lines)


def test_a_budget_is_shown_with_its_verdict() -> None:
    budget = Budget("start", 2.0, Series.of([1.5]), unit="s")
    assert list(budget_lines([budget]))[-1] == (
        "| start | ≤ 2.00 s | 1.50 s | 1.50 to 1.50 | met |"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(12_345.6, "12,346"), (99.96, "100.0"), (9.996, "10.00"), (0.0123, "0.0123"), (0.0, "0")],
)
def test_figures_are_shown_with_three_digits(value: float, text: str) -> None:
    assert shown(value) == text


def test_a_body_is_complete_at_its_content_length() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n"
    assert complete_body(head, b"ab") is None
    assert complete_body(head, b"abc") == b"abc"


def test_a_chunked_body_is_put_together() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    assert complete_body(head, b"3\r\nabc\r\n") is None
    assert complete_body(head, b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n") == b"abc0123456789"


def test_a_conversation_goes_on_with_what_it_heard() -> None:
    conversation = Conversation(
        method="POST", path="/refresh", body='{"t":"{token}"}', token="one", field="t"
    )
    assert conversation.request().endswith(b'Content-Length: 11\r\n\r\n{"t":"one"}')
    conversation.heard(b'{"t":"second"}')
    assert conversation.request().endswith(b'Content-Length: 14\r\n\r\n{"t":"second"}')


def test_a_conversation_says_its_headers() -> None:
    request = Conversation(path="/list", headers={"If-None-Match": '"v1"'}).request()
    assert request == b'GET /list HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-None-Match: "v1"\r\n\r\n'
