"""Who is really asking, behind proxies (ASVS 5.0.0 V15.3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from apostille_issuer.settings import Network

__all__ = ["TrustedProxies"]

Header = tuple[bytes, bytes]


class TrustedProxies:
    """The proxies whose forwarded headers are believed; none by default."""

    def __init__(self, networks: tuple[Network, ...]) -> None:
        """Name the networks the proxies stand in."""
        self._networks = networks

    def trusts(self, address: str | None) -> bool:
        """Say whether a connection from *address* comes from a listed proxy."""
        if not self._networks:
            return False
        parsed = _parse(address or "")
        return parsed is not None and self._lists(parsed)

    def client(self, peer: str | None, headers: Iterable[Header]) -> str | None:
        """Return the address of the client.

        That is the *peer*, unless it is a listed proxy: then the last address
        of ``X-Forwarded-For`` that no listed proxy has. What stands left of
        it, the client may have written himself. An entry that is no address
        ends the search at the proxy that passed it on.
        """
        if peer is None or not self.trusts(peer):
            return peer
        client = peer
        for entry in reversed(_forwarded_for(headers)):
            # A zone of IPv6 (RFC 4007 section 11) is any text, and means nothing here.
            parsed = None if "%" in entry else _parse(entry)
            if parsed is None:
                break
            client = str(parsed)
            if not self._lists(parsed):
                break
        return client

    def host(self, peer: str | None, headers: Iterable[Header]) -> str | None:
        """Return the host name that the client asked for, in lower case, without port or last dot.

        That is ``Host``, unless the *peer* is a listed proxy and names another
        one in ``X-Forwarded-Host``; of several the last one, which it wrote itself.
        """
        found = None
        for name, value in headers:
            if name == b"host" and found is None:
                found = value
            elif name == b"x-forwarded-host" and self.trusts(peer):
                found = value.rpartition(b",")[2].strip()
        if found is None:
            return None
        text = found.decode("latin-1").lower()
        port = text.rpartition(":")[2]
        asked = text[: -len(port) - 1] if port.isdigit() and port != text else text
        return asked.removesuffix(".")

    def _lists(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def _forwarded_for(headers: Iterable[Header]) -> list[str]:
    values = [value for name, value in headers if name == b"x-forwarded-for"]
    return b",".join(values).decode("latin-1").split(",") if values else []


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address, with or without port; IPv4 in IPv6 clothes is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
