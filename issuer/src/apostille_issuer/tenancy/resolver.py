"""Asking the DNS who a host name belongs to."""

from __future__ import annotations

import asyncio
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

RETRY_AFTER_SECONDS: Final = 5


class DomainChecker(Protocol):
    """Knows what the owner of a name has written into the DNS."""

    async def txt(self, name: str) -> list[str]:
        """Return the texts of the TXT records at *name*; none if there is no such name.

        Args:
            name: In the DNS's own spelling, without a dot at its end.

        Raises:
            IssuerProblem: ``dns_unavailable``: it could not be asked;
                ``overloaded``: too many ask already.
        """


class DnsResolver:
    """Asks the name servers of the operating system, or others."""

    def __init__(self, servers: tuple[NameServer, ...] = ()) -> None:
        """Take whom to ask; by default whom ``/etc/resolv.conf`` names at that moment."""
        self._servers = servers
        self._asking = 0

    async def txt(self, name: str) -> list[str]:
        """Return the texts of the TXT records at *name*; see :class:`DomainChecker`."""
        if self._asking >= MOST_AT_ONCE:
            raise IssuerProblem(ProblemCode.OVERLOADED, retry_after=RETRY_AFTER_SECONDS)
        self._asking += 1
        try:
            return await self._ask(name)
        finally:
            self._asking -= 1

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
