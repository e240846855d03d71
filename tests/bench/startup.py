"""How soon the issuer is there, and how much memory it takes then."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from bench.issuer_targets import RESIDENT_MEBIBYTES, apostille_server, simplejwt_server
from bench.report import Section, Table
from bench.rounds import ROUNDS
from bench.series import Budget, Series

__all__ = ["measure_startup"]

READY_SECONDS = 2.0

FIRST = "Apostille, first start: tables, keys and superuser made"
AGAIN = "Apostille, later start"
PEER = "simplejwt in gunicorn, tables made before"


def measure_startup() -> Section:
    """Start each server anew in every round."""
    section = Section("startup", "Starting the issuer")
    section.notes.append(
        "From before the process is started until `/health/ready` answers 200, held to one core; "
        "byte code and files in the page cache. Memory is what is resident then."
    )
    seconds: dict[str, list[float]] = {FIRST: [], AGAIN: [], PEER: []}
    busy: dict[str, list[float]] = {FIRST: [], AGAIN: [], PEER: []}
    memory: dict[str, list[float]] = {FIRST: [], AGAIN: [], PEER: []}
    with tempfile.TemporaryDirectory(prefix="apostille-bench-") as name:
        folder = Path(name)
        for number in range(ROUNDS + 1):
            data = folder / "data"
            for start, server in (
                (FIRST, apostille_server(data, folder / "log")),
                (AGAIN, apostille_server(data, folder / "log")),
                (PEER, simplejwt_server(folder / "simplejwt")),
            ):
                with server as running:
                    if number:  # the first round only fills the page cache
                        seconds[start].append(running.ready_seconds)
                        busy[start].append(running.busy_seconds())
                        memory[start].append(running.resident_mebibytes())
            shutil.rmtree(data)
    ready = {start: Series.of(values) for start, values in seconds.items()}
    resident = {start: Series.of(values) for start, values in memory.items()}
    section.tables.append(Table("Ready after", "s", ready, (PEER,)))
    spent = {start: Series.of(values) for start, values in busy.items()}
    section.tables.append(Table("Processor time until ready", "s", spent, (PEER,)))
    section.tables.append(Table("Resident when ready", "MiB", resident, (PEER,)))
    for start in (FIRST, AGAIN):
        text = start.replace("Apostille", "issuer ready").partition(":")[0]
        section.budgets.append(Budget(text, READY_SECONDS, ready[start], unit="s"))
    text = "issuer resident when ready"
    section.budgets.append(Budget(text, RESIDENT_MEBIBYTES, resident[FIRST], unit="MiB"))
    return section
