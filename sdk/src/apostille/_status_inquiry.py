"""From a list's address to the list: what to ask for, and what to make of the answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import suppress

from ._address import is_safe_address
from ._inquiry import Answer, FetchFailed, Request, body_of
from ._options import Options
from ._status import SignedStatusList, StatusListPolicy
from ._supply import KeySupply
from .errors import ApostilleError, UnknownKey
from .events import FetchFailure

__all__ = ["StatusInquiry"]

_MEDIA_TYPE = b"application/statuslist+jwt"
_STATUS_LIST = re.compile(r"application/statuslist\+jwt", re.ASCII | re.IGNORECASE)
# RFC 9110 section 8.8.3; a longer one than anybody needs is not sent back.
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,256}"', re.ASCII)


class StatusInquiry:
    """Asks for one status list; where nothing has changed, by its entity tag.

    Args:
        uri: Where the list stands.
        options: Algorithms, leeway, clock, and which addresses are safe.
        keys: The issuer's keys, which sign its lists.
    """

    __slots__ = ("_keys", "_known", "_options", "_policy", "_uri")

    def __init__(self, uri: str, options: Options, keys: KeySupply) -> None:
        """Know nothing yet."""
        self._uri = uri
        self._options = options
        self._keys = keys
        self._policy = StatusListPolicy(
            uri, frozenset(options.algorithms), options.leeway.total_seconds()
        )
        # One attribute: a fetch that was given up may still end beside its successor.
        self._known: tuple[SignedStatusList, str] | None = None

    def steps(self) -> Generator[Request, Answer, SignedStatusList]:
        """Yield what to GET, take the answer, return the list.

        Raises:
            FetchFailed: The answer is not what it must be.
        """
        options = self._options
        if not is_safe_address(
            self._uri, issuer=options.issuer, allow_insecure_http=options.allow_insecure_http
        ):
            raise FetchFailed(FetchFailure.INSECURE_ADDRESS)
        known = self._still_good(options.steady.now())
        if known is None:
            answer = yield Request(self._uri, _MEDIA_TYPE)
        else:
            answer = yield Request(self._uri, _MEDIA_TYPE, known[1])
            if answer.status == 304:
                return known[0]
        document = body_of(answer, _STATUS_LIST)
        try:
            brought = self._policy.accept(
                document, self._keys.snapshot.keyring, options.steady.now()
            )
        except UnknownKey:
            # A key younger than ours, as after a theft: have it fetched, within
            # the cooldown of keys, so that the next attempt can be believed.
            with suppress(ApostilleError):
                self._keys.seek("", options.clock.monotonic(), None)
            raise FetchFailed(FetchFailure.UNTRUSTED) from None
        self._known = (brought, answer.etag) if _ETAG.fullmatch(answer.etag) else None
        return brought

    def forget(self) -> None:
        """Ask for the whole list next time: a fetch has failed."""
        self._known = None

    def _still_good(self, now: float) -> tuple[SignedStatusList, str] | None:
        """Return list and entity tag for "not modified" to be an answer, if they are at hand.

        A list that has expired, or whose key has been withdrawn, has to come anew.
        """
        known = self._known
        if known is None:
            return None
        held = known[0]
        key = self._keys.snapshot.keyring.keys.get(held.key.kid)
        if key is None or key.identity != held.key.identity or now >= held.expires:
            return None
        return known
