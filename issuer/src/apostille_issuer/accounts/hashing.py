"""Password hashing: argon2id in as many threads as there are cores.

A hash takes tens of milliseconds and tens of megabytes. More at once than there
are cores would only be slower, and as many as there are requests would exhaust
the memory: so the rest waits in a queue of bounded length, and what finds it
full is told to come back (:mod:`.hash_threads`). The memory is kept from hash to
hash, and given back when none has come for two seconds.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from base64 import b64encode
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec import Struct

from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.hash_memory import HashMemory
from apostille_issuer.accounts.hash_threads import Full, HashThreads
from apostille_issuer.problems import IssuerProblem

__all__ = ["Hashing", "Verified", "WrongPassword"]

RETRY_AFTER_SECONDS = 1
"""A full queue is worked off in less."""

IDLE_SECONDS = 2.0
"""How long the memory of the last hash is kept for the next one."""

SALT_BYTES = 16
DIGEST_BYTES = 32

T = TypeVar("T")


class WrongPassword(Exception):
    """The password is not the one that was hashed, or there is none."""


class Verified(Struct, frozen=True):
    """The password is right."""

    outdated: bool
    """It was hashed with other parameters than today's and should be hashed again."""


class Hashing:
    """Hashes and verifies passwords without holding up the event loop.

    Attributes:
        computed: Hashes computed so far, verifications included.
    """

    def __init__(
        self,
        *,
        memory_kib: int = 19_456,
        time_cost: int = 2,
        parallelism: int = 1,
        workers: int | None = None,
        queue: int = 32,
    ) -> None:
        """Prepare; threads are started when first needed.

        Args:
            memory_kib: Memory of one hash in KiB.
            time_cost: Passes over it.
            parallelism: Lanes.
            workers: Hashes at once; default: the cores this process may use.
            queue: Hashes waiting at most.

        See: OWASP Password Storage Cheat Sheet for the least of each.
        """
        self.computed = 0
        self._argon2 = PasswordHasher(
            time_cost, memory_kib, parallelism, hash_len=DIGEST_BYTES, salt_len=SALT_BYTES
        )
        self._nobody = _hash_of_no_password(memory_kib, time_cost, parallelism)
        self._counting = threading.Lock()
        self._memory = HashMemory(memory_kib * 1024)
        self._idle: asyncio.TimerHandle | None = None
        self._threads = HashThreads(workers or _cores(), queue, self._keep_memory)

    async def hash(self, password: str) -> str:
        """Return *password*, exactly as it is, as a PHC string with a fresh salt.

        Raises:
            IssuerProblem: ``overloaded``, with ``retry_after``.
        """
        return await self._run(lambda: self._hash(password))

    async def verify(self, password: str, stored: str | None) -> Verified:
        """Return if *password* is the one that was hashed to *stored*, or raise.

        Costs the same whether there is a hash or not: without one, the hash
        of no password is computed against, with the parameters of today.

        Raises:
            WrongPassword: It is not, or *stored* is ``None`` or cannot be
                read; then the cause says why.
            IssuerProblem: ``overloaded``, with ``retry_after``.
        """
        return await self._run(lambda: self._verify(password, stored))

    def close(self) -> None:
        """Finish what is being computed and drop what waits."""
        self._wait_no_longer()
        self._threads.close()

    async def _run(self, work: Callable[[], T]) -> T:
        self._wait_no_longer()
        try:
            return await self._threads.run(work)
        except Full:
            raise IssuerProblem(ProblemCode.OVERLOADED, retry_after=RETRY_AFTER_SECONDS) from None
        finally:
            self._wait_no_longer()
            self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._give_back)

    def _wait_no_longer(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _give_back(self) -> None:
        self._idle = None
        self._threads.in_each(self._memory.give_back)

    def _keep_memory(self) -> None:
        self._memory.keep()
        self._memory.enlarge_pages()

    def _hash(self, password: str) -> str:
        self._count()
        return self._argon2.hash(password)

    def _verify(self, password: str, stored: str | None) -> Verified:
        self._count()
        try:
            self._argon2.verify(self._nobody if stored is None else stored, password)
        except (VerificationError, InvalidHashError) as error:
            raise WrongPassword from error
        if stored is None:  # pragma: no cover - would take guessing 256 random bits
            raise WrongPassword
        return Verified(outdated=self._argon2.check_needs_rehash(stored))

    def _count(self) -> None:
        with self._counting:
            self.computed += 1


def _cores() -> int:
    """Return the cores this process may run on, where the system can tell."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _hash_of_no_password(memory_kib: int, time_cost: int, parallelism: int) -> str:
    """Return a PHC string that takes full effort to verify and fits no known password."""
    salt, digest = (
        b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()
        for length in (SALT_BYTES, DIGEST_BYTES)
    )
    return f"$argon2id$v=19$m={memory_kib},t={time_cost},p={parallelism}${salt}${digest}"
