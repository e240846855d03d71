"""Questions to an issuer over HTTP, as a verifier sees them. Pure.

An inquiry is written as a generator that yields requests, is sent answers and
returns what it found, so that threads and tasks share every decision.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import NamedTuple, Protocol, TypeVar

from .events import FetchFailure

__all__ = ["MAX_DOCUMENT_BYTES", "Answer", "FetchFailed", "Inquiry", "Request", "body_of"]

MAX_DOCUMENT_BYTES = 1024 * 1024
"""Largest document that is read."""

Found = TypeVar("Found", covariant=True)  # noqa: PLC0105 - read as a word: what is found


class FetchFailed(Exception):
    """A document could not be had; carries a code and nothing an attacker wrote."""

    def __init__(self, failure: FetchFailure) -> None:
        """Say why."""
        super().__init__(failure)
        self.failure = failure


class Request(NamedTuple):
    """A GET."""

    address: str
    accept: bytes = b"application/json, application/jwk-set+json"
    known_etag: str = ""
    """Entity tag of what is at hand; 304 says it is still that (RFC 9110 section 13.1.2)."""
    anew: bool = False
    """Whether no cache on the way may answer without asking (RFC 9111 section 5.2.1.4)."""


class Answer(NamedTuple):
    """An HTTP response, as far as it matters here."""

    status: int
    media_type: str
    cache_control: str
    age: str
    encoding: str
    body: bytes
    etag: str = ""


class Inquiry(Protocol[Found]):
    """Asks for one thing, again and again."""

    def steps(self) -> Generator[Request, Answer, Found]:
        """Yield what to GET, take the answers, return what was asked for.

        Raises:
            FetchFailed: An answer is not what it must be.
        """

    def forget(self) -> None:
        """Take nothing from earlier answers next time: a fetch has failed."""


def body_of(answer: Answer, media_types: re.Pattern[str]) -> bytes:
    """Return the body of *answer*, whose size is bounded already.

    Args:
        answer: A final one; no redirect is followed (ASVS V15.3.2).
        media_types: What the type, parameters aside, must match.

    Raises:
        FetchFailed: Another status than 200, another type, or a content coding.
    """
    if 300 <= answer.status < 400:
        raise FetchFailed(FetchFailure.REDIRECTED)
    if answer.status != 200:
        raise FetchFailed(FetchFailure.BAD_STATUS)
    media_type = answer.media_type.partition(";")[0].strip()
    if media_types.fullmatch(media_type) is None or answer.encoding.strip().lower() not in {
        "",
        "identity",
    }:
        raise FetchFailed(FetchFailure.WRONG_CONTENT)
    return answer.body
