"""What a verifier is constructed with, checked once. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from apostille_contracts.claims import ALGORITHMS

from ._address import check_issuer_address
from ._claims import ClaimsPolicy
from ._steady import SteadyTime
from ._verification import Verification
from .clock import Clock
from .errors import ConfigurationError
from .events import OnEvent

__all__ = ["Options"]

MAX_LEEWAY = timedelta(minutes=5)
"""RFC 9068 section 4: "no more than a few minutes"."""

MIN_STALENESS = timedelta(seconds=2)
"""Shorter, and a status list would be asked for several times a second."""

MAX_FRESH_FOR = timedelta(days=1)
"""Longest time for which a withdrawn key may go on being trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a verifier, validated; see :class:`apostille.Verifier` for their meaning.

    Raises:
        ConfigurationError: One of them makes no sense; the text says which.
    """

    issuer: str
    audience: tuple[str, ...]
    algorithms: tuple[str, ...]
    leeway: timedelta
    fresh_for: timedelta
    stale_if_error: timedelta
    max_staleness: timedelta
    cooldown: timedelta
    timeout: timedelta
    cache_size: int
    allow_insecure_http: bool
    on_event: OnEvent | None
    clock: Clock
    steady: SteadyTime = field(init=False, compare=False, repr=False)
    """The time of day that claims are compared with."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "steady", SteadyTime(self.clock))
        _check_text("issuer", self.issuer)
        if not self.audience:
            raise ConfigurationError("name the audience: without it any service's token would do")
        for name in self.audience:
            _check_text("audience", name)
        if not self.algorithms:
            raise ConfigurationError("name at least one algorithm")
        for name in self.algorithms:
            if name not in ALGORITHMS:
                raise ConfigurationError(f"algorithms are among {', '.join(ALGORITHMS)}")
        _check_duration("leeway", self.leeway, timedelta(0), MAX_LEEWAY)
        _check_duration("fresh_for", self.fresh_for, timedelta(seconds=1), MAX_FRESH_FOR)
        _check_duration("stale_if_error", self.stale_if_error, timedelta(0), timedelta(days=7))
        _check_duration("cooldown", self.cooldown, timedelta(seconds=1), timedelta(hours=1))
        _check_duration("timeout", self.timeout, timedelta(milliseconds=1), timedelta(minutes=1))
        _check_duration("max_staleness", self.max_staleness, MIN_STALENESS, timedelta(days=1))
        if isinstance(self.cache_size, bool) or not isinstance(self.cache_size, int):
            raise ConfigurationError("cache_size is a number of tokens")
        if self.cache_size < 0:
            raise ConfigurationError("cache_size is not negative; 0 turns the cache off")

    def check_address(self) -> None:
        """Return if the issuer's keys can be asked for over the network.

        Raises:
            ConfigurationError: ``issuer`` is no https URL.
        """
        check_issuer_address(self.issuer, allow_insecure_http=self.allow_insecure_http)

    def verification(self) -> Verification:
        """Return how these options judge tokens."""
        policy = ClaimsPolicy(self.issuer, frozenset(self.audience), self.leeway.total_seconds())
        return Verification(frozenset(self.algorithms), policy)


def audience_names(audience: str | Sequence[str]) -> tuple[str, ...]:
    """Return *audience*, one name or several, as several."""
    if isinstance(audience, str):
        return (audience,)
    try:
        return tuple(audience)
    except TypeError as error:
        raise ConfigurationError("audience is a name or a list of names") from error


def _check_text(option: str, value: object) -> None:
    if not isinstance(value, str) or not value or value.strip() != value:
        raise ConfigurationError(f"{option} is a text without surrounding white space")


def _check_duration(option: str, value: object, least: timedelta, most: timedelta) -> None:
    if not isinstance(value, timedelta):
        raise ConfigurationError(f"{option} is a timedelta")
    if not least <= value <= most:
        raise ConfigurationError(f"{option} is between {least} and {most}")
