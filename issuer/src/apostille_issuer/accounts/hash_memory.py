"""The memory of hashes: kept while they come, given back when none has come for a while.

A hash writes to 19 MiB and reads it back from places that cannot be foreseen: in
large pages, of 2 MiB, it takes a twentieth less than in pages of 4 KiB, whose
addresses the processor keeps forgetting. Memory that the system hands out anew for each is
zeroed and mapped page by page, for a tenth of the time of the hash; memory that
is kept makes the process as much larger for every core, for good. glibc keeps
it, in an arena of the thread that asked, and leaves no way to get it back but
this one: to free something at the end of that arena once its limit is low.

See: mallopt(3); madvise(2), ``MADV_HUGEPAGE``; ``heap_trim`` in glibc's ``malloc/arena.c``.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

__all__ = ["HashMemory"]

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

MAX_KEPT_BYTES: Final = 32 * 2**20
"""Most that glibc takes from an arena at once; a longer block is mapped anew for each hash."""

_POKE_BYTES: Final = 2**20
"""More than any gap between what a thread holds otherwise, so that it lies at the end."""


class HashMemory:
    """Tells glibc what to keep; elsewhere it does nothing."""

    def __init__(self, hash_bytes: int) -> None:
        """Take how much one hash needs; nothing is changed yet."""
        self._hash_bytes = hash_bytes
        self._libc = _glibc() if hash_bytes < MAX_KEPT_BYTES else None

    def keep(self) -> None:
        """Let threads keep what a hash frees; the limits are those of the whole process."""
        if self._libc is not None:
            # With room for what stands before the block.
            self._libc.mallopt(_M_MMAP_THRESHOLD, MAX_KEPT_BYTES)
            self._libc.mallopt(_M_TRIM_THRESHOLD, 2 * MAX_KEPT_BYTES)

    def enlarge_pages(self) -> None:
        """Ask for large pages where the calling thread's next hash will write.

        That is where a block as large lies that is taken now and freed at once,
        for this thread has an arena of its own. Where the system has no large
        pages, or none to spare, nothing changes.
        """
        if self._libc is None:
            return
        block = self._libc.malloc(self._hash_bytes)
        if block:
            begin = block & -mmap.PAGESIZE
            self._libc.madvise(begin, block + self._hash_bytes - begin, mmap.MADV_HUGEPAGE)
            self._libc.free(block)

    def give_back(self) -> None:
        """Give back what the calling thread has kept."""
        if self._libc is None:
            return
        self._libc.mallopt(_M_TRIM_THRESHOLD, _POKE_BYTES)
        self._libc.free(self._libc.malloc(_POKE_BYTES))
        self.keep()


def _glibc() -> ctypes.CDLL | None:
    """Return the C library of this process, if it is one that knows all this."""
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018 - asks whether it is there
    except (OSError, AttributeError, TypeError):
        return None
    libc.malloc.argtypes, libc.malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    libc.free.argtypes, libc.free.restype = (ctypes.c_void_p,), None
    return libc
