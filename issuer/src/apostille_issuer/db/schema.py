"""Which schema a database has, which one this release needs, and the way there.

Migrations first expand, and contract a release later, so that the old and the
new release can run side by side. A release therefore migrates from a few
revisions only, and a database that skipped one is refused before any change.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import resources
from typing import Any

from msgspec import Struct
from sqlalchemy import URL, Connection, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from apostille_issuer.db.engine import async_url, postgresql_arguments
from apostille_issuer.problems import StartupError

__all__ = ["Migration", "migrate", "require_current", "revisions"]

OLDEST_UPGRADABLE = "0001"
"""The oldest revision this release migrates from, besides an empty database."""

LOCK_KEY = 0x61706F7374696C6C
"""PostgreSQL advisory lock held while migrating: "apostill" as a number."""

LOCK_TIMEOUT = timedelta(seconds=60)
"""How long ``migrate`` waits for whoever else is migrating or writing."""


class Migration(Struct, frozen=True):
    """What :func:`migrate` did: from which revision to which."""

    before: str | None
    """``None`` for a database that had no tables."""
    after: str


def revisions() -> tuple[str, ...]:
    """Return all revisions of this release, oldest first.

    Read from file names, ``0001_what_it_does.py``: importing Alembic takes
    longer than everything else a start does.
    """
    folder = resources.files("apostille_issuer.db.migrations") / "versions"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.partition("_")[0] for name in names if name.endswith(".py")))


def require_current(url: str | URL, *, timeout: timedelta = LOCK_TIMEOUT) -> None:
    """Return if the database has the schema this release needs; blocks.

    Args:
        url: Of the database.
        timeout: Longest wait for a lock.

    Raises:
        StartupError: It has another one, or cannot be reached.
    """
    with _connection(url, timeout) as connection:
        before = _checked_revision(connection)
    if before != revisions()[-1]:
        raise StartupError(
            f"the database is {_described(before)}, this release needs revision "
            f"{revisions()[-1]}: run 'apostille-issuer migrate'"
        )


def migrate(url: str | URL, *, timeout: timedelta = LOCK_TIMEOUT) -> Migration:
    """Bring the database to this release's schema in one transaction; blocks.

    Args:
        url: Of the database.
        timeout: Longest wait for a lock.

    Raises:
        StartupError: The database is newer, unknown or skipped a release, and
            has not been touched; or it cannot be reached.
    """
    head = revisions()[-1]
    with _connection(url, timeout) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        before = _checked_revision(connection)
        if before != head:
            _upgrade(connection)
    return Migration(before, head)


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - 150 ms that only a migration pays
    from alembic.config import Config  # noqa: PLC0415 - the same

    config = Config()
    with resources.as_file(resources.files("apostille_issuer.db.migrations")) as folder:
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    if connection.dialect.name == "sqlite":
        broken = connection.execute(text("PRAGMA foreign_key_check")).first()
        if broken is not None:
            raise StartupError(f"the migration would leave dangling rows in {broken[0]}")


def _checked_revision(connection: Connection) -> str | None:
    """Return the database's revision if this release can start from it."""
    found = _revision(connection)
    known = revisions()
    if found is None:
        return None
    if found not in known:
        raise StartupError(
            f"the database is {_described(found)}, which this release does not know: "
            "it belongs to a newer release"
        )
    if known.index(found) < known.index(OLDEST_UPGRADABLE):
        raise StartupError(
            f"the database is {_described(found)}, this release migrates from revision "
            f"{OLDEST_UPGRADABLE} on: migrate with the releases between first"
        )
    return found


def _revision(connection: Connection) -> str | None:
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" not in tables:
        if tables:
            raise StartupError("the database holds tables that are not the issuer's")
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    if len(found) != 1:
        raise StartupError("the database does not say which revision it has")
    return str(found[0])


def _described(revision: str | None) -> str:
    return "empty" if revision is None else f"at revision {revision!r}"


@contextmanager
def _connection(url: str | URL, timeout: timedelta) -> Iterator[Connection]:
    """Open one connection and transaction outside any pool.

    Foreign keys are not enforced on SQLite meanwhile: to make a table anew is
    to drop it, which would take the rows that point to it along.
    """
    parsed = async_url(url)
    if parsed.get_backend_name() == "sqlite":
        parsed = parsed.set(drivername="sqlite+pysqlite")
        arguments: dict[str, Any] = {"timeout": timeout.total_seconds()}
    else:
        arguments = postgresql_arguments(parsed, timeout)
    engine = create_engine(parsed, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _take_over_transactions)
        event.listen(engine, "begin", _begin_immediately)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                _require_held(connection)
            yield connection
    except DBAPIError as error:
        raise StartupError(f"cannot use the database: {_reason(error)}") from error
    finally:
        engine.dispose()


def _require_held(connection: Connection) -> None:
    """Make sure that row-level security, which keeps tenants apart, holds for who is connected."""
    spared = text(
        "SELECT rolname FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)"
    )
    if (role := connection.scalar(spared)) is not None:
        raise StartupError(
            f"the database role {role!r} is a superuser or has BYPASSRLS, so row-level security "
            "would not keep tenants apart: connect as one that owns the database and has neither"
        )


def _take_over_transactions(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")


def _begin_immediately(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _reason(error: DBAPIError) -> str:
    """Return the driver's own words in one line; they hold no password."""
    return " ".join(str(error.orig).split())
