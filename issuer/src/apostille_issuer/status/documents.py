"""A status list token as it is served: whole, compressed again, or not at all."""

from __future__ import annotations

import gzip
import hashlib
from functools import cached_property

from litestar.response.base import ASGIResponse
from litestar.types import Scope

from apostille_issuer.http.documents import names_tag
from apostille_issuer.status.schemas import STATUS_LIST_MEDIA_TYPE

__all__ = ["ListDocument"]

GZIP_LEVEL = 6


class ListDocument:
    """One signed list, for everybody who asks until it changes."""

    def __init__(self, token: str, state: str) -> None:
        """Take the *token*, and what is the same text on every replica that says the same.

        The tag is made of that, and is weak (RFC 9110 section 8.8.1): the
        replicas' tokens mean the same, their signatures differ. So who has the
        token of one is told by any other that it is still good.
        """
        self.token = token
        tag = f'"{hashlib.sha256(state.encode()).hexdigest()[:32]}"'
        self._etag = tag.encode("ascii")
        self._headers = {
            "etag": f"W/{tag}",
            # Nobody between us and a service may add his delay to the list's own.
            "cache-control": "no-cache",
            "vary": "accept-encoding",
            "access-control-allow-origin": "*",
        }
        self._plain = self._answer(token.encode("ascii"), self._headers)
        self._unchanged = ASGIResponse(status_code=304, headers=self._headers)

    def answer(self, scope: Scope) -> ASGIResponse:
        """Return the list, or 304 for who has it already."""
        compressed = False
        for name, value in scope["headers"]:
            if name == b"if-none-match" and names_tag(value, self._etag):
                return self._unchanged
            if name == b"accept-encoding":
                compressed = _accepts_gzip(value)
        return self._compressed if compressed else self._plain

    @cached_property
    def _compressed(self) -> ASGIResponse:
        # base64url takes 8 bits for 6; a little of that comes back.
        body = gzip.compress(self.token.encode("ascii"), GZIP_LEVEL, mtime=0)
        return self._answer(body, {**self._headers, "content-encoding": "gzip"})

    @staticmethod
    def _answer(body: bytes, headers: dict[str, str]) -> ASGIResponse:
        return ASGIResponse(body=body, media_type=STATUS_LIST_MEDIA_TYPE, headers=headers)


def _accepts_gzip(header: bytes) -> bool:
    """Say whether ``Accept-Encoding`` names gzip and does not rule it out (RFC 9110 12.5.3)."""
    for coding in header.lower().split(b","):
        name, _, weight = coding.replace(b" ", b"").partition(b";")
        if name == b"gzip":
            return weight.rstrip(b"0") not in (b"q=", b"q=0.")
    return False
