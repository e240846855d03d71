"""``manifest check`` and ``manifest codegen``."""

from __future__ import annotations

import difflib
import json
import tomllib
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from apostille_contracts.manifest import InvalidManifest, Manifest, parse_manifest

from ._answer import Answer, Failure, Status, aligned, shown
from ._usage import Usage, application_usage, source_usage

__all__ = ["check", "codegen"]


def check(options: Namespace) -> Answer:
    """Compare the permissions a service asks for with those its manifest declares."""
    path: Path = options.manifest
    try:
        manifest = _load(path)
    except InvalidManifest as error:
        return Answer(
            Status.NO, [f"{path} is no manifest: {error}"], {"valid": False, "detail": str(error)}
        )
    usage = Usage()
    for target in options.app:
        application_usage(target, usage)
    folders = options.source or ([] if options.app else [path.parent])
    for folder in folders:
        if not folder.exists():
            raise Failure(f"{folder}: there is no such file or folder")
    source_usage(folders, usage)
    undeclared = {
        name: usage.names[name] for name in sorted(usage.names.keys() - manifest.permissions)
    }
    unused = sorted(manifest.permissions.keys() - usage.names)
    wrong = bool(undeclared or usage.malformed)
    doubtful = bool(unused or usage.unclear)
    document = {
        "valid": not wrong,
        "service": manifest.service,
        "version": manifest.version,
        "undeclared": undeclared,
        "malformed": usage.malformed,
        "unused": unused,
        "unclear": usage.unclear,
    }
    status = Status.NO if wrong or (options.strict and doubtful) else Status.YES
    lines = [
        f"{path}: {manifest.service} {manifest.version}, {len(manifest.permissions)} permissions"
    ]
    lines += _report(manifest, undeclared, unused, usage)
    return Answer(status, lines, document)


def _report(
    manifest: Manifest, undeclared: Mapping[str, list[str]], unused: Sequence[str], usage: Usage
) -> Iterator[str]:
    if undeclared:
        yield "Used but not declared, and so in no token for this service:"
        yield from aligned(
            (name + _meant(name, manifest), ", ".join(places))
            for name, places in undeclared.items()
        )
    if usage.malformed:
        yield "Used but no permission:"
        yield from aligned((shown(text), ", ".join(at)) for text, at in usage.malformed.items())
    if unused:
        yield "Declared but never used:"
        yield from aligned((name, "") for name in unused)
    if usage.unclear:
        yield "Not to be read from the source:"
        yield from aligned((place, "") for place in usage.unclear)
    if not (undeclared or usage.malformed or unused or usage.unclear):
        yield "Everything used is declared, and everything declared is used."


def _meant(name: str, manifest: Manifest) -> str:
    similar = difflib.get_close_matches(name, manifest.permissions, n=1, cutoff=0.8)
    return f" (did you mean {similar[0]}?)" if similar else ""


def codegen(options: Namespace) -> Answer:
    """Write the manifest's permissions as typed Python constants."""
    try:
        code = _render(_load(options.manifest))
    except InvalidManifest as error:
        raise Failure(f"{options.manifest}: {error}") from error
    output: Path | None = options.output
    if output is None:
        return Answer(Status.YES, code.splitlines(), {"code": code})
    current = output.read_text(encoding="utf-8") if output.exists() else None
    document = {"path": str(output), "current": current == code}
    if options.check:
        if current == code:
            return Answer(Status.YES, [f"{output} is up to date."], document)
        return Answer(Status.NO, [f"{output} differs from its manifest."], document)
    try:
        output.write_text(code, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{output}: {error.strerror}") from error
    return Answer(Status.YES, [f"{output} written."], {**document, "current": True})


def _load(path: Path) -> Manifest:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error
    except ValueError as error:  # not TOML, or not even text
        raise InvalidManifest(str(error)) from error
    return parse_manifest(document)


def _render(manifest: Manifest) -> str:
    constants: dict[str, str] = {}
    for name in manifest.permissions:
        constant = name.upper().replace(".", "_").replace("-", "_")
        if constant in constants:
            raise Failure(f"{constants[constant]} and {name} would both be called {constant}")
        constants[constant] = name
    lines = [
        # Of the manifest's own texts only what has a grammar stands bare in code.
        f'"""Permissions of the service {manifest.service}.',
        "",
        "Made from its manifest by `apostille manifest codegen`; do not edit.",
        '"""',
        "",
        "from typing import Final, Literal, TypeAlias",
        "",
    ]
    for constant, name in constants.items():
        lines += [f'{constant}: Final = "{name}"', *_docstring(manifest.permissions[name])]
    names = [f'    "{name}",' for name in constants.values()]
    lines += ["", "Permission: TypeAlias = Literal[", *names, "]"]
    values = [f"    {constant}," for constant in constants]
    lines += ["", "PERMISSIONS: Final[tuple[Permission, ...]] = (", *values, ")"]
    return "".join(f"{line}\n" for line in lines)


def _docstring(description: str) -> list[str]:
    if not description:
        return []
    # As JSON it is a Python literal too, whatever quotes and line ends are in it.
    return [json.dumps(description, ensure_ascii=False)]
