"""Read the fenced blocks of a document of this project, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    text: str


def blocks(document: str) -> list[Block]:
    """Return the fenced blocks of *document*, a path from the project's root."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [Block(match[1], match[2]) for match in _BLOCK.finditer(text)]


def commands(document: str) -> list[list[str]]:
    """Return the lines of each shell block of *document*."""
    return [block.text.strip().splitlines() for block in blocks(document) if block.language == "sh"]
