"""Signed lists, made anew only when something has changed."""

from __future__ import annotations

from collections.abc import Container
from datetime import timedelta
from typing import Final

import msgspec
from msgspec import Struct

from apostille_contracts.problems import ProblemCode
from apostille_issuer.clock import Clock
from apostille_issuer.keys.service import KeyService
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.status.board import PERIOD, Posted, StatusBoard
from apostille_issuer.status.documents import ListDocument
from apostille_issuer.status.schemas import LISTS_PATH, EncodedList, StatusListClaims, list_uri

__all__ = ["StatusPublisher"]

LIFETIME: Final = 2 * PERIOD
"""Of a list token: the period it was made in, and another one at least."""

_encoder = msgspec.json.Encoder()


class _Published(Struct, frozen=True):
    """A document, and what it was made of."""

    posted: Posted
    kid: str
    key_set: str
    document: ListDocument


class StatusPublisher:
    """Answers for every list; signs one when it is asked for and is not as it was.

    That is when bits were set, when a period begins, and when there are other
    keys: what a withdrawn key has signed is not handed out again.
    """

    def __init__(
        self,
        board: StatusBoard,
        clock: Clock,
        keys: KeyService,
        *,
        issuer_url: str,
        ttl: timedelta,
    ) -> None:
        """Take what lists are made with.

        Args:
            board: Knows the bits.
            clock: Dates lists.
            keys: Signs them.
            issuer_url: Their addresses begin with it.
            ttl: How long services keep them without asking.
        """
        self._board = board
        self._clock = clock
        self._keys = keys
        self._issuer_url = issuer_url
        self._ttl_seconds = int(ttl.total_seconds())
        self._published: dict[int, _Published] = {}
        self._numbers: dict[str, int] = {}

    def at_hand(self, path: str) -> ListDocument | None:
        """Return the list at *path* if nothing has to be read or signed for it.

        Raises:
            IssuerProblem: ``keys_unavailable``.
        """
        list_id = self._numbers.get(path)
        lists = None if list_id is None else self._board.at_hand()
        if list_id is None or lists is None:
            return None
        published = self._published[list_id]
        good = published.posted is lists.get(list_id) and self._of_these_keys(published)
        return published.document if good else None

    async def document(self, list_id: int) -> ListDocument:
        """Return a list as it is served.

        Raises:
            IssuerProblem: ``not_found``, ``database_unavailable``,
                ``keys_unavailable``.
        """
        lists = await self._board.lists()
        posted = lists.get(list_id)
        if posted is None:
            self._forget_all_but(lists)
            raise IssuerProblem(ProblemCode.NOT_FOUND)
        published = self._published.get(list_id)
        if published is None or published.posted is not posted:
            # Whoever withdraws a key has the lists change: so it is known here as soon.
            await self._keys.catch_up()
            published = None
        if published is None or not self._of_these_keys(published):
            self._forget_all_but(lists)
            published = self._published[list_id] = await self._sign(list_id, posted)
            self._numbers[f"{LISTS_PATH}/{list_id}"] = list_id
        return published.document

    def _forget_all_but(self, lists: Container[int]) -> None:
        """Drop documents of lists that have been retired."""
        for path, list_id in list(self._numbers.items()):
            if list_id not in lists:
                del self._numbers[path]
                del self._published[list_id]

    def _of_these_keys(self, published: _Published) -> bool:
        keys = self._keys
        return published.kid == keys.signing_kid and published.key_set == keys.ring.key_set

    async def _sign(self, list_id: int, posted: Posted) -> _Published:
        kid, key_set = self._keys.signing_kid, self._keys.ring.key_set
        issued = int(self._clock().timestamp())
        claims = StatusListClaims(
            sub=list_uri(self._issuer_url, list_id),
            iat=issued,
            exp=issued + int(LIFETIME.total_seconds()),
            ttl=self._ttl_seconds,
            status_list=EncodedList(1, posted.bits.encoded()),
            key_set=key_set,
        )
        token = await self._keys.sign(_encoder.encode(claims), typ="statuslist+jwt")
        state = (list_id, posted.revision, posted.period, kid, key_set, self._ttl_seconds)
        return _Published(posted, kid, key_set, ListDocument(token, " ".join(map(str, state))))
