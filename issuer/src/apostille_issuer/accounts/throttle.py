"""How often a login may be tried and fail: per login name, and per address.

Every attempt takes a place before its password is looked at, and a right
password gives it back: so many guesses at once count as much as many in a row,
and people who know their password are never slowed down.

Whoever fills up somebody else's login name from afar must not lock him out.
So an address from which he has logged in before has places of its own, and a
name that is filled up has a place again every *per / attempts*.

The counts are those of this process: *n* processes let through up to *n* times
as many. Their number is bounded; those that say least go first, and no attempt
that is turned away makes a new one.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from datetime import datetime
from ipaddress import IPv6Address, ip_address

from msgspec import Struct

from apostille_issuer.settings import RateLimit

__all__ = ["Attempt", "Buckets", "LoginThrottle", "Throttled", "network_of"]

MAX_KEYS = 20_000
"""Login names, and addresses, remembered at most; some 3 MB each."""
ROOM_MADE = 0.05
"""Share of them that goes at once, so that a flood does not sort them again and again."""

_Key = tuple[str, ...]


class Throttled(Exception):
    """Too many attempts failed.

    Attributes:
        retry_after: Seconds until the next attempt, at least 1.
        first: Whether this is the first attempt turned away since one passed;
            one record of a flood is enough.
    """

    def __init__(self, retry_after: int, *, first: bool) -> None:
        """Say when to come back."""
        super().__init__(retry_after)
        self.retry_after = retry_after
        self.first = first


class Attempt(Struct, frozen=True):
    """An attempt that was let through; ended by ``failed`` or ``succeeded``."""

    login: _Key
    address: _Key


class _Bucket(Struct):
    """What one key has used up, as the generic cell rate algorithm keeps it."""

    full_until: float
    """When all places would be free again, as a POSIX time."""
    turned_away: bool = False


class Buckets:
    """Places of one kind, by key: *attempts* at once, one more every *per / attempts*."""

    def __init__(self, limit: RateLimit) -> None:
        self._interval = limit.per.total_seconds() / limit.attempts
        self._capacity = limit.per.total_seconds()
        self._buckets: dict[_Key, _Bucket] = {}
        # Until when the fullest bucket forgotten so far was used.
        self._forgotten_until = 0.0

    def __len__(self) -> int:
        return len(self._buckets)

    def look(self, key: _Key, now: float) -> _Bucket:
        """Return the bucket of *key* as it is *now*; a new one is not kept before ``take``."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.full_until = self._bounded(bucket.full_until, now)
            return bucket
        # It may be one of those forgotten, and starts where they were; but one
        # place is left, or a flood of names would close the door to all others.
        self._forgotten_until = min(self._forgotten_until, now + self._capacity)
        one_left = now + self._capacity - self._interval
        return _Bucket(min(self._bounded(self._forgotten_until, now), one_left))

    def _bounded(self, full_until: float, now: float) -> float:
        """Return *full_until* as it is to be read *now*.

        A clock that stepped back must not turn anybody away for long: no more
        than all places are taken, counted from its new present.
        """
        return min(max(full_until, now), now + self._capacity)

    def wait(self, bucket: _Bucket, now: float) -> float:
        """Return the seconds until *bucket* has a place, 0 if it has one."""
        missing = bucket.full_until - now + self._interval - self._capacity
        return missing if missing > 1e-6 else 0.0  # sums of times are not exact

    def require(self, bucket: _Bucket, now: float) -> None:
        """Turn away who finds no place in *bucket*.

        Knocking at a closed door takes no place: it is not another attempt.

        Raises:
            Throttled: It is full.
        """
        if seconds := self.wait(bucket, now):
            first, bucket.turned_away = not bucket.turned_away, True
            raise Throttled(math.ceil(seconds), first=first)

    def take(self, key: _Key, bucket: _Bucket) -> None:
        """Take a place in *bucket*, which has one, and keep it."""
        bucket.full_until += self._interval
        bucket.turned_away = False
        if key not in self._buckets and len(self._buckets) >= MAX_KEYS:
            self._make_room()
        self._buckets[key] = bucket

    def _make_room(self) -> None:
        """Forget the emptiest buckets: a full one goes after all others."""
        emptiest = heapq.nsmallest(
            math.ceil(MAX_KEYS * ROOM_MADE),
            self._buckets.items(),
            key=lambda item: item[1].full_until,
        )
        for key, _ in emptiest:
            del self._buckets[key]
        self._forgotten_until = max(self._forgotten_until, emptiest[-1][1].full_until)

    def give_back(self, key: _Key) -> None:
        """Return a place that was taken."""
        if (bucket := self._buckets.get(key)) is not None:
            bucket.full_until -= self._interval


class LoginThrottle:
    """Decides whether a login may be tried; holds no lock and does no I/O."""

    def __init__(self, *, per_login: RateLimit, per_address: RateLimit) -> None:
        """Take how many failures are too many."""
        self._logins = Buckets(per_login)
        self._addresses = Buckets(per_address)
        self._familiar: OrderedDict[_Key, None] = OrderedDict()

    def begin(self, login_key: str, address: str | None, now: datetime) -> Attempt:
        """Return the attempt, its places taken.

        Args:
            login_key: What makes login names the same.
            address: IP address of the client; ``None`` counts as one address.
            now: The present.

        Raises:
            Throttled: There have been too many failures.
        """
        network = network_of(address)
        at_home = (login_key, network)
        attempt = Attempt(at_home if at_home in self._familiar else (login_key,), (network,))
        moment = now.timestamp()
        # The address first: who is turned away there is told nothing of the name,
        # and leaves no trace on it.
        address_bucket = self._addresses.look(attempt.address, moment)
        self._addresses.require(address_bucket, moment)
        login_bucket = self._logins.look(attempt.login, moment)
        self._logins.require(login_bucket, moment)
        self._addresses.take(attempt.address, address_bucket)
        self._logins.take(attempt.login, login_bucket)
        return attempt

    def succeeded(self, attempt: Attempt) -> None:
        """Give the places back and remember where the login came from."""
        self.abandoned(attempt)
        at_home = (attempt.login[0], attempt.address[0])
        self._familiar[at_home] = None
        self._familiar.move_to_end(at_home)
        if len(self._familiar) > MAX_KEYS:
            self._familiar.popitem(last=False)

    def abandoned(self, attempt: Attempt) -> None:
        """Give the places back: nobody has been told whether the password is right."""
        self._logins.give_back(attempt.login)
        self._addresses.give_back(attempt.address)


def network_of(address: str | None) -> str:
    """Return whom to count *address* as: an IPv6 subscriber has 2^64 of them."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return address or ""
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64))
