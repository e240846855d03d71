"""Write ``docs/reference/*.md`` from the docstrings of the public modules.

``python docs/make_reference.py`` writes; ``--check`` only compares, and exits 1
where they differ. A name is public if its module's ``__all__`` has it.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).parent / "reference"

PAGES: dict[str, tuple[str, ...]] = {
    "sdk.md": (
        "apostille",
        "apostille.errors",
        "apostille.policy",
        "apostille.http",
        "apostille.events",
        "apostille.status",
        "apostille.telemetry",
        "apostille.testing",
    ),
    "contracts.md": (
        "apostille_contracts.claims",
        "apostille_contracts.permissions",
        "apostille_contracts.problems",
        "apostille_contracts.events",
        "apostille_contracts.key_sets",
        "apostille_contracts.manifest",
    ),
}
"""Page to the modules it describes, in order. Adapters have a guide each instead."""


_QUOTED = re.compile(r"(: |-> )'([^']*)'")
"""An annotation that is kept as text."""


def render(modules: Sequence[str]) -> str:
    """Return the page about *modules* as Markdown."""
    lines = ["<!-- Made from the docstrings by docs/make_reference.py; do not edit. -->", ""]
    for name in modules:
        module = importlib.import_module(name)
        lines += [f"# {name}", "", _text(module), ""]
        for public in sorted(module.__all__):
            value = getattr(module, public)
            if not _belongs(value, module):
                lines += [f"- `{public}`: see `{value.__module__}`", ""]
                continue
            lines += _entry(public, value, 2)
    return "\n".join(lines).rstrip() + "\n"


def _belongs(value: Any, module: ModuleType) -> bool:
    """Say whether *value* is described with *module*: no other page's module has it."""
    described = {name for modules in PAGES.values() for name in modules} - {module.__name__}
    return getattr(value, "__module__", None) not in described


def _entry(name: str, value: Any, level: int) -> list[str]:
    heading = "#" * level
    if inspect.isclass(value):
        lines = [f"{heading} class `{name}{_signature(value)}`", "", _text(value), ""]
        for member, method in _methods(value):
            lines += [f"**`{member}{_signature(method)}`**", "", _text(method), ""]
        return lines
    if callable(value):
        return [f"{heading} `{name}{_signature(value)}`", "", _text(value), ""]
    return [f"{heading} `{name}`", ""]


def _methods(owner: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(owner).items():
        if name.startswith("_"):
            continue
        plain = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        if inspect.isfunction(plain) and inspect.getdoc(plain):
            yield name, plain


def _signature(value: Any) -> str:
    try:
        text = str(inspect.signature(value))
    except (TypeError, ValueError):
        return ""
    # Defaults that are objects print an address, which differs from run to run.
    return "(...)" if " at 0x" in text else _QUOTED.sub(r"\1\2", text)


def _text(value: Any) -> str:
    return f"```text\n{inspect.getdoc(value) or ''}\n```"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or compare all pages; return the exit status."""
    parser = argparse.ArgumentParser(prog="python docs/make_reference.py")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    FOLDER.mkdir(exist_ok=True)
    different = 0
    for page, modules in PAGES.items():
        path = FOLDER / page
        text = render(modules)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        different += 1
        sys.stderr.write(f"{page}: {'differs' if options.check else 'written'}\n")
        if not options.check:
            path.write_text(text, encoding="utf-8")
    return int(options.check and different > 0)


if __name__ == "__main__":
    sys.exit(main())
