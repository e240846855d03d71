"""The reference says what the docstrings say."""

from __future__ import annotations

import subprocess
import sys

from support.readme import ROOT


def test_the_reference_is_made_from_the_docstrings() -> None:
    program = ROOT / "docs" / "make_reference.py"
    done = subprocess.run(
        [sys.executable, str(program), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stderr}run: nox -s reference"
