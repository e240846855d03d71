"""What ten thousand logins leave behind in the memory of an issuer."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.issuer_targets import apostille
from bench.processes import LoadGenerator
from bench.report import Section, Table
from bench.series import Budget, Series

__all__ = ["measure_memory"]

LOGINS = 10_000
FIRST_LOGINS = 500
"""Until pools, caches and byte code are there."""

CONNECTIONS = 4
RUN_SECONDS = 2.0
LEFT_BEHIND_MEBIBYTES = 10.0

CHEAPEST_HASHES = {"APOSTILLE_ARGON2_MEMORY_KIB": "7168", "APOSTILLE_ARGON2_TIME_COST": "1"}


def measure_memory() -> Section:
    """Log in again and again; compare memory before and after."""
    section = Section("memory", f"Memory after {LOGINS:,} logins")
    section.notes.append(
        "One process on SQLite. Hashing at the least cost that settings allow (7 MiB, one pass), "
        "or it would take minutes: argon2's own memory is given back after each hash at any cost, "
        f"what could leak is the rest. Logins come over {CONNECTIONS} connections; each begins a "
        "session."
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="apostille-bench-")))
        target = stack.enter_context(apostille(folder / "issuer", settings=CHEAPEST_HASHES))
        generator = stack.enter_context(LoadGenerator())
        assert target.login is not None
        conversations = [target.login] * CONNECTIONS

        def log_in(count: int) -> float:
            """Log in at least so many times; return the memory after that, in MiB."""
            done = 0
            while done < count:
                done += generator.run(
                    "logins", target.server.port, conversations, seconds=RUN_SECONDS
                ).answers
            return target.server.resident_mebibytes()

        ready = target.server.resident_mebibytes()
        before = log_in(FIRST_LOGINS)
        half = log_in(LOGINS // 2)
        after = log_in(LOGINS // 2)
    rows = {
        "a clerk and his first sessions made": ready,
        f"{FIRST_LOGINS:,} logins later": before,
        f"{LOGINS // 2:,} more": half,
        f"{LOGINS:,} more": after,
    }
    figures = {name: Series.of([value]) for name, value in rows.items()}
    section.tables.append(Table("Resident", "MiB", figures))
    text = f"issuer resident after {LOGINS:,} logins, above before"
    left = Series.of([after - before])
    section.budgets.append(Budget(text, LEFT_BEHIND_MEBIBYTES, left, unit="MiB"))
    return section
