"""Steps 1 to 6 of DESIGN section 5, over one snapshot. Pure: *now* is passed in."""

from __future__ import annotations

import msgspec

from ._claims import ClaimsPolicy, ValidityPeriod, check_period
from ._jwk import VerificationKey
from ._snapshot import CachedToken, Snapshot
from ._token import UnverifiedToken, read_header, split
from .errors import AlgorithmNotAllowed, InvalidToken, MalformedToken
from .principal import Principal

__all__ = ["Candidate", "Verification", "recall"]


class Candidate(msgspec.Struct, frozen=True):
    """A token that has passed steps 1 to 3; nothing in it is proven."""

    parts: UnverifiedToken
    kid: str
    key: VerificationKey | None
    """The key it asks for, if the snapshot has it."""
    header_is_known: bool
    """Whether a signature under this very header has held before."""


class Verification:
    """How tokens are judged: the allow-list of algorithms, and what claims must say."""

    __slots__ = ("_algorithms", "_policy")

    def __init__(self, algorithms: frozenset[str], policy: ClaimsPolicy) -> None:
        """Take what the verifier was constructed with, already validated."""
        self._algorithms = algorithms
        self._policy = policy

    def examine(self, token: object, snapshot: Snapshot) -> Candidate:
        """Return *token* taken apart, after steps 1 to 3 and the look-up of step 4.

        Raises:
            MalformedToken, TokenTooLarge, WrongType, AlgorithmNotAllowed: It
                cannot be a good token, whatever keys there are.
        """
        if not isinstance(token, str):
            raise MalformedToken
        parts = split(token)
        key = snapshot.headers.find(parts.header_segment)
        if key is not None:
            return Candidate(parts, key.kid, key, header_is_known=True)
        header = read_header(parts.header_segment, self._algorithms)
        key = snapshot.keyring.keys.get(header.kid)
        if key is not None and header.algorithm not in key.algorithm_names:
            raise AlgorithmNotAllowed
        return Candidate(parts, header.kid, key, header_is_known=False)

    def fault_of(self, candidate: Candidate, now: float) -> InvalidToken | None:
        """Return why *candidate* is no good even if its signature holds, if so.

        Asked before the issuer is: a token that is refused either way is not
        worth a request. Nothing it says is believed.
        """
        try:
            self._policy.accept(candidate.parts.payload, now)
        except InvalidToken as error:
            return error.with_traceback(None)
        return None

    def conclude(
        self, candidate: Candidate, key: VerificationKey, now: float
    ) -> tuple[Principal, ValidityPeriod]:
        """Return whom *candidate* speaks for and when, after steps 5 and 6.

        Args:
            candidate: An examined token.
            key: The one it asks for.
            now: Seconds since the epoch.

        Raises:
            BadSignature: The signature does not fit.
            InvalidToken: A claim says no; see :class:`ClaimsPolicy`.
        """
        parts = candidate.parts
        key.check(parts.signature, parts.signing_input)
        claims, period = self._policy.accept(parts.payload, now)
        return Principal(claims), period


def recall(token: object, snapshot: Snapshot, now: float) -> CachedToken | None:
    """Return what *snapshot* knows of *token*, if it has verified it before.

    Raises:
        ExpiredToken, NotYetValid: It was good once, and is not at this time.
    """
    known = snapshot.tokens.find(token) if isinstance(token, str) else None
    if known is None:
        return None
    check_period(known[1:3], now)
    return known
