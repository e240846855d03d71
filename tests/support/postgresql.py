"""A PostgreSQL server for tests: the one named in the environment, or one of our own.

``APOSTILLE_TEST_POSTGRESQL_URL`` names a server where the user may create
databases, and roles if he is a superuser: databases then belong to a role that
row-level security holds, as the issuer wants it. Without it a throw-away
cluster is started from the server programs of this machine, reachable by a
Unix socket in a temporary folder alone; each
process that asks has its own, so parallel runs never meet.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier, Literal
from sqlalchemy import URL, make_url

__all__ = ["NoPostgreSQL", "Server", "running_server"]

HOW_TO_GET_IT = (
    "no PostgreSQL: install its server (Debian: postgresql) or name one in "
    "APOSTILLE_TEST_POSTGRESQL_URL=postgresql://user:password@host/postgres"
)
START_SECONDS = 30

OWNER = "apostille_tests"
"""Owns the databases where the server's own user is a superuser; also its password."""


class NoPostgreSQL(Exception):
    """There is neither a server nor the programs to start one."""


class Server:
    """A server on which databases can be made and dropped at will."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._owner = self._make_owner()
        self._spare: dict[str, list[str]] = {}
        self._templates: dict[str, dict[str, str]] = {}

    @contextmanager
    def borrowed(self, template: str) -> Iterator[str]:
        """Give the URL of a database with what *template* holds, for as long as the block runs.

        One that was given back is emptied and lent again: copying files takes
        ten times as long as emptying tables.
        """
        spare = self._spare.setdefault(template, [])
        url = spare.pop() if spare else self.create_database(template)
        yield url
        self._restore(url, template)
        spare.append(url)

    def _restore(self, url: str, template: str) -> None:
        """Make the rows of the database at *url* those of *template*."""
        rows = self._rows_of(template)
        within = self._url.set(database=make_url(url).database)
        with psycopg.connect(**connect_arguments(within)) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            # Each table costs files, whether there is anything in it or not.
            if filled := _filled(connection, rows):
                tables = SQL(", ").join(map(Identifier, filled))
                connection.execute(SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(tables))
            for table, found in rows.items():
                if found != "[]":
                    statement = SQL(
                        "INSERT INTO {0} SELECT * FROM json_populate_recordset(NULL::{0}, %s)"
                    )
                    connection.execute(statement.format(Identifier(table)), [found])

    def _rows_of(self, template: str) -> dict[str, str]:
        """Return what each table of *template* holds, as JSON; nobody changes a template."""
        if template not in self._templates:
            within = self._url.set(database=template)
            with psycopg.connect(**connect_arguments(within), autocommit=True) as source:
                self._templates[template] = {
                    table: _rows(source, table) for table in _tables(source)
                }
        return self._templates[template]

    def create_database(self, template: str | None = None) -> str:
        """Return the URL of a new database, empty or a copy of *template*."""
        name = f"apostille_{uuid.uuid4().hex[:12]}"
        owned = f' OWNER "{self._owner.username}"'
        copied = f' TEMPLATE "{template}"' if template else ""
        self._execute(f'CREATE DATABASE "{name}"{owned}{copied}')
        return self._owner.set(database=name).render_as_string(hide_password=False)

    def drop_database(self, url: str) -> None:
        """Drop the database at *url*, whoever is connected."""
        self._execute(f'DROP DATABASE "{make_url(url).database}" WITH (FORCE)')

    def superuser_url(self, url: str) -> str:
        """Return the URL of the same database for whom the server was made for."""
        within = self._url.set(database=make_url(url).database)
        return within.render_as_string(hide_password=False)

    def _make_owner(self) -> URL:
        """Return the URL of who is to own databases: nobody whom row-level security spares."""
        spared = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        with psycopg.connect(**connect_arguments(self._url), autocommit=True) as connection:
            if connection.execute(spared).fetchone() == (False,):
                return self._url
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                connection.execute(
                    f"CREATE ROLE {OWNER} LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '{OWNER}'".encode()
                )
        return self._url.set(username=OWNER, password=OWNER)

    def _execute(self, statement: str) -> None:
        with psycopg.connect(**connect_arguments(self._url), autocommit=True) as connection:
            connection.execute(statement.encode())


def _tables(connection: psycopg.Connection) -> list[str]:
    found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return [name for (name,) in found]


def _filled(connection: psycopg.Connection, tables: Iterable[str]) -> list[str]:
    """Return those of *tables* that hold anything."""
    each = SQL("SELECT {} AS name WHERE EXISTS (SELECT FROM {})")
    asked = SQL(" UNION ALL ").join(each.format(Literal(t), Identifier(t)) for t in tables)
    return [str(name) for (name,) in connection.execute(asked)]


def _rows(connection: psycopg.Connection, table: str) -> str:
    query = SQL("SELECT coalesce(json_agg(t), '[]')::text FROM {} AS t").format(Identifier(table))
    found = connection.execute(query).fetchone()
    assert found is not None
    return str(found[0])


def connect_arguments(url: str | URL) -> dict[str, Any]:
    """Return what ``psycopg.connect`` takes for a SQLAlchemy *url*."""
    parsed = make_url(url)
    arguments = parsed.translate_connect_args(username="user", database="dbname")
    return {**arguments, **parsed.query}


@contextmanager
def running_server() -> Iterator[Server]:
    """Give a server for as long as the block runs.

    Raises:
        NoPostgreSQL: There is none; the message says how to get one.
    """
    if url := os.environ.get("APOSTILLE_TEST_POSTGRESQL_URL"):
        yield Server(url)
        return
    programs = _programs()
    if programs is None:
        raise NoPostgreSQL(HOW_TO_GET_IT)
    folder = Path(tempfile.mkdtemp(prefix="apo-pg-", dir="/tmp"))
    try:
        with _cluster(programs, folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """Return the folder that holds both server programs, the newest if several do."""
    candidates = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True
    )
    if found := shutil.which("postgres"):
        candidates.append(Path(found).resolve().parent)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


@contextmanager
def _cluster(programs: Path, folder: Path) -> Iterator[Server]:
    account: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:  # the server refuses to run as root
        account |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    subprocess.run(
        [
            *(programs / "initdb", "-D", data, "-U", "apostille", "--auth=trust"),
            *("-E", "UTF8", "--no-sync", "--no-instructions"),
        ],
        check=True,
        capture_output=True,
        **account,
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses="),
                *("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200"),
                *("-c", "shared_buffers=32MB", "-c", "autovacuum=off"),
            ],
            stdout=log,
            stderr=log,
            **account,
        )
    try:
        url = f"postgresql://apostille@/postgres?host={folder}"
        _wait_until_ready(url, process, folder / "log")
        yield Server(url)
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(timeout=START_SECONDS)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(**connect_arguments(url)).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoPostgreSQL(f"PostgreSQL did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
        else:
            return
