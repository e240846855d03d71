"""The drivers for threads and for tasks differ in async and await, and in nothing else."""

from __future__ import annotations

import difflib
import inspect
import re
from pathlib import Path

import pytest

import apostille
from apostille import AsyncVerifier, Verifier

SOURCES = Path(apostille.__file__).parent

# What stands in the asynchronous twin, and what in the other.
VERIFIERS = {
    r"The verifier for tasks\. Kept equal to ``_sync``": (
        "The verifier for threads. Kept equal to ``_async``"
    ),
    r"any number of tasks and event loops, and across forks": (
        "any number of threads and across forks"
    ),
    r"\bAsyncVerifier\b": "Verifier",
    r"\bTaskRunner\b": "ThreadRunner",
    r"\b_tasks\b": "_threads",
    r"\baclose\b": "close",
    r"\b__a(enter|exit)__": r"__\1__",
}
FETCHERS = {
    r"GET over httpcore for tasks\. Kept equal to ``_fetch_sync``": (
        "GET over httpcore for threads. Kept equal to ``_fetch_async``"
    ),
    r"\bAsync(ConnectionPool|NetworkStream|NetworkBackend)\b": r"\1",
    r"\bAnyIOBackend\b": "SyncBackend",
    r"\baclose\b": "close",
    r"\baiter_stream\b": "iter_stream",
}
COMMENT_FOR_THE_LINTER = re.compile(r"  # noqa: .*")
BOTH = {r"\basync (def|with|for)\b": r"\1", r"\bawait ": ""}


def unified(source: str, substitutions: dict[str, str]) -> list[str]:
    for pattern, replacement in substitutions.items():
        source, count = re.subn(pattern, replacement, source)
        assert count, f"{pattern} is not needed any more"
    source = COMMENT_FOR_THE_LINTER.sub("", source)
    # Shorter words may join lines; what is compared is tokens in order.
    return re.findall(r"\w+|[^\w\s]", re.sub(r",(\s*[)\]}])", r"\1", source))


@pytest.mark.parametrize(
    ("asynchronous", "synchronous", "substitutions"),
    [("_async.py", "_sync.py", VERIFIERS), ("_fetch_async.py", "_fetch_sync.py", FETCHERS)],
)
def test_twins_are_equal(
    asynchronous: str, synchronous: str, substitutions: dict[str, str]
) -> None:
    left = unified((SOURCES / asynchronous).read_text(), {**substitutions, **BOTH})
    right = unified((SOURCES / synchronous).read_text(), {})
    assert list(difflib.unified_diff(left, right, asynchronous, synchronous, lineterm="")) == []


def test_both_are_constructed_alike() -> None:
    assert inspect.signature(Verifier) == inspect.signature(AsyncVerifier)
