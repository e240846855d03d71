"""Run all tests but the long journeys; in CI, hold each part to its coverage limit.

``python tests/run.py [--coverage | pytest arguments]``. Coverage is measured
where ``CI`` is set, or on demand: it makes the run take half as long again. It
is started before pytest, because the SDK's pytest plugin is imported while
pytest starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BRANCH_COVERAGE = {"contracts": 100, "sdk": 100, "adapters": 95, "issuer": 95}
"""Least branch coverage per part, in percent."""


def _run(*command: str, env: dict[str, str] | None = None) -> int:
    return subprocess.run((sys.executable, *command), cwd=ROOT, env=env, check=False).returncode


def main(arguments: list[str]) -> int:
    """Return pytest's exit status, or 1 where a part is covered too little."""
    selection = ["-m", "not journey and not load and not conformance"]
    whole = ("-n", "2", "--dist", "loadfile", "-q", "--durations=25", "--durations-min=5")
    if arguments not in ([], ["--coverage"]):
        return _run("-m", "pytest", *selection, *arguments)
    if not (arguments or os.environ.get("CI")):
        return _run("-m", "pytest", *selection, *whole)
    data = ROOT / ".cache" / "coverage" / "data"
    data.parent.mkdir(parents=True, exist_ok=True)
    for stale in data.parent.iterdir():
        stale.unlink()
    env = dict(os.environ, COVERAGE_FILE=str(data))
    status = _run(
        *("-m", "coverage", "run", "-m", "pytest", *selection, *whole),
        env=env,
    )
    if status:
        return status
    _run("-m", "coverage", "combine", "-q", env=env)
    short = 0
    for part, limit in BRANCH_COVERAGE.items():
        sys.stdout.write(f"\n{part}: branch coverage, at least {limit} %\n")
        sys.stdout.flush()
        report = ("report", f"--fail-under={limit}", f"--include={part}/src/*")
        short += _run("-m", "coverage", *report, env=env) != 0
    return int(short > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
