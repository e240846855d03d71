"""The Python in the README of the SDK runs, block after block."""

from __future__ import annotations

import inspect
from importlib.util import find_spec

from apostille import Verifier
from support.readme import ROOT, blocks

SNIPPETS = [block.text for block in blocks("sdk/README.md") if block.language == "python"]


def test_the_snippets_run_one_after_the_other() -> None:
    namespace: dict[str, object] = {}
    assert len(SNIPPETS) > 5
    for snippet in SNIPPETS:
        if "telemetry" in snippet and find_spec("opentelemetry") is None:
            continue  # the extra is not installed, and the SDK alone must do without
        exec(compile(snippet, "sdk/README.md", "exec"), namespace)


def test_every_option_is_in_the_table() -> None:
    readme = (ROOT / "sdk/README.md").read_text(encoding="utf-8")
    for name in inspect.signature(Verifier).parameters:
        assert f"| `{name}` |" in readme or name in {"issuer", "clock"}
