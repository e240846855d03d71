"""A small DNS server over loopback, which knows what tests tell it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from apostille_issuer.environment import NameServer

__all__ = ["DnsServer", "dns_server"]

_STOP = b"stop"
_RELEASE = b"release"


class DnsServer:
    """Answers questions for TXT records, over UDP and one after the other."""

    def __init__(self, listener: socket.socket) -> None:
        self.texts: dict[str, list[str]] = {}
        """What there is at a name, without a dot at its end: record by record, in
        the format of zone files. A name with an empty list has no TXT record."""
        self.failing = False
        """Whether it says of everything that it cannot tell."""
        self.asked: list[str] = []
        self.holding = False
        """Whether it holds answers back, until :meth:`release`."""
        self._listener = listener
        self._asked = threading.Condition()

    @property
    def address(self) -> NameServer:
        host, port = self._listener.getsockname()
        return NameServer(ip_address(host), port)

    def wait_asked(self, count: int) -> None:
        """Return as soon as that many different questions came."""
        with self._asked:
            assert self._asked.wait_for(lambda: len(set(self.asked)) >= count, 30)

    def wait_asked_for(self, names: Collection[str]) -> None:
        """Return as soon as all of *names* were asked for."""
        with self._asked:
            assert self._asked.wait_for(lambda: set(names) <= set(self.asked), 30)

    def release(self) -> None:
        """Answer what was held back, and hold nothing back any more."""
        self.holding = False
        self._nudge(_RELEASE)

    def stop(self) -> None:
        """Let :meth:`serve` return."""
        self._nudge(_STOP)

    def serve(self) -> None:
        """Answer until it is stopped."""
        held: list[tuple[bytes, tuple[str, int]]] = []
        while True:
            question, peer = self._listener.recvfrom(4096)
            if question == _STOP:
                return
            if question != _RELEASE:
                held.append((question, peer))
                with self._asked:
                    self.asked.append(_name_in(question))
                    self._asked.notify_all()
            if not self.holding:
                for each, whose in held:
                    self._listener.sendto(self._answer(each), whose)
                held.clear()

    def _nudge(self, what: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(what, self._listener.getsockname())

    def _answer(self, question: bytes) -> bytes:
        message = dns.message.from_wire(question)
        answer = dns.message.make_response(message, recursion_available=True)
        texts = self.texts.get(_name_in(question))
        if self.failing:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif texts is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif texts:
            name = message.question[0].name
            answer.answer.append(dns.rrset.from_text(name, 1, "IN", "TXT", *texts))
        return answer.to_wire()


def _name_in(question: bytes) -> str:
    return str(dns.message.from_wire(question).question[0].name).removesuffix(".")


@contextmanager
def dns_server() -> Iterator[DnsServer]:
    """Serve on a free port of loopback for as long as the block runs."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        server = DnsServer(listener)
        thread = threading.Thread(target=server.serve, name="dns")
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join(30)
