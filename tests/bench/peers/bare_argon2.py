"""How many passwords a second argon2 itself can check on the cores it is held to.

``python -m bench.peers.bare_argon2 SECONDS THREADS MEMORY_KIB TIME_COST PARALLELISM``
prints checks per second, and µs of processor time for one.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import argon2

_PASSWORD = "correct horse battery staple"


def rate(
    seconds: float, threads: int, memory: int, time_cost: int, parallelism: int
) -> tuple[float, float]:
    """Return verified hashes per second, *threads* at a time, and µs of processor for one."""
    hasher = argon2.PasswordHasher(time_cost, memory, parallelism)
    stored = hasher.hash(_PASSWORD)
    hasher.verify(stored, _PASSWORD)

    def work(end: float) -> int:
        count = 0
        while time.perf_counter() < end:
            hasher.verify(stored, _PASSWORD)
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        begin, busy = time.perf_counter(), time.process_time()
        count = sum(pool.map(work, [begin + seconds] * threads))
        took, spent = time.perf_counter() - begin, time.process_time() - busy
    return count / took, spent / count * 1e6


if __name__ == "__main__":
    given = sys.argv[1:]
    figures = rate(float(given[0]), int(given[1]), *map(int, given[2:5]))
    sys.stdout.write("{} {}\n".format(*figures))
