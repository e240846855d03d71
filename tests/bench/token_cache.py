"""The cache of verified tokens at its bound: time, when every token is new, and memory."""

from __future__ import annotations

import itertools
import json

from apostille import Verifier
from bench.fresh import probe
from bench.report import Section, Table
from bench.rounds import ROUNDS, calls_over, interleave
from bench.series import Series
from bench.tokens import AUDIENCE, ISSUER, Mint

__all__ = ["BOUND", "cache_tables", "measure_memory"]

BOUND = 10_000
"""Default number of entries."""

NEW = 400
"""New tokens in one round."""


def cache_tables(section: Section) -> None:
    """Add what the cache costs when nothing is ever asked twice."""
    mint = Mint.of("ES256")
    full = Verifier(ISSUER, audience=AUDIENCE, **mint.sources, cache_size=BOUND)
    for token in mint.stream(BOUND):
        full.verify(token)
    fresh_tokens = mint.tokens(NEW)
    batches = itertools.cycle([mint.tokens(NEW) for _ in range(ROUNDS)])
    rows = interleave(
        {
            "cache empty": calls_over(
                lambda: (
                    Verifier(ISSUER, audience=AUDIENCE, **mint.sources).verify,
                    fresh_tokens,
                )
            ),
            f"cache at its bound of {BOUND:,}": calls_over(lambda: (full.verify, next(batches))),
        }
    )
    section.tables.append(
        Table("ES256, every token new, by the state of the cache", "µs", rows, ("cache empty",))
    )
    section.tables.append(_memory_table(len(fresh_tokens[0])))


def _memory_table(characters: int) -> Table:
    figures = [json.loads(probe("bench.token_cache")) for _ in range(3)]
    return Table(
        f"Memory of {BOUND:,} verified tokens of {characters} characters",
        "MiB",
        {
            "allocated by Python": Series.of([f["allocated"] / 2**20 for f in figures]),
            "resident": Series.of([f["resident"] / 2**20 for f in figures]),
            "allocated per token, KiB": Series.of([f["allocated"] / BOUND / 1024 for f in figures]),
        },
        note="In a fresh interpreter; the tokens themselves are not kept by the caller.",
    )


def measure_memory() -> dict[str, float]:
    """Fill a cache to its bound; return the bytes that came along."""
    import tracemalloc

    from bench.fresh import resident_bytes

    mint = Mint.of("ES256")
    verifier = Verifier(ISSUER, audience=AUDIENCE, **mint.sources, cache_size=BOUND)
    verifier.verify(mint.token())
    resident = resident_bytes()
    for token in mint.stream(BOUND):
        verifier.verify(token)
    resident = resident_bytes() - resident
    tracemalloc.start()
    again = Verifier(ISSUER, audience=AUDIENCE, **mint.sources, cache_size=BOUND)
    allocated, _ = tracemalloc.get_traced_memory()
    for token in mint.stream(BOUND):
        again.verify(token)
    del token
    allocated = tracemalloc.get_traced_memory()[0] - allocated
    return {"allocated": allocated, "resident": resident}


if __name__ == "__main__":
    print(json.dumps(measure_memory()))  # noqa: T201 - read by the process that started this one
