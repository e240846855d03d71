"""Status lists of a misbehaving issuer, and tokens whose sessions stand in them."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import Any

from apostille._fetched import Fetched
from apostille._signing import SigningKey, b64url
from apostille._status_supply import FetchedStatus
from apostille.clock import ManualClock
from apostille.errors import RevokedToken
from support.http_server import Exchange, IssuerServer, document, status
from support.minting import key_of
from support.subjects import Subject, eventually

__all__ = ["MEDIA_TYPE", "PublishedList", "lists_of", "meanwhile", "packed", "settle_lists"]

MEDIA_TYPE = "application/statuslist+jwt"
SIZE = 1_024


def packed(octets: bytes) -> str:
    """Return *octets* as ``lst``."""
    return b64url(zlib.compress(octets, 9))


class PublishedList:
    """A status list of *server*, which changes when a test says so.

    Args:
        server: Gets a behaviour for the list's path.
        clock: Dates the list when it is signed, which is when it changes.
        path: Where it stands.
        ttl: ``ttl``; ``None`` leaves it out.
    """

    def __init__(
        self,
        server: IssuerServer,
        clock: ManualClock,
        path: str = "/status-lists/1",
        ttl: float | None = 10,
    ) -> None:
        self.path = path
        self.uri = f"{server.origin}{path}"
        self.key: SigningKey = key_of("ES256", "first")
        self.etags: str | None = "v"
        self.octets = bytearray(SIZE // 8)
        self.claims: dict[str, Any] = {"ttl": ttl}
        self.not_modified = 0
        self._server = server
        self._clock = clock
        self._version = 0
        self.sign()
        server.behaviours[path] = self.answer

    def revoke(self, index: int) -> None:
        """Set the bit at *index*."""
        self.octets[index >> 3] |= 1 << (index & 7)
        self.sign()

    def sign(self, **changes: Any) -> None:
        """Publish the list as it is now; *changes* are of its claims from now on."""
        self.claims |= changes
        self._version += 1
        now = int(self._clock.time())
        claims = {
            "sub": self.uri,
            "iat": now,
            "exp": now + 3_600,
            "status_list": {"bits": 1, "lst": packed(bytes(self.octets))},
            **self.claims,
        }
        header = {"typ": "statuslist+jwt", "alg": self.key.algorithm, "kid": self.key.kid}
        given = {name: value for name, value in claims.items() if value is not None}
        self.token = self.key.token(header, given).encode()

    def answer(self, exchange: Exchange) -> None:
        """Answer as an issuer does."""
        headers = []
        if self.etags is not None:
            tag = f'"{self.etags}{self._version}"'
            headers.append(("ETag", tag))
            if exchange.headers.get("if-none-match") == tag:
                self.not_modified += 1
                status(304, headers)(exchange)
                return
        document(self.token, MEDIA_TYPE, headers)(exchange)

    @property
    def count(self) -> int:
        """How often it was asked for."""
        return self._server.count(self.path)

    def at(self, index: int) -> dict[str, Any]:
        """Return the claim ``status`` of a session at *index*."""
        return {"status_list": {"idx": index, "uri": self.uri}}


def lists_of(subject: Subject) -> FetchedStatus:
    """Return where the verifier keeps its lists."""
    statuses = subject.verifier._engine.statuses
    assert isinstance(statuses, FetchedStatus)
    return statuses


def meanwhile(subject: Subject, token: str) -> None:
    """Verify *token*, which has the list fetched in the background.

    A thread may be done with that before the verdict is read: then the token,
    which the new list revokes, is refused at once.
    """
    with suppress(RevokedToken):
        subject.verify(token)


def settle_lists(subject: Subject) -> None:
    """Wait until no list is being fetched, nor keys."""

    def idle(held: Fetched[Any, Any]) -> bool:
        return held._in_flight is None

    for held in lists_of(subject)._lists.values():
        eventually(lambda held=held: idle(held))  # type: ignore[misc]
    subject.settle()
