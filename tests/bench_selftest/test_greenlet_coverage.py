"""What the tests do to coverage for speed changes nothing that it measures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[1]

PROGRAM = """
from threading import Thread
from greenlet import getcurrent, greenlet

def step(number, deeper):
    if number % 3 == 0:
        pause(number)
    elif deeper:
        step(number - 1, deeper - 1)
    else:
        pause(-number)
    return number

def pause(number):
    if number < 0:
        number = -number
    getcurrent().parent.switch(number)
    return number

def rounds():
    for _ in range(60):
        some = [greenlet(step) for _ in range(9)]
        for number, each in enumerate(some):
            each.switch(number, number % 4)
        for each in reversed(some):
            each.switch()
        assert all(each.dead for each in some)

def never():
    return None

# One after the other: coverage's own records vary a little with threads that take turns.
for _ in range(2):
    thread = Thread(target=rounds)
    thread.start()
    thread.join()
rounds()
"""

MEASURE = """
import runpy, sys
from coverage import Coverage
from support import greenlet_coverage

measuring = Coverage(
    data_file=None, config_file=False, branch=True, concurrency=["thread", "greenlet"],
    include=[sys.argv[1]],
)
measuring.start()
made = []
if sys.argv[2] == "cheaply":
    usual = greenlet_coverage.StackNumbers.__init__
    greenlet_coverage.StackNumbers.__init__ = lambda self: (made.append(self), usual(self))[1]
    greenlet_coverage.look_up_greenlets_cheaply()
runpy.run_path(sys.argv[1])
measuring.stop()
assert len(made) == (3 if sys.argv[2] == "cheaply" else 0), len(made)
assert all(len(numbers) < 200 for numbers in made), "greenlets that have ended are kept"
print(sorted(measuring.get_data().arcs(sys.argv[1])))
"""


def test_greenlets_looked_up_cheaply_are_measured_the_same(tmp_path: Path) -> None:
    pytest.importorskip("coverage")
    pytest.importorskip("greenlet")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def arcs(how: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", MEASURE, str(program), how],
            env={"PYTHONPATH": str(SUPPORT), "COVERAGE_CORE": "ctrace"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert arcs("cheaply") == arcs("as ever") != "[]\n"
