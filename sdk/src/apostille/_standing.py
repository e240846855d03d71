"""Where the session of a token stands in a status list, and whether it still does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ._ages import Ages
from ._attempt import Attempt
from ._status import EMPTY_STATUS_LIST, StatusList
from .errors import InvalidClaim, RevokedToken, StatusUnavailable

__all__ = ["HeldList", "ListSnapshot", "Onlooker", "Standing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSnapshot(Ages):
    """A status list, and until when it may be used."""

    statuses: StatusList = EMPTY_STATUS_LIST


class HeldList(Protocol):
    """A status list, wherever it comes from."""

    snapshot: ListSnapshot

    def tend(self, now: float, waited: Attempt | None) -> Attempt | None:
        """Look after the age of the list; return what must be waited for, if anything.

        Raises:
            StatusUnavailable: There is no usable list, and asking has to wait.
        """


class Standing:
    """Where one session stands: a place in a list, whatever becomes of the list."""

    __slots__ = ("_held", "_index")

    def __init__(self, held: HeldList, index: int) -> None:
        """Stand at *index* of what *held* holds."""
        self._held = held
        self._index = index

    def holds(self, now: float) -> bool:
        """Say whether the session is good beyond doubt; if not, :meth:`check` knows.

        Asked by a repeated verify, which counts nanoseconds.
        """
        snapshot = self._held.snapshot
        if now >= snapshot.recheck_at:
            return False
        try:
            return not snapshot.statuses.value(self._index)
        except IndexError:
            return False

    def check(self, now: float, waited: Attempt | None) -> Attempt | None:
        """Return if the session is good, with what must be waited for to know, if anything.

        Raises:
            RevokedToken: It is not.
            InvalidClaim: The list has no such place.
            StatusUnavailable: The issuer could not be asked.
        """
        held = self._held
        if now >= held.snapshot.recheck_at:
            attempt = held.tend(now, waited)
            if attempt is not None:
                return attempt
        try:
            value = held.snapshot.statuses.value(self._index)
        except IndexError:
            raise InvalidClaim("status") from None
        if value:
            raise RevokedToken
        return None


class Onlooker(Standing):
    """A session that stands nowhere, and has a list looked after for the keys that it names.

    A thief who forges tokens would leave their place out, and a service that
    sees no others would hear last that the key was withdrawn.
    """

    __slots__ = ()

    def __init__(self, held: HeldList) -> None:
        """Look on at what *held* holds."""
        super().__init__(held, 0)

    def holds(self, now: float) -> bool:
        """Say whether the list needs no looking after."""
        return now < self._held.snapshot.recheck_at

    def check(self, now: float, waited: Attempt | None) -> Attempt | None:
        """Return what must be waited for; who stands nowhere is not refused for the list's sake."""
        if self.holds(now):
            return None
        try:
            return self._held.tend(now, waited)
        except StatusUnavailable:
            return None
