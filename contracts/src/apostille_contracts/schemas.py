"""JSON Schemas of the contract, generated from its Structs.

``python -m apostille_contracts.schemas DIRECTORY`` writes them;
with ``--check`` it only compares, and exits 1 where they differ.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from .claims import AccessTokenClaims, AccessTokenHeader
from .manifest import Manifest
from .problems import Problem
from .vectors import StatusVector, Vector

__all__ = ["SCHEMAS", "main", "render"]

SCHEMAS: dict[str, type[msgspec.Struct]] = {
    "access-token-claims.v1.json": AccessTokenClaims,
    "access-token-header.v1.json": AccessTokenHeader,
    "manifest.v1.json": Manifest,
    "problem.v1.json": Problem,
    "status-vector.v1.json": StatusVector,
    "vector.v1.json": Vector,
}
"""File name to Struct."""


def render(struct: type[msgspec.Struct]) -> str:
    """Return the JSON Schema (2020-12) of *struct* as indented JSON text."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(struct),
    }
    return json.dumps(schema, indent=2) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or compare all schemas; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m apostille_contracts.schemas")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    different = 0
    for name, struct in SCHEMAS.items():
        path: Path = options.directory / name
        text = render(struct)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        different += 1
        sys.stderr.write(f"{name}: {'differs' if options.check else 'written'}\n")
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(options.check and different > 0)


if __name__ == "__main__":
    sys.exit(main())
