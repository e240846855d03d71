"""The servers of the issuer section: ours and its peers, each with sessions to refresh."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apostille_issuer.tour.processes import free_port
from bench import fresh
from bench.load import Conversation
from bench.processes import Server, started

__all__ = [
    "CONNECTIONS",
    "LOGIN",
    "PASSWORD",
    "RESIDENT_MEBIBYTES",
    "Target",
    "apostille",
    "apostille_server",
    "bare_litestar",
    "migrate",
    "nothing",
    "serve_environment",
    "sessions_of_clerk",
    "simplejwt",
    "simplejwt_server",
    "with_clerk",
]

CONNECTIONS = 32
"""Connections, each with a session of its own, that a load comes over."""

RESIDENT_MEBIBYTES = 130.0
"""Budget for the memory of an issuer, ready or after load."""

LOGIN, PASSWORD = "admin", "a password for the bench alone"
CLERK = "clerk@example.com"

PERMISSIONS = [f"inventory.{name}" for name in ("read", "write", "count", "move", "adjust")]
MANIFEST = {
    "service": "inventory",
    "version": "1",
    "permissions": dict.fromkeys(PERMISSIONS, "For the bench"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """A running server, and what to say to it."""

    server: Server
    refreshes: Sequence[Conversation] = ()
    login: Conversation | None = None


def program(name: str) -> str:
    """Return a program installed beside this interpreter."""
    return str(Path(sys.executable).parent / name)


def serve_environment(
    database_url: str | None = None,
    *,
    log_level: str = "warning",
    settings: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the issuer's environment: a known superuser, and perhaps another database.

    By default without access log, which the peers do not write either.

    Args:
        database_url: Of the database, if not SQLite in the data folder.
        log_level: What is logged.
        settings: ``APOSTILLE_*`` variables.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("APOSTILLE_")}
    given = {
        "APOSTILLE_BOOTSTRAP_LOGIN": LOGIN,
        "APOSTILLE_BOOTSTRAP_PASSWORD": PASSWORD,
        "APOSTILLE_LOG_LEVEL": log_level,
    }
    if database_url is not None:
        given["APOSTILLE_DATABASE_URL"] = database_url
        given["APOSTILLE_KEY_ENCRYPTION_KEY"] = base64.b64encode(secrets.token_bytes(32)).decode()
    return {**kept, **given, **(settings or {})}


def migrate(data: Path, environment: Mapping[str, str]) -> None:
    """Make the tables of an issuer in the database of *environment*, or in the folder *data*."""
    command = [program("apostille-issuer"), "migrate", "--data", str(data)]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def apostille_server(
    data: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
    *,
    core: int | None = None,
) -> Iterator[Server]:
    """Serve the issuer from a data folder, new or not, perhaps beside another process."""
    port = free_port()
    command = [program("apostille-issuer"), "serve", "--data", str(data)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    given = environment or serve_environment()
    with started(
        command, port, log=log, path="/health/ready", environment=given, core=core
    ) as server:
        yield server


@contextmanager
def apostille(
    folder: Path,
    database_url: str | None = None,
    *,
    log_level: str = "warning",
    settings: Mapping[str, str] | None = None,
) -> Iterator[Target]:
    """Serve the issuer with one service, one role and one clerk; on SQLite by default."""
    folder.mkdir()
    environment = serve_environment(database_url, log_level=log_level, settings=settings)
    if database_url is not None:
        migrate(folder / "data", environment)
    with apostille_server(folder / "data", folder / "log", environment) as server:
        yield with_clerk(server)


def with_clerk(server: Server) -> Target:
    """Make a service, a role and a clerk at a new issuer, and log in on all connections."""
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        admin = _tokens(client, LOGIN, PASSWORD)["access_token"]
        client.headers["Authorization"] = f"Bearer {admin}"
        _done(client.put("/v1/services/inventory", json=MANIFEST))
        _done(client.post("/v1/roles", json={"name": "clerk", "allow": PERMISSIONS}))
        made = _done(client.post("/v1/users", json={"login": CLERK, "password": PASSWORD}))
        _done(client.put(f"/v1/users/{made['id']}/roles/clerk"))
    body = f'{{"login":"{CLERK}","password":"{PASSWORD}"}}'
    login = Conversation(method="POST", path="/v1/auth/login", body=body)
    return Target(server, sessions_of_clerk(server), login)


def sessions_of_clerk(server: Server) -> list[Conversation]:
    """Log the clerk in on all connections; return the refreshes of these sessions."""
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        sessions = [_tokens(client, CLERK, PASSWORD)["refresh_token"] for _ in range(CONNECTIONS)]
    return [
        Conversation(
            method="POST",
            path="/v1/auth/refresh",
            body='{"refresh_token":"{token}"}',
            token=token,
            field="refresh_token",
        )
        for token in sessions
    ]


def _tokens(client: httpx.Client, login: str, password: str) -> dict[str, Any]:
    return _done(client.post("/v1/auth/login", json={"login": login, "password": password}))


def _done(response: httpx.Response) -> dict[str, Any]:
    if not response.is_success:
        raise RuntimeError(f"{response.request.url}: {response.status_code} {response.text}")
    answer: dict[str, Any] = response.json() if response.content else {}
    return answer


@contextmanager
def bare_litestar(folder: Path, document_bytes: int) -> Iterator[Target]:
    """Serve Litestar without anything."""
    port = free_port()
    command = [sys.executable, "-m", "bench.peers.bare_litestar", str(port), str(document_bytes)]
    with started(command, port, log=folder / "bare.log", path="/document") as server:
        yield Target(server)


@contextmanager
def nothing(folder: Path) -> Iterator[Target]:
    """Serve as fast as Python can."""
    port = free_port()
    command = [sys.executable, "-m", "bench.peers.nothing", str(port)]
    with started(command, port, log=folder / "nothing.log") as server:
        yield Target(server)


@contextmanager
def simplejwt_server(folder: Path, database_url: str | None = None) -> Iterator[Server]:
    """Serve Django with simplejwt over the tables that are there, on SQLite by default."""
    port = free_port()
    # One thread was as fast as any number on one core, and as other servers.
    gunicorn = ["gunicorn", "--workers", "1", "--worker-class", "gthread", "--threads", "1"]
    command = [sys.executable, "-m", *gunicorn, "--bind", f"127.0.0.1:{port}"]
    command += ["--log-level", "warning", "bench.peers.simplejwt:application"]
    environment = _django_environment(folder, database_url)
    with started(
        command, port, log=folder / "log", path="/ready", environment=environment
    ) as server:
        yield server


@contextmanager
def simplejwt(folder: Path, database_url: str | None = None) -> Iterator[Target]:
    """Serve Django with simplejwt, rotation and blacklist, and as many sessions as ours."""
    environment = _django_environment(folder, database_url)
    seed = [sys.executable, "-m", "bench.peers.simplejwt", str(CONNECTIONS)]
    done = subprocess.run(seed, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    with simplejwt_server(folder, database_url) as server:
        refreshes = [
            Conversation(
                method="POST",
                path="/refresh",
                body='{"refresh":"{token}"}',
                token=token,
                field="refresh",
            )
            for token in done.stdout.split()
        ]
        yield Target(server, refreshes)


def _django_environment(folder: Path, database_url: str | None) -> dict[str, str]:
    pem = folder / "key.pem"
    if not pem.exists():
        folder.mkdir(exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    database = database_url or f"sqlite://{folder}/django.sqlite3"
    return fresh.environment(BENCH_KEY=str(pem), BENCH_DATABASE=database)
