"""The examples in other languages, installed and built below ``.cache/interop``.

Run by ``nox -s interop``, which sets ``APOSTILLE_INTEROP``; without it nothing
is installed and what needs it is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "contracts" / "examples"
VECTORS = ROOT / "contracts" / "vectors"
CACHE = ROOT / ".cache"

APT_LINE = (
    "apt-get install golang-go golang-github-golang-jwt-jwt-dev golang-github-coreos-go-oidc-dev"
)
_GOCODE = Path("/usr/share/gocode")
"""Where Debian puts the sources of Go packages."""
_GO_PACKAGES = ("github.com/golang-jwt/jwt", "github.com/coreos/go-oidc")

Language = Literal["node", "go"]

Verdict = tuple[str | None, str | None]
"""The code a token is refused with and the claim that is blamed; twice ``None`` for a good one."""


def agrees(library: str, answer: Mapping[str, Any], expected: Verdict) -> bool:
    """Say whether *answer* is the *expected* one, as far as *library* lets it be.

    ``jose`` is held to the letter. The others look at claims before the
    signature, so that of a token with two faults they may name the other one;
    a refusal stays a refusal.
    """
    told = answer.get("code"), answer.get("claim")
    if told == expected:
        return True
    if library == "oauth4webapi" and told == ("invalid_claim", "cnf"):
        return True  # a token bound to a key comes with a proof, it insists (RFC 9449 section 7.1)
    if library == "oidc" and told == ("invalid_claim", None) and expected[0] == "invalid_claim":
        return True  # go-oidc could not read the payload, and does not say why
    two_faults = expected[0] == "bad_signature" and told[0] is not None
    return two_faults and library != "jose"


@dataclass(frozen=True)
class Programs:
    """One language's programs, ready to be started."""

    conformance: tuple[str, ...]
    service: tuple[str, ...]

    def answers(self, mode: str, cases: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the verdict of each case; *mode* is a library's name or ``permissions``."""
        lines = "".join(json.dumps(case) + "\n" for case in cases)
        output = run(*self.conformance, mode, input=lines)
        return [json.loads(line) for line in output.splitlines()]


def prepare(language: Language) -> Programs:
    """Install or build the programs of *language*, or skip the test with one line why not."""
    if "APOSTILLE_INTEROP" not in os.environ:
        pytest.skip("run by nox -s interop")
    return _prepare_node() if language == "node" else _prepare_go()


def _prepare_node() -> Programs:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        _unavailable("Node.js 20 and npm are needed", required="CI" in os.environ)
    home = CACHE / "interop" / "node"
    home.mkdir(parents=True, exist_ok=True)
    pins, installed = EXAMPLES / "node" / "package.json", home / "installed.json"
    # A copy, because modules are looked for beside the real path of a file.
    for source in (pins, *pins.parent.glob("*.mjs")):
        shutil.copy(source, home)
    if not installed.exists() or installed.read_bytes() != pins.read_bytes():
        options = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--silent")
        env = {**os.environ, "npm_config_cache": str(CACHE / "npm")}
        run(npm, "install", *options, cwd=home, env=env)
        shutil.copy(pins, installed)
    return Programs(
        (node, str(home / "conformance.mjs")),
        (node, str(home / "service.mjs")),
    )


def _prepare_go() -> Programs:
    go = shutil.which("go")
    missing = [name for name in _GO_PACKAGES if not (_GOCODE / "src" / name).is_dir()]
    if go is None or missing:
        _unavailable(f"Go and two of its libraries are needed: {APT_LINE}", required=False)
    programs = CACHE / "interop" / "go" / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    commands = ("./cmd/conformance", "./cmd/service")
    run_go("build", "-o", f"{programs}/", *commands)
    return Programs((str(programs / "conformance"),), (str(programs / "service"),))


def run_go(*arguments: str) -> str:
    """Run the ``go`` command on the example, with Debian's libraries and no network."""
    home = CACHE / "interop" / "go"
    package = home / "src" / "apostille.example" / "apostille"
    package.parent.mkdir(parents=True, exist_ok=True)
    if not package.exists():
        package.symlink_to(EXAMPLES / "go")
    env = {
        **os.environ,
        "GOENV": "off",
        "GOFLAGS": "",
        "GO111MODULE": "off",
        "GOPATH": f"{home}:{_GOCODE}",
        "GOCACHE": str(home / "cache"),
        "PWD": str(package),  # or Go would follow the link out of its path
    }
    return run("go", *arguments, cwd=package, env=env)


def _unavailable(reason: str, *, required: bool) -> NoReturn:
    if required:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def run(*command: str, **options: Any) -> str:
    """Return what *command* printed; fail with its output if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    output: str = done.stdout
    assert done.returncode == 0, f"{' '.join(command)}\n{output}{done.stderr}"
    return output
