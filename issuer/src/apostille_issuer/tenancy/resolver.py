"""Asking the DNS who a host name belongs to."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Final, Protocol

from apostille_contracts.problems import ProblemCode
from apostille_issuer.environment import NameServer
from apostille_issuer.problems import IssuerProblem

__all__ = ["DnsResolver", "DomainChecker"]

LIFETIME_SECONDS: Final = 5.0
"""Longest wait for an answer, over all servers and attempts."""

MOST_AT_ONCE: Final = 16
"""Questions under way; who asks more is told to come again."""

MOST_OF_ONE_TENANT: Final = 2
"""Of these: the name servers of its hosts may be slow, and are nobody else's affair."""

RETRY_AFTER_SECONDS: Final = 5


class DomainChecker(Protocol):
    """Knows what the owner of a name has written into the DNS."""

    async def txt(self, name: str, *, tenant_id: uuid.UUID) -> list[str]:
        """Return the texts of the TXT records at *name*; none if there is no such name.

        Args:
            name: In the DNS's own spelling, without a dot at its end.
            tenant_id: For whom it is asked.

        Raises:
            IssuerProblem: ``dns_unavailable``: it could not be asked;
                ``overloaded``: too many ask already, or too many for that tenant.
        """


class DnsResolver:
    """Asks the name servers of the operating system, or others."""

    def __init__(self, servers: tuple[NameServer, ...] = ()) -> None:
        """Take whom to ask; by default whom ``/etc/resolv.conf`` names at that moment."""
        self._servers = servers
        self._asking: Counter[uuid.UUID] = Counter()

    async def txt(self, name: str, *, tenant_id: uuid.UUID) -> list[str]:
        """Return the texts of the TXT records at *name*; see :class:`DomainChecker`."""
        with self._place(tenant_id):
            return await self._ask(name)

    @contextmanager
    def _place(self, tenant_id: uuid.UUID) -> Iterator[None]:
        asking = self._asking
        if asking.total() >= MOST_AT_ONCE or asking[tenant_id] >= MOST_OF_ONE_TENANT:
            raise IssuerProblem(ProblemCode.OVERLOADED, retry_after=RETRY_AFTER_SECONDS)
        asking[tenant_id] += 1
        try:
            yield
        finally:
            asking[tenant_id] -= 1
            if not asking[tenant_id]:
                del asking[tenant_id]

    async def _ask(self, name: str) -> list[str]:
        # 4 MB and 40 ms that most processes never need; the first time not on the event loop.
        await asyncio.to_thread(import_module, "dns.asyncresolver")
        import dns.asyncresolver  # noqa: PLC0415

        try:
            resolver = dns.asyncresolver.Resolver(configure=not self._servers)
            if self._servers:
                resolver.nameservers = [
                    dns.nameserver.Do53Nameserver(str(server.address), server.port)
                    for server in self._servers
                ]
            answer = await resolver.resolve(
                f"{name}.", "TXT", raise_on_no_answer=False, lifetime=LIFETIME_SECONDS, search=False
            )
        except dns.resolver.NXDOMAIN:
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise IssuerProblem(
                ProblemCode.DNS_UNAVAILABLE, retry_after=RETRY_AFTER_SECONDS
            ) from error
        # A long text is cut into strings of 255 bytes, to be put together as they are.
        return [b"".join(record.strings).decode("latin-1") for record in answer.rrset or ()]
