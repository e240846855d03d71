"""What the status lists of a million sessions take in the memory of a service.

``python -m bench.status_memory ISSUER AUDIENCE TOKEN…`` verifies the tokens; the
first of them names no list, each other one a list of its own. Prints the bytes
that came with the lists.
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections.abc import Callable

from apostille import Verifier
from bench.fresh import resident_bytes


def measure(issuer: str, audience: str, tokens: list[str]) -> dict[str, int]:
    """Return bytes allocated by Python, and resident, for the lists of *tokens*."""
    resident = _hold(issuer, audience, tokens, resident_bytes)
    tracemalloc.start()
    allocated = _hold(issuer, audience, tokens, lambda: tracemalloc.get_traced_memory()[0])
    return {"allocated": allocated, "resident": resident}


def _hold(issuer: str, audience: str, tokens: list[str], memory: Callable[[], int]) -> int:
    plain, *naming = tokens
    # Without a cache of tokens, which has a table of its own.
    with Verifier(issuer, audience=audience, cache_size=0) as verifier:
        verifier.verify(plain)
        gc.collect()
        before = memory()
        for token in naming:
            verifier.verify(token)
        gc.collect()
        assert verifier.health().status.lists == len(naming)
        after = memory()
        return after - before


if __name__ == "__main__":
    figures = measure(sys.argv[1], sys.argv[2], sys.argv[3:])
    print(json.dumps(figures))  # noqa: T201 - read by the process that started this one
