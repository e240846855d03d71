"""Published test vectors, which are not part of this project's source.

They are read from the folder ``APOSTILLE_VECTORS``, or ``../shared/vectors``
beside the project.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

__all__ = ["published"]

_FOLDER = Path(
    os.environ.get("APOSTILLE_VECTORS")
    or Path(__file__).resolve().parents[2].parent / "shared" / "vectors"
)


def published(name: str) -> Any:
    """Return the decoded JSON file *name*; skip the test or module if it is not there."""
    path = _FOLDER / name
    if not path.is_file():
        pytest.skip(
            f"{name} is not here: set APOSTILLE_VECTORS to a folder that has it",
            allow_module_level=True,
        )
    return json.loads(path.read_bytes())
