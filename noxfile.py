"""Every gate of the house, one session each; ``nox -l`` lists them.

Sessions run on uv where it is installed (the README's test command installs
it) and on virtualenv and pip where it is not. Versions come from
``constraints.txt``; ``nox -s constraints`` renews it.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import nox

ROOT = Path(__file__).parent
MEMBERS = ("contracts", "sdk", "adapters", "issuer")
LOCKED_GROUPS = ("test", "lint", "types", "imports", "bench", "conformance")
PYTHON_SOURCES = (
    "noxfile.py",
    "docs/make_reference.py",
    "contracts",
    "sdk",
    "adapters",
    "issuer",
    "tests",
)

OLDEST_FRAMEWORKS = (
    *("django==5.2", "djangorestframework==3.16.0", "asgiref<3.12"),
    *("fastapi==0.115.0", "anyio<4.10", "flask[async]==3.0.0", "werkzeug<3.1", "litestar==2.23.0"),
)
"""As adapters/pyproject.toml declares them; and what was current beside them then."""

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "imports", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.needs_version = ">=2025.2.9"

# Nothing is written outside the project: caches too stay below it.
os.environ.setdefault("UV_CACHE_DIR", str(ROOT / ".cache" / "uv"))
os.environ.setdefault("PIP_CACHE_DIR", str(ROOT / ".cache" / "pip"))
os.environ.setdefault("npm_config_cache", str(ROOT / ".cache" / "npm"))
os.environ.setdefault("UV_LINK_MODE", "hardlink")
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")  # processes that tests start are started often


def group(name: str) -> list[str]:
    """Return the requirements of one dependency group of the root project file."""
    return list(nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), name))


def install_house(session: nox.Session, *groups: str) -> None:
    """Install the four parts, editable, and the named dependency groups."""
    requirements = [requirement for name in groups for requirement in group(name)]
    members: list[str] = []
    for member in MEMBERS:
        members += ["-e", f"./{member}[tour]" if member == "issuer" else f"./{member}"]
    session.install("-c", "constraints.txt", *members, *requirements)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: all rules, and the formatter; hadolint and the compose schema for docker/."""
    session.install("-c", "constraints.txt", *group("lint"))
    session.run("ruff", "check", *PYTHON_SOURCES)
    session.run("ruff", "format", "--check", *PYTHON_SOURCES)
    session.run("hadolint", "docker/Dockerfile", "docker/service.Dockerfile")
    compose = ("--builtin-schema", "vendor.compose-spec", "docker/compose.yaml")
    session.run("check-jsonschema", *compose)


@nox.session
def types(session: nox.Session) -> None:
    """Mypy strict over the four parts, the examples and the tests."""
    install_house(session, "types")
    session.run("mypy", *session.posargs)


@nox.session
def imports(session: nox.Session) -> None:
    """Import-linter: the direction rules between and inside the parts."""
    install_house(session, "imports")
    session.run("lint-imports", "--cache-dir", ".cache/import_linter")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests but the long journeys; in CI with coverage limits per part."""
    install_house(session, "test")
    session.run("python", "tests/run.py", *session.posargs)


@nox.session
def isolated(session: nox.Session) -> None:
    """Each part's tests with only what that part declares, from built wheels."""
    session.install("-c", "constraints.txt", "uv", "build")
    session.run("python", "tests/isolated.py", *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """The adapters' tests on the oldest frameworks they declare (`tests` runs the newest)."""
    members = [word for member in MEMBERS[:3] for word in ("-e", f"./{member}")]
    tools = ("pytest", "pytest-xdist", "hypothesis", "uvicorn", "httpx", "httpx2")
    session.install(*members, *tools, *OLDEST_FRAMEWORKS)
    arguments = ("-n", "2", "-q", "-p", "no:cacheprovider", *session.posargs)
    session.run("pytest", "tests/adapters", *arguments)


@nox.session
def journeys(session: nox.Session) -> None:
    """The tour and the long paths over real processes, on SQLite and PostgreSQL."""
    install_house(session, "test")
    session.run("pytest", "-m", "journey or load", "-p", "no:cacheprovider", *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """Schemathesis asks every operation of the OpenAPI document for what it promises."""
    install_house(session, "conformance")
    arguments = ("-m", "conformance", "-p", "no:cacheprovider", *session.posargs)
    session.run("pytest", "tests/conformance", *arguments)


@nox.session
def interop(session: nox.Session) -> None:
    """Node and Go verify our tokens and run every golden vector (Node 20; Go for its part)."""
    install_house(session, "test")
    environment = {"APOSTILLE_INTEROP": "1"}
    arguments = ("tests/interop", "-p", "no:cacheprovider", *session.posargs)
    session.run("pytest", *arguments, env=environment)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure, beside peers and limits in the same run; prints ratios."""
    install_house(session, "bench")
    session.run("python", "-m", "bench", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
def schemas(session: nox.Session) -> None:
    """Write contracts/schemas and contracts/vectors anew (``-- --check`` only compares)."""
    install_house(session)
    session.run(
        "python", "-m", "apostille_contracts.schemas", "contracts/schemas", *session.posargs
    )
    session.run("python", "contracts/vectors/make_vectors.py", *session.posargs)


@nox.session
def reference(session: nox.Session) -> None:
    """Write docs/reference anew from the docstrings (``-- --check`` only compares)."""
    install_house(session)
    session.run("python", "docs/make_reference.py", *session.posargs)


@nox.session
def constraints(session: nox.Session) -> None:
    """Renew constraints.txt: newest versions that are at least a week old."""
    session.install("uv")
    cooldown = (dt.datetime.now(dt.UTC) - dt.timedelta(days=7)).strftime("%Y-%m-%d")
    session.run(
        *("uv", "pip", "compile", "--universal", "--python-version", "3.11", "--quiet"),
        *("--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate"),
        *("--all-extras", "--exclude-newer", cooldown, "--upgrade"),
        *(f"{member}/pyproject.toml" for member in MEMBERS),
        *(
            arg
            for name in ("test", "lint", "types", "imports", "bench")
            for arg in ("--group", name)
        ),
        *("--no-emit-package", "apostille", "--no-emit-package", "apostille-contracts"),
        *("--no-emit-package", "apostille-adapters", "--no-emit-package", "apostille-issuer"),
        *("--output-file", "constraints.txt", "tools.in"),
    )
