"""Published test vectors, which others made; ``PROVENANCE.md`` beside them says who."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["published"]

_FOLDER = Path(__file__).resolve().parents[1] / "vectors" / "published"


def published(name: str) -> Any:
    """Return the decoded JSON file *name*."""
    return json.loads((_FOLDER / name).read_bytes())
