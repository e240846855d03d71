"""The peer from Node: oidc-provider with rotation over better-sqlite3, where Node is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from apostille_issuer.tour.processes import free_port
from bench.fresh import TESTS
from bench.issuer_targets import CONNECTIONS, Target
from bench.load import Conversation
from bench.processes import started

__all__ = ["NoNode", "oidc_provider"]

INSTALL_SECONDS = 300
"""The first time, better-sqlite3 is compiled."""

_SOURCE = Path(__file__).parent / "peers" / "oidc_provider"
_CACHE = TESTS.parent / ".cache"


class NoNode(Exception):
    """Node, npm or what they were to install is missing; the message says which."""


@contextmanager
def oidc_provider(folder: Path) -> Iterator[Target]:
    """Serve oidc-provider with as many sessions as ours.

    Raises:
        NoNode: It cannot be had on this machine.
    """
    home = _installed()
    port = free_port()
    command = ["node", str(home / "server.mjs"), str(port), str(folder / "oidc-provider.sqlite3")]
    log = folder / "oidc-provider.log"
    with started(command, port, log=log, path="/jwks") as server:
        seed = f"http://127.0.0.1:{port}/seed?count={CONNECTIONS}"
        tokens = httpx.get(seed, trust_env=False).text.split()
        body = "grant_type=refresh_token&refresh_token={token}&client_id=web&client_secret="
        refreshes = [
            Conversation(
                method="POST",
                path="/token",
                body=body + "s" * 40,
                content_type="application/x-www-form-urlencoded",
                token=token,
                field="refresh_token",
            )
            for token in tokens
        ]
        yield Target(server, refreshes)


def _installed() -> Path:
    """Return the folder with the server and what it needs, from npm the first time."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NoNode("node and npm are not installed")
    home = _CACHE / "bench" / "oidc-provider"
    home.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "server.mjs"):
        shutil.copyfile(_SOURCE / name, home / name)
    wanted = (_SOURCE / "package.json").read_text()
    stamp = home / "installed.json"
    if not stamp.exists() or stamp.read_text() != wanted:
        _install(home)
        stamp.write_text(wanted)
    return home


def _install(home: Path) -> None:
    environment = {**os.environ, "npm_config_cache": str(_CACHE / "npm")}
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
    try:
        subprocess.run(
            command,
            cwd=home,
            env=environment,
            check=True,
            timeout=INSTALL_SECONDS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise NoNode(f"npm install failed: {error}") from error
