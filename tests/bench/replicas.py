"""One issuer process and two on one database, as an operator adds replicas."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from bench.issuer_targets import (
    CONNECTIONS,
    apostille_server,
    migrate,
    serve_environment,
    sessions_of_clerk,
    with_clerk,
)
from bench.load import Conversation
from bench.loads import Load, rate_of
from bench.processes import LoadGenerator, Server, cores
from bench.report import Section, Table
from bench.rounds import interleave
from support.postgresql import NoPostgreSQL, running_server

__all__ = ["measure_replicas"]

LOGIN_SECONDS = 1.0
LOGINS = 8
"""Connections that logins come over."""


def measure_replicas() -> Section:
    """Measure the same load on one process, and spread over two."""
    section = Section("replicas", "One and two issuer processes")
    first, second = cores()
    section.notes.append(
        "`serve` is one process; an operator who wants more starts more on the same database. The "
        f"first is held to core {first}, the second to core {second}, which it shares with the "
        f"load: {CONNECTIONS} connections, {LOGINS} of them for logins, half to each process. "
        "PostgreSQL runs on both cores."
    )
    loads: dict[str, Load] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="apostille-bench-")))
        pair = stack.enter_context(_two_processes(folder / "sqlite", None))
        loads |= _loads(pair, "SQLite")
        try:
            server = stack.enter_context(running_server())
        except NoPostgreSQL as error:
            section.notes.append(f"Left out: PostgreSQL ({error}).")
        else:
            url = server.create_database()
            pair = stack.enter_context(_two_processes(folder / "postgresql", url))
            loads |= _loads(pair, "PostgreSQL")
        generator = stack.enter_context(LoadGenerator())
        subjects = {name: rate_of(generator, name, load) for name, load in loads.items()}
        for measure in subjects.values():
            measure()
        rates = interleave(subjects)
    for what in dict.fromkeys(name.rpartition(", ")[0] for name in rates):
        rows = {name: rates[name] for name in rates if name.startswith(f"{what}, ")}
        section.tables.append(
            Table(what[0].upper() + what[1:], "1/s", rows, (f"{what}, one process",))
        )
    return section


@contextmanager
def _two_processes(folder: Path, database_url: str | None) -> Iterator[tuple[Server, Server]]:
    folder.mkdir()
    environment = serve_environment(database_url)
    migrate(folder / "data", environment)
    first, second = cores()
    with (
        apostille_server(folder / "data", folder / "log", environment, core=first) as one,
        apostille_server(folder / "data", folder / "log-2", environment, core=second) as other,
    ):
        yield one, other


def _loads(pair: tuple[Server, Server], dialect: str) -> dict[str, Load]:
    server, other = pair
    target = with_clerk(server)
    assert target.login is not None
    logins = [target.login] * LOGINS
    refreshes = f"refreshes, {dialect}"
    return {
        f"{refreshes}, one process": Load(server, target.refreshes),
        f"{refreshes}, two processes": Load(server, _spread(sessions_of_clerk(server), other)),
        f"logins, {dialect}, one process": Load(server, logins, LOGIN_SECONDS),
        f"logins, {dialect}, two processes": Load(server, _spread(logins, other), LOGIN_SECONDS),
    }


def _spread(conversations: Sequence[Conversation], other: Server) -> list[Conversation]:
    """Return *conversations*, every second one with the *other* server."""
    return [
        msgspec.structs.replace(conversation, port=other.port if number % 2 else 0)
        for number, conversation in enumerate(conversations)
    ]
