"""How often a client may fail to authenticate itself: by credential, and by address.

Only failures count. A key has 256 random bits, so nobody is kept from guessing
it; what is limited is the work, and the events in the audit trail, that a
forgotten job with an old key makes by asking again and again. It fills its own
places: who uses another key of the same account, from the same address, does
not notice.
"""

from __future__ import annotations

import math
from datetime import datetime
from hashlib import sha256

from apostille_issuer.accounts.throttle import Buckets, Throttled, network_of
from apostille_issuer.settings import RateLimit

__all__ = ["ClientThrottle"]


class ClientThrottle:
    """Decides whether a client may try; holds no lock and does no I/O."""

    def __init__(self, *, per_key: RateLimit, per_address: RateLimit) -> None:
        """Take how many failures are too many."""
        self._keys = Buckets(per_key)
        self._addresses = Buckets(per_address)

    def check(self, credential: str, address: str | None, now: datetime) -> None:
        """Return if it may be tried.

        Args:
            credential: What the key is told by, whoever's it is.
            address: IP address of the client; ``None`` counts as one address.
            now: The present.

        Raises:
            Throttled: There have been too many failures.
        """
        moment, network = now.timestamp(), network_of(address)
        for buckets, key in (
            (self._addresses, (network,)),
            (self._keys, (_short(credential), network)),
        ):
            bucket = buckets.look(key, moment)
            if seconds := buckets.wait(bucket, moment):
                first, bucket.turned_away = not bucket.turned_away, True
                raise Throttled(math.ceil(seconds), first=first)

    def failed(self, credential: str, address: str | None, now: datetime) -> None:
        """Count a failure."""
        moment, network = now.timestamp(), network_of(address)
        for buckets, key in (
            (self._addresses, (network,)),
            (self._keys, (_short(credential), network)),
        ):
            buckets.take(key, buckets.look(key, moment))


def _short(credential: str) -> str:
    """Return something as telling that is short, whatever was sent."""
    return sha256(credential.encode(errors="replace")).hexdigest()
