"""Public documents that are the same for everybody: served from memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp, Scope

__all__ = ["Document", "Documents", "PublicDocument", "names_tag"]


class Document(Protocol):
    """What is answered from memory."""

    def answer(self, scope: Scope) -> ASGIApp:
        """Return the answer to a request for it."""


class Documents(Protocol):
    """Where documents are found by their path."""

    def get(self, path: str, /) -> Document | None:
        """Return the document at *path*, if it is here.

        Raises:
            IssuerProblem: It cannot be had now.
        """


class PublicDocument:
    """JSON that changes rarely, with ``Cache-Control``, ``ETag`` and 304.

    The answer is built when the content changes, not when it is asked for.
    """

    def __init__(self, source: Callable[[], bytes], *, media_type: str, max_age: timedelta) -> None:
        """Take where the content comes from.

        Args:
            source: Returns the present content; the same object until it changes.
            media_type: Of the content.
            max_age: How long anybody may keep it.
        """
        self._source = source
        self._media_type = media_type
        self._cache_control = f"public, max-age={int(max_age.total_seconds())}"
        self._content: bytes | None = None
        self._etag = b""
        self._full = self._unchanged = ASGIResponse()

    def answer(self, scope: Scope) -> ASGIResponse:
        """Return the document, or 304 for who has it already (RFC 9110 section 13.1.2)."""
        content = self._source()
        if content is not self._content:
            self._build(content)
        for name, value in scope["headers"]:
            if name == b"if-none-match" and names_tag(value, self._etag):
                return self._unchanged
        return self._full

    def _build(self, content: bytes) -> None:
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {
            "cache-control": self._cache_control,
            "etag": etag,
            # Public keys and metadata are for any origin to read.
            "access-control-allow-origin": "*",
        }
        self._full = ASGIResponse(body=content, media_type=self._media_type, headers=headers)
        self._unchanged = ASGIResponse(status_code=304, headers=headers)
        self._etag = etag.encode("ascii")
        self._content = content


def names_tag(header: bytes, etag: bytes) -> bool:
    """Say whether ``If-None-Match`` names *etag*, which is written as a strong one.

    Compares weakly (RFC 9110 section 13.1.2): proxies that compress turn a tag
    into a weak one.
    """
    tags = (tag.strip().removeprefix(b"W/") for tag in header.split(b","))
    return any(tag in (etag, b"*") for tag in tags)
