"""Which permissions a service asks for, read from its source or from the service itself."""

from __future__ import annotations

import ast
import gc
import importlib
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from apostille.policy import Requirement
from apostille_contracts.permissions import InvalidPermission, parse_permission

from ._answer import Failure

__all__ = ["Usage", "application_usage", "source_usage"]

# Calls that can only be about permissions: what they name must be one.
_REQUIREMENTS = frozenset({"HasPermission", "HasAnyPermission"})
_DECORATORS = frozenset({"has_permission", "has_any_permission"})

# Methods of a principal or a Django user. Others' objects have methods of
# these names too, so only what is a permission counts.
_QUESTIONS = frozenset(
    {"has", "has_any", "require", "has_perm", "has_perms", "permission_required", *_DECORATORS}
)

_SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "build", "dist", "node_modules", "site-packages", "venv"}
)


@dataclass
class Usage:
    """What was found, each with the places it was found at."""

    names: dict[str, list[str]] = field(default_factory=dict)
    """Permissions by name."""
    malformed: dict[str, list[str]] = field(default_factory=dict)
    """Texts that stand where a permission must, and are none."""
    unclear: list[str] = field(default_factory=list)
    """Places where what is asked for cannot be read from the source."""

    def add(self, text: str, place: str, *, certain: bool) -> None:
        """Take note of *text*; a malformed one counts only where it is *certain* to be meant."""
        try:
            self.names.setdefault(parse_permission(text), []).append(place)
        except InvalidPermission:
            if certain:
                self.malformed.setdefault(text, []).append(place)


def application_usage(target: str, usage: Usage) -> None:
    """Import the application at *target* and add what its requirements ask for to *usage*.

    Every ``HasPermission`` that is alive after the import counts, wherever
    the framework keeps it. What functions ask while they run does not show.

    Args:
        target: ``module``, ``module:attribute`` or ``module:factory()``.
        usage: Taken as a list of places to add to.

    Raises:
        Failure: It cannot be imported.
    """
    before = {id(requirement) for requirement in _requirements()}
    application = _imported(target)
    for requirement in _requirements():
        if id(requirement) not in before:
            for name in requirement.permissions:
                usage.add(name, target, certain=True)
    del application  # alive until here, and all its requirements with it


def _imported(target: str) -> object:
    module_name, _, path = target.partition(":")
    path, factory = path.removesuffix("()"), path.endswith("()")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: object = importlib.import_module(module_name)
        for attribute in filter(None, path.split(".")):
            found = getattr(found, attribute)
        return found() if factory and callable(found) else found
    # Importing runs the service's own code, which may raise or exit in any way.
    except (Exception, SystemExit) as error:
        kind = type(error).__name__
        raise Failure(f"{target} cannot be imported: {kind}: {error}") from error
    finally:
        sys.path.pop(0)


def _requirements() -> Iterator[Requirement]:
    for each in gc.get_objects():
        # By type and not by isinstance, which would wake proxies such as Flask's.
        if issubclass(type(each), Requirement):
            yield each


def source_usage(folders: Iterable[Path], usage: Usage) -> None:
    """Read all Python files in *folders* and add what they ask for to *usage*.

    Arguments may be literals, or names of texts assigned at the top of some
    module or class among the files.
    """
    trees: dict[Path, ast.Module] = {}
    for path in _python_files(folders):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what compilers say is no concern here
                trees[path] = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError, OSError) as error:
            usage.unclear.append(f"{path}: {type(error).__name__}")
    constants = _constants(trees.values())
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                _read_call(node, f"{path}:{node.lineno}", constants, usage)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                _read_attribute(node, f"{path}:{node.lineno}", constants, usage)


def _python_files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_file():
            yield folder
            continue
        for path in sorted(folder.rglob("*.py")):
            inner = path.relative_to(folder).parts[:-1]
            if not any(name.startswith(".") or name in _SKIPPED_FOLDERS for name in inner):
                yield path


_Constants = dict[str, str | None]
"""Text by ``NAME`` and ``Class.NAME``; ``None`` where two of that name differ."""


def _constants(trees: Iterable[ast.Module]) -> _Constants:
    known: _Constants = {}
    for tree in trees:
        for name, text in _assigned(tree.body):
            known[name] = text if known.get(name, text) == text else None
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for name, text in _assigned(node.body):
                    for key in (name, f"{node.name}.{name}"):
                        known[key] = text if known.get(key, text) == text else None
    return known


def _assigned(body: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement in body:
        if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
            continue
        value = statement.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            for target in _targets(statement):
                yield target, value.value


def _targets(statement: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id


def _read_call(node: ast.Call, place: str, constants: _Constants, usage: Usage) -> None:
    called = node.func
    bare = isinstance(called, ast.Name)
    name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", None)
    # As a method, has_permission is REST framework's and takes no names.
    certain = name in _REQUIREMENTS or (bare and name in _DECORATORS)
    if not certain and name not in _QUESTIONS:
        return
    for argument in node.args:
        _read_value(argument, place, constants, usage, certain=certain)


def _read_attribute(
    node: ast.Assign | ast.AnnAssign, place: str, constants: _Constants, usage: Usage
) -> None:
    """Read ``permission_required = …`` of Django's own mixin."""
    if node.value is not None and "permission_required" in _targets(node):
        _read_value(node.value, place, constants, usage, certain=False)


def _read_value(
    node: ast.expr, place: str, constants: _Constants, usage: Usage, *, certain: bool
) -> None:
    if isinstance(node, ast.Starred):
        node = node.value
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        for element in node.elts:
            _read_value(element, place, constants, usage, certain=certain)
        return
    text = _text(node, constants)
    if text is not None:
        usage.add(text, place, certain=certain)
    elif certain:
        usage.unclear.append(f"{place}: {ast.unparse(node)}")


def _text(node: ast.expr, constants: _Constants) -> str | None:
    """Return the text *node* stands for, if that can be known."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if isinstance(node, ast.Attribute):
        if node.attr == "value" and isinstance(node.value, (ast.Name, ast.Attribute)):
            return _text(node.value, constants)  # of a member of an enumeration
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        return constants.get(f"{owner}.{node.attr}", constants.get(node.attr))
    return None
