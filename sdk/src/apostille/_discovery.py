"""From an issuer to its keys: what to ask for, and what to make of the answers. Pure.

An inquiry, so that threads and tasks share every decision.
"""

from __future__ import annotations

import re
from collections.abc import Generator

from ._address import is_safe_address, metadata_addresses
from ._inquiry import Answer, FetchFailed, Request, body_of
from ._json import Malformed, decode_text, load_distinct
from ._keyring import InvalidKeySet, read_key_set
from ._options import Options
from ._supply import FetchedKeySet
from .events import FetchFailure

__all__ = ["Discovery", "max_age"]

METADATA_FRESH_SECONDS = 3600.0
"""How long the address of the key set is remembered; a failing fetch forgets it at once."""

_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json", re.ASCII | re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


class Discovery:
    """Finds the key set of an issuer, and remembers where it was.

    Args:
        options: The issuer, and which addresses are safe.
    """

    __slots__ = ("_found_at", "_jwks_uri", "_options")

    def __init__(self, options: Options) -> None:
        """Know nothing yet."""
        self._options = options
        self._jwks_uri: str | None = None
        self._found_at = 0.0

    def steps(self) -> Generator[Request, Answer, FetchedKeySet]:
        """Yield what to GET, take the answers, return the key set.

        Raises:
            FetchFailed: An answer is not what it must be.
        """
        now = self._options.clock.monotonic()
        if self._jwks_uri is None or now >= self._found_at + METADATA_FRESH_SECONDS:
            self._jwks_uri, self._found_at = (yield from self._locate()), now
        # A key that was withdrawn must not come back out of a cache.
        answer = yield Request(self._jwks_uri, anew=True)
        document = body_of(answer, _JSON_TYPE)
        try:
            keyring = read_key_set(document)
        except InvalidKeySet:
            raise FetchFailed(FetchFailure.WRONG_CONTENT) from None
        return FetchedKeySet(keyring, max_age(answer))

    def forget(self) -> None:
        """Look the address up again next time: the fetch has failed."""
        self._jwks_uri = None

    def _locate(self) -> Generator[Request, Answer, str]:
        """Return ``jwks_uri`` out of the issuer's metadata.

        A server that knows one of the two documents may answer anything for
        the other; so the first good one decides, and the first fault is
        reported if there is none.

        See: RFC 8414 section 3; OpenID Connect Discovery section 4.
        """
        faults: list[FetchFailure] = []
        for url in metadata_addresses(self._options.issuer):
            answer = yield Request(url)
            if answer.status in {404, 410}:
                continue
            try:
                return self._read_metadata(body_of(answer, _JSON_TYPE))
            except FetchFailed as error:
                if error.failure not in {FetchFailure.BAD_STATUS, FetchFailure.WRONG_CONTENT}:
                    raise
                faults.append(error.failure)
        raise FetchFailed(faults[0] if faults else FetchFailure.NO_METADATA)

    def _read_metadata(self, document: bytes) -> str:
        try:
            metadata = load_distinct(decode_text(document))
        except Malformed:
            raise FetchFailed(FetchFailure.WRONG_CONTENT) from None
        if not isinstance(metadata, dict):
            raise FetchFailed(FetchFailure.WRONG_CONTENT)
        options = self._options
        if metadata.get("issuer") != options.issuer:
            # Whoever answers here might pass off his keys as another's
            # (RFC 8414 section 6.2).
            raise FetchFailed(FetchFailure.ISSUER_MISMATCH)
        jwks_uri = metadata.get("jwks_uri")
        if not isinstance(jwks_uri, str):
            raise FetchFailed(FetchFailure.WRONG_CONTENT)
        if not is_safe_address(
            jwks_uri, issuer=options.issuer, allow_insecure_http=options.allow_insecure_http
        ):
            raise FetchFailed(FetchFailure.INSECURE_ADDRESS)
        return jwks_uri


def max_age(answer: Answer) -> float | None:
    """Return for how many seconds *answer* may be kept, or ``None`` if it does not say.

    See: RFC 9111 sections 5.2.2 and 5.1.
    """
    seconds: float | None = None
    for directive in answer.cache_control.lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name in {"no-store", "no-cache"}:
            return 0.0
        value = value.strip('"')
        if name == "max-age" and _SECONDS.fullmatch(value):
            seconds = float(value) if seconds is None else min(seconds, float(value))
    if seconds is None:
        return None
    spent = float(answer.age) if _SECONDS.fullmatch(answer.age) else 0.0
    return max(seconds - spent, 0.0)
