"""Each part's tests with only what that part declares.

Builds the four wheels, then makes one empty environment per part, installs
that part's wheel (its siblings come from the same folder, everything else as
declared) with the test runner, and runs that part's tests. A module that
imports what its part does not declare fails here, however full the shared
environment is. Also proves that ``pip install apostille`` brings in no
framework, no database and no issuer.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN_BESIDE_SDK = (
    *("litestar", "sqlalchemy", "alembic", "django", "rest_framework", "flask", "fastapi"),
    *("starlette", "apostille_issuer", "apostille_adapters", "joserfc", "uvicorn"),
)
TEST_TOOLS = ("pytest", "pytest-xdist", "hypothesis", "respx", "httpx2")


@dataclass(frozen=True)
class Part:
    """A distribution, the extra its tests need, and where they are."""

    name: str
    requirement: str
    tests: tuple[str, ...]
    tools: tuple[str, ...] = ()


PARTS = (
    Part("contracts", "apostille-contracts", ("tests/contracts",)),
    Part("sdk", "apostille", ("tests/sdk", "tests/vectors"), ("pyjwt", "gunicorn")),
    Part(
        "adapters",
        "apostille-adapters[django,fastapi,flask,litestar,examples]",
        ("tests/adapters",),
    ),
    Part("issuer", "apostille-issuer", ("tests/issuer",)),
)


def _run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], cwd=ROOT, check=True)


def _build(wheels: Path) -> None:
    for part in PARTS:
        # From a copy: a build must not leave anything in the tree.
        copy = wheels.parent / "src" / part.name
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / part.name, copy, ignore=ignore)
        _run("uv", "build", "--quiet", "--wheel", "--out-dir", wheels, copy)


def _environment(home: Path, wheels: Path, *requirements: str) -> Path:
    _run("uv", "venv", "--quiet", "--python", sys.executable, home)
    python = home / "bin" / "python"
    pins = ("-c", str(ROOT / "constraints.txt"))
    install = ("uv", "pip", "install", "--quiet", "--python", str(python))
    _run(*install, "--find-links", wheels, *pins, *requirements)
    return python


def _sdk_alone(python: Path) -> None:
    """The environment of the SDK's users: nothing but what ``apostille`` declares."""
    program = (
        "import importlib.util, sys, apostille\n"
        f"found = [name for name in {FORBIDDEN_BESIDE_SDK!r} if importlib.util.find_spec(name)]\n"
        "sys.exit(f'apostille brought in {found}' if found else 0)"
    )
    _run(python, "-c", program)


def main(names: list[str]) -> int:
    """Run the parts named, or all of them."""
    unknown = set(names) - {part.name for part in PARTS}
    if unknown:
        sys.stderr.write(f"no such part: {', '.join(sorted(unknown))}\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="apostille-isolated-") as folder:
        wheels = Path(folder) / "wheels"
        _build(wheels)
        for part in PARTS:
            if names and part.name not in names:
                continue
            sys.stdout.write(f"== {part.name}: {part.requirement} and nothing else\n")
            sys.stdout.flush()
            home = Path(folder) / part.name
            python = _environment(home, wheels, part.requirement)
            if part.name == "sdk":
                _sdk_alone(python)
            python = _environment(
                home.with_suffix(".tests"), wheels, part.requirement, *TEST_TOOLS, *part.tools
            )
            # What is asked here is what gets imported, and that is the same on PostgreSQL.
            which = "not journey and not load and not conformance and not postgresql"
            selection = ("-m", which, "-q", "-p", "no:cacheprovider", "--dist", "loadfile")
            _run(python, "-m", "pytest", "-n", "2", *selection, *part.tests)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
