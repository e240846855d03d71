"""How often a client may fail to authenticate itself: by credential, and by address.

Only failures count, and only who fails is turned away: a secret has 256 random
bits, an assertion a signature, so nobody is kept from guessing them, and nobody
who fails may keep out who does not, from the same address, or with the same
key's identifier. What is limited is the work, and the events in the audit
trail, that a forgotten job with an old key makes by asking again and again:

1. what is sent is looked at first, whoever sends it; a right one gets in;
2. a wrong one takes a place of its key and one of its address;
3. where there is none, it is told to come later instead, and one event says so;
4. who is not known by then waits in the narrow :class:`.Lane` to be looked at.

The counts, and who is known, are those of this process.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from hashlib import sha256

from apostille_issuer.accounts.throttle import MAX_KEYS, Buckets, network_of
from apostille_issuer.settings import RateLimit

__all__ = ["ClientThrottle"]


class ClientThrottle:
    """Counts what failed; holds no lock and does no I/O."""

    def __init__(self, *, per_key: RateLimit, per_address: RateLimit) -> None:
        """Take how many failures are too many."""
        self._keys = Buckets(per_key)
        self._addresses = Buckets(per_address)
        self._known: OrderedDict[str, None] = OrderedDict()

    def is_limited(self, credential: str, address: str | None, now: datetime) -> bool:
        """Say whether there have been too many failures for one more to be counted.

        Args:
            credential: What the key is told by, whoever's it is.
            address: IP address of the client; ``None`` counts as one address.
            now: The present.
        """
        moment = now.timestamp()
        return any(
            buckets.wait(buckets.look(key, moment), moment)
            for buckets, key in self._places(credential, address)
        )

    def failed(self, credential: str, address: str | None, now: datetime) -> None:
        """Count a failure.

        Raises:
            Throttled: There have been too many; this one is not counted.
        """
        moment, places = now.timestamp(), self._places(credential, address)
        for buckets, key in places:
            buckets.require(buckets.look(key, moment), moment)
        for buckets, key in places:
            buckets.take(key, buckets.look(key, moment))

    def knows(self, secret_hash: str | None) -> bool:
        """Say whether a secret was right when it was used here last."""
        return secret_hash in self._known

    def remember(self, secret_hash: str | None) -> None:
        """Know a secret that was right; an assertion, ``None``, is another each time."""
        if secret_hash is None:
            return
        self._known[secret_hash] = None
        self._known.move_to_end(secret_hash)
        if len(self._known) > MAX_KEYS:
            self._known.popitem(last=False)

    def forget(self, secret_hash: str | None) -> None:
        """Know a secret no longer, which was wrong, or not good any more."""
        if secret_hash is not None:
            self._known.pop(secret_hash, None)

    def _places(
        self, credential: str, address: str | None
    ) -> tuple[tuple[Buckets, tuple[str, ...]], ...]:
        """Return where a failure counts; the address first: it tells nothing of the key."""
        network = network_of(address)
        return (self._addresses, (network,)), (self._keys, (_short(credential), network))


def _short(credential: str) -> str:
    """Return something as telling that is short, whatever was sent."""
    return sha256(credential.encode(errors="replace")).hexdigest()
