"""Where status lists come from, when not from the issuer's own address."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from msgspec import UNSET

from apostille_contracts.claims import AccessTokenClaims

from . import _fork
from ._fetched import Emit, Spawn
from ._options import Options
from ._standing import Standing
from ._status_supply import FetchedStatus, GivenList, StatusSupply, UncheckedStatus
from ._supply import KeySupply
from .errors import ConfigurationError
from .events import StatusHealth

__all__ = ["StaticStatus", "StatusSource", "UnsafeNoStatus"]


class StaticStatus:
    """Status lists that are given, not fetched: for the issuer itself and for tests.

    They never age. Whoever gives them replaces them:

    .. code-block:: python

        status = StaticStatus({"https://iam.example.com/status-lists/1": bytes(16_384)})
        iam = Verifier("https://iam.example.com", audience="a", keys=keys, status=status)

    A token that points to a list which is not among them is ``StatusUnavailable``.
    One object may serve any number of verifiers, in any number of threads.

    Args:
        lists: By address, one bit for each session, the least significant
            bit of the first octet first; a bit that is set says "no longer good".
    """

    __slots__ = ("__weakref__", "_lists", "_lock")

    def __init__(self, lists: Mapping[str, bytes | bytearray] | None = None) -> None:
        """Hold *lists*."""
        self._lists: dict[str, GivenList] = {}
        self._lock = threading.Lock()
        _fork.register(self)
        self.replace(lists or {})

    def replace(self, lists: Mapping[str, bytes | bytearray]) -> None:
        """Use *lists*, and no others, from now on.

        When this returns, no verifier accepts a session whose bit is set.
        """
        with self._lock:
            for uri in lists.keys() - self._lists.keys():
                self._lists[uri] = GivenList()
            for uri, held in self._lists.items():
                octets = lists.get(uri)
                held.install(None if octets is None else bytes(octets))

    # Asked by a verifier.

    def stand(self, claims: AccessTokenClaims) -> Standing | None:
        """Return where the session of *claims* stands; ``None`` if they do not say."""
        if claims.status is UNSET:
            return None
        reference = claims.status.status_list
        held = self._lists.get(reference.uri)
        if held is None:
            with self._lock:
                # Kept, since it may be given later. Only the issuer names new ones.
                held = self._lists.setdefault(reference.uri, GivenList())
        return Standing(held, reference.idx)

    def health(self, now: float) -> StatusHealth:
        """Return how many lists there are."""
        with self._lock:
            return StatusHealth(
                lists=sum(now < held.snapshot.recheck_at for held in self._lists.values())
            )

    def stop(self) -> tuple[()]:
        """Return: nothing is going on."""
        return ()

    def after_fork(self) -> None:
        """Drop a lock that no thread of this process will release."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"StaticStatus(lists={len(self._lists)})"


class UnsafeNoStatus(UncheckedStatus):
    """Does not ask whether a session has ended: every token is good until it expires.

    For air-gapped services, which cannot ask, and for looking into old tokens.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "UnsafeNoStatus()"


StatusSource = StaticStatus | UnsafeNoStatus
"""What ``status=`` takes. Without it, lists are fetched from where tokens say, at the issuer."""


def status_supply(
    source: StatusSource | None, options: Options, keys: KeySupply, spawn: Spawn, emit: Emit
) -> StatusSupply:
    """Return what *source* stands for; without one, lists that are fetched.

    Raises:
        ConfigurationError: It is no source.
    """
    if source is None:
        return FetchedStatus(keys, options, spawn, emit)
    if not isinstance(source, StaticStatus | UnsafeNoStatus):
        raise ConfigurationError("status is a StaticStatus or UnsafeNoStatus()")
    return source
