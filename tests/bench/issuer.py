"""The issuer under load: key set, refresh and login beside bare servers and peers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import httpx

from apostille_issuer.settings import Settings
from bench import fresh
from bench.issuer_targets import (
    CONNECTIONS,
    RESIDENT_MEBIBYTES,
    Target,
    apostille,
    bare_litestar,
    nothing,
    simplejwt,
)
from bench.load import Conversation
from bench.loads import Load, latencies, rate_of
from bench.oidc_provider import NoNode, oidc_provider
from bench.processes import LoadGenerator, cores, held_to
from bench.report import Section, Table
from bench.rounds import CONTROL, Measure, interleave
from bench.series import Better, Budget, Series
from support.postgresql import NoPostgreSQL, running_server

__all__ = ["measure_issuer"]

LOGIN_SECONDS = 3.0
"""Longer, for a login is slow by design, and the first one after a pause has fresh memory."""

P99_OVER_MEDIAN = 5.0
"""Budget for the latency of a refresh at half load."""

KEY_SET = Conversation(path="/.well-known/jwks.json")
DOCUMENT = Conversation(path="/document")
STRUCTS = Conversation(method="POST", path="/structs", body='{"refresh_token":"x"}')

CEILING = "a server that does nothing"
BARE_GET = "bare Litestar, the same bytes"
BARE_POST = "bare Litestar, Struct in, Struct out"
JWKS = "Apostille, key set"
REFRESH = "Apostille, refresh, SQLite"
REFRESH_LOGGED = "Apostille, refresh, SQLite, with access log"
REFRESH_PG = "Apostille, refresh, PostgreSQL"
SIMPLEJWT = "simplejwt, refresh, SQLite"
SIMPLEJWT_PG = "simplejwt, refresh, PostgreSQL"
OIDC_PROVIDER = "oidc-provider, refresh, SQLite"
LOGIN = "Apostille, login, SQLite"
ARGON2 = "argon2id alone"


def measure_issuer() -> Section:
    """Measure all rates in the same rounds, then latencies at half of them."""
    section = Section("issuer", "The issuer under load")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="apostille-bench-")))
        loads = _start(stack, folder, section)
        generator = stack.enter_context(LoadGenerator())
        rates, busy = _rates(generator, loads)
        _judge(section, rates)
        section.tables.append(_busy_table(busy))
        _judge_latencies(section, generator, loads, rates)
        _judge_memory(section, loads)
    return section


def _start(stack: ExitStack, folder: Path, section: Section) -> dict[str, Load]:
    ours = stack.enter_context(apostille(folder / "apostille"))
    logged = stack.enter_context(apostille(folder / "apostille-logged", log_level="info"))
    answer = httpx.get(f"http://127.0.0.1:{ours.server.port}{KEY_SET.path}", trust_env=False)
    bare = stack.enter_context(bare_litestar(folder, len(answer.content)))
    theirs = stack.enter_context(simplejwt(folder / "simplejwt"))
    idle = stack.enter_context(nothing(folder))
    assert ours.login is not None
    loads = {
        CEILING: Load(idle.server, [DOCUMENT] * CONNECTIONS),
        BARE_GET: Load(bare.server, [DOCUMENT] * CONNECTIONS),
        CONTROL: Load(bare.server, [DOCUMENT] * CONNECTIONS),
        JWKS: Load(ours.server, [KEY_SET] * CONNECTIONS),
        BARE_POST: Load(bare.server, [STRUCTS] * CONNECTIONS),
        REFRESH: _refreshes(ours),
        REFRESH_LOGGED: _refreshes(logged),
        SIMPLEJWT: _refreshes(theirs),
        LOGIN: Load(ours.server, [ours.login] * 4, LOGIN_SECONDS),
    }
    server, generator = cores()
    section.notes.append(
        f"Servers run on core {server}, one process each, the load comes over {CONNECTIONS} "
        f"connections (logins: 4) from core {generator}. SQLite with WAL and "
        "`synchronous=NORMAL` on both sides. simplejwt: Django in gunicorn, rotation and "
        "blacklist on; its tokens carry no roles and no permissions. Every round refreshes the "
        "successors of the round before. No access log, except where it says so. argon2id alone "
        "checks passwords in one thread, whose memory glibc keeps from one hash to the next by "
        "itself, as the issuer's threads do: neither side pays for fresh pages."
    )
    try:
        loads[OIDC_PROVIDER] = _refreshes(stack.enter_context(oidc_provider(folder)))
    except NoNode as error:
        section.notes.append(f"Left out: oidc-provider ({error}).")
    _start_on_postgresql(stack, folder, section, loads)
    return loads


def _start_on_postgresql(
    stack: ExitStack, folder: Path, section: Section, loads: dict[str, Load]
) -> None:
    try:
        with held_to(cores()[0]):
            server = stack.enter_context(running_server())
    except NoPostgreSQL as error:
        section.notes.append(f"Left out: PostgreSQL ({error}).")
        return
    section.notes.append("PostgreSQL runs on the servers' core too, without `fsync`.")
    ours = stack.enter_context(apostille(folder / "apostille-pg", server.create_database()))
    theirs = stack.enter_context(simplejwt(folder / "simplejwt-pg", server.create_database()))
    loads[REFRESH_PG] = _refreshes(ours)
    loads[SIMPLEJWT_PG] = _refreshes(theirs)


def _refreshes(target: Target) -> Load:
    return Load(target.server, target.refreshes)


def _rates(
    generator: LoadGenerator, loads: dict[str, Load]
) -> tuple[dict[str, Series], dict[str, Series]]:
    """Return answers per second, and µs the server was busy for one of them."""
    busy: dict[str, list[float]] = {name: [] for name in loads}
    subjects = {name: rate_of(generator, name, load, busy[name]) for name, load in loads.items()}
    subjects[ARGON2] = _bare_argon2(busy.setdefault(ARGON2, []))
    for measure in subjects.values():  # connections, caches and byte code are warm
        measure()
    rates = interleave(subjects)
    return rates, {name: Series.of(values[1:]) for name, values in busy.items()}


def _bare_argon2(busy: list[float]) -> Measure:
    """Measure hashes per second on the server's core, with the issuer's own parameters."""
    settings = Settings()
    numbers = (settings.argon2_memory_kib, settings.argon2_time_cost, settings.argon2_parallelism)
    command = [sys.executable, "-m", "bench.peers.bare_argon2", str(LOGIN_SECONDS), "1"]
    command += map(str, numbers)

    def measure() -> float:
        with held_to(cores()[0]):
            done = subprocess.run(
                command, env=fresh.environment(), stdout=subprocess.PIPE, check=True
            )
        per_second, microseconds = map(float, done.stdout.split())
        busy.append(microseconds)
        return per_second

    return measure


def _judge(section: Section, rates: dict[str, Series]) -> None:
    noise = rates.pop(CONTROL).over(rates[BARE_GET])
    section.tables.append(Table("Rates", "1/s", rates, against=(BARE_GET,), noise=noise))

    def add(text: str, name: str, beside: str, limit: float) -> None:
        if name in rates and beside in rates:
            measured = rates[name].over(rates[beside])
            section.budgets.append(Budget(text, limit, measured, noise.departure, Better.HIGHER))

    add("key set beside a bare Litestar route", JWKS, BARE_GET, 0.9)
    add("login beside bare argon2id on the same core", LOGIN, ARGON2, 0.9)
    add("refresh beside simplejwt, SQLite", REFRESH, SIMPLEJWT, 10)
    add("refresh beside oidc-provider, SQLite", REFRESH, OIDC_PROVIDER, 2)
    add("refresh beside simplejwt, PostgreSQL", REFRESH_PG, SIMPLEJWT_PG, 6)


def _judge_memory(section: Section, loads: dict[str, Load]) -> None:
    rows = {
        name.partition(",")[0]: Series.of([loads[name].server.resident_mebibytes()])
        for name in (REFRESH, SIMPLEJWT, OIDC_PROVIDER)
        if name in loads
    }
    section.tables.append(Table("Resident after all this load, SQLite", "MiB", rows))
    text = "issuer resident after load"
    section.budgets.append(Budget(text, RESIDENT_MEBIBYTES, rows["Apostille"], unit="MiB"))


def _busy_table(busy: dict[str, Series]) -> Table:
    rows = {
        name: series
        for name, series in busy.items()
        if name not in (CEILING, CONTROL, REFRESH_PG, SIMPLEJWT_PG)
    }
    return Table(
        "Processor time of the server for one answer",
        "µs",
        rows,
        against=(BARE_GET, SIMPLEJWT),
        note="All threads of the server, in the same rounds. Unlike rates, this hardly depends "
        "on what else the machine does.",
    )


def _judge_latencies(
    section: Section, generator: LoadGenerator, loads: dict[str, Load], rates: dict[str, Series]
) -> None:
    chosen = (
        *(BARE_GET, JWKS, REFRESH, SIMPLEJWT, OIDC_PROVIDER),
        *(REFRESH_PG, SIMPLEJWT_PG, LOGIN),
    )
    measured = latencies(generator, {name: loads[name] for name in chosen if name in loads}, rates)
    rows: dict[str, Series] = {}
    for name, found in measured.items():
        rows[f"{name}, median"] = found.median
        rows[f"{name}, 99th percentile"] = found.p99
    note = (
        "Requests are sent on a schedule and timed from when they were due, so that a "
        "server that falls behind is seen to."
    )
    section.tables.append(Table("Latency at half of these rates", "ms", rows, note=note))
    for name in (REFRESH, REFRESH_PG):
        if name in measured:
            dialect = name.rpartition(", ")[2]
            text = f"refresh at half load, 99th percentile beside the median, {dialect}"
            ratio = measured[name].p99.over(measured[name].median)
            section.budgets.append(Budget(text, P99_OVER_MEDIAN, ratio))
