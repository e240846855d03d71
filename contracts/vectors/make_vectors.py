"""Write the golden vectors: ``python contracts/vectors/make_vectors.py [--check]``.

With ``--check`` nothing is written; the exit status is 1 where a file differs
from its case, is missing, or has no case. Everything is deterministic.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from vector_cases import (
    good,
    hostile_claims,
    hostile_header,
    hostile_keys,
    hostile_shape,
    status,
    status_hostile,
)
from vector_cases.forge import Case
from vector_cases.lists import StatusCase

HERE = Path(__file__).parent

FOLDERS = {
    "good": (good,),
    "hostile": (hostile_shape, hostile_header, hostile_keys, hostile_claims),
    "status": (status, status_hostile),
}


def render(cases: Iterable[Case | StatusCase]) -> dict[str, str]:
    """Return file name to content for *cases*.

    Raises:
        ValueError: Two cases share a name.
    """
    files: dict[str, str] = {}
    for case in cases:
        name = f"{case.name}.json"
        if name in files:
            raise ValueError(f"two cases are called {case.name}")
        document = msgspec.to_builtins(case.vector())
        files[name] = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return files


def synchronize(folder: Path, files: dict[str, str], *, check: bool) -> list[str]:
    """Make *folder* hold *files* and nothing else; return what differed."""
    present = {path.name: path for path in folder.glob("*.json")}
    differences = []
    for name, content in files.items():
        path = folder / name
        if name in present and path.read_text(encoding="utf-8") == content:
            continue
        differences.append(name)
        if not check:
            folder.mkdir(exist_ok=True)
            path.write_text(content, encoding="utf-8")
    for name in sorted(present.keys() - files.keys()):
        differences.append(name)
        if not check:
            present[name].unlink()
    return differences


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or compare all vectors; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    options = parser.parse_args(arguments)
    different = 0
    for folder, modules in FOLDERS.items():
        files = render(case for module in modules for case in module.cases())
        for name in synchronize(HERE / folder, files, check=options.check):
            different += 1
            sys.stderr.write(f"{folder}/{name}: {'differs' if options.check else 'written'}\n")
    return int(options.check and different > 0)


if __name__ == "__main__":
    sys.exit(main())
