"""The verifier for threads. Kept equal to ``_async`` by a test: edit both."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from apostille_contracts.claims import ALGORITHMS, Algorithm

from ._engine import Engine
from ._issuers import by_issuer, unverified_issuer, worst
from ._options import Options, audience_names
from ._supply import Attempt, FetchedKeys, GivenKeys
from ._threads import ThreadRunner
from .clock import SYSTEM_CLOCK, Clock
from .errors import ApostilleError, KeysUnavailable, WrongIssuer
from .events import Health, OnEvent
from .keys import KeySource
from .principal import Principal
from .status import StatusSource, status_supply

__all__ = ["Verifier"]


class Verifier:
    """Verifies access tokens of one issuer, offline; share one per process.

    .. code-block:: python

        iam = Verifier("https://iam.example.com", audience="inventory")
        principal = iam.verify(token)
        principal.require("inventory.write")

    Safe to use from any number of threads and across forks. The issuer is
    asked for its keys when they are first needed, and then about every five
    minutes in the background; for a status list when a token first points to
    it, and then about every ten seconds while tokens do; never per token.

    Args:
        issuer: The issuer's identifier, letter for letter as in ``iss``; an
            https URL unless *keys* are given.
        audience: This service's name, or several; ``aud`` must contain one.
        keys: Where keys come from, if not from the issuer's own address.
        status: Where status lists come from, if not from where tokens say,
            which is an address of the issuer.
        algorithms: Signature algorithms to accept; all of contract v1 by default.
        leeway: How far the issuer's clock and ours may differ; 30 seconds by
            default, at most 5 minutes.
        fresh_for: How old keys may get, 5 minutes by default; a shorter
            ``Cache-Control: max-age`` wins. A withdrawn key is refused within it,
            and much sooner where status lists name the key set in force.
        stale_if_error: How much longer keys serve while the issuer cannot be
            asked; 1 hour by default, 0 to fail closed.
        max_staleness: How old a status list may get while the issuer cannot
            be asked; 5 minutes by default, at least 2 seconds.
        cooldown: Least time between two requests for key ids nobody knows,
            and after failures; 30 seconds by default.
        timeout: Longest time a fetch may take over all; 5 seconds by default.
        cache_size: Most verified tokens to remember; 10,000 by default, 0 for none.
        allow_insecure_http: Accept an issuer at an ``http`` address that is
            not this machine. Anybody on the way can then replace its keys.
        on_event: Called with every :class:`apostille.events.Event`; it must not block.
        clock: For tests; see :class:`apostille.clock.ManualClock`.

    Raises:
        ConfigurationError: An argument makes no sense; the text says which.
    """

    __slots__ = ("__weakref__", "_engine", "_runner", "_supply")

    def __init__(  # noqa: PLR0913 - options, all but the first by keyword
        self,
        issuer: str,
        *,
        audience: str | Sequence[str],
        keys: KeySource | None = None,
        status: StatusSource | None = None,
        algorithms: Sequence[Algorithm] = ALGORITHMS,
        leeway: timedelta = timedelta(seconds=30),
        fresh_for: timedelta = timedelta(minutes=5),
        stale_if_error: timedelta = timedelta(hours=1),
        max_staleness: timedelta = timedelta(minutes=5),
        cooldown: timedelta = timedelta(seconds=30),
        timeout: timedelta = timedelta(seconds=5),
        cache_size: int = 10_000,
        allow_insecure_http: bool = False,
        on_event: OnEvent | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Check the arguments; no request is made yet."""
        options = Options(
            issuer=issuer,
            audience=audience_names(audience),
            algorithms=tuple(algorithms),
            leeway=leeway,
            fresh_for=fresh_for,
            stale_if_error=stale_if_error,
            max_staleness=max_staleness,
            cooldown=cooldown,
            timeout=timeout,
            cache_size=cache_size,
            allow_insecure_http=allow_insecure_http,
            on_event=on_event,
            clock=clock,
        )
        self._engine = Engine(options)
        self._runner = ThreadRunner(options)
        self._supply: FetchedKeys | GivenKeys
        if keys is None:
            options.check_address()
            self._supply = self._runner.fetched_keys(self._engine.emit)
        else:
            self._supply = GivenKeys(options, keys)
        self._engine.supply = self._supply
        self._engine.statuses = status_supply(
            status, options, self._supply, self._runner.spawn, self._engine.emit
        )

    @classmethod
    def of(cls, *verifiers: Verifier) -> Verifier:
        """Return a verifier of several issuers' tokens: each by its own *verifiers*.

        .. code-block:: python

            iam = Verifier.of(
                Verifier("https://iam.example.com", audience="inventory"),
                Verifier("https://partner.example.org", audience="inventory"),
            )

        Every issuer keeps its own keys, cache and options; a token is judged
        by the verifier of the issuer it names, and by no other.

        Args:
            *verifiers: At least one; no two of the same issuer.

        Raises:
            ConfigurationError: None, or two of the same issuer.
        """
        return _SeveralIssuers(verifiers)

    @property
    def issuer(self) -> str:
        """The issuer whose tokens are accepted; of several, the first."""
        return self._engine.options.issuer

    @property
    def issuers(self) -> tuple[str, ...]:
        """All issuers whose tokens are accepted."""
        return (self.issuer,)

    @property
    def audience(self) -> tuple[str, ...]:
        """This service's names."""
        return self._engine.options.audience

    def verify(self, token: str) -> Principal:
        """Return whom *token* speaks for, or raise.

        Checks size, shape, header, signature, issuer, audience and times, and
        that the session has not ended.
        Does not check permissions: ask the principal.

        Args:
            token: Compact JWS without ``Bearer``; at most 16 KiB.

        Raises:
            InvalidToken: It must not be accepted; retrying cannot help.
            Unavailable: The issuer could not be asked; retrying may help.

        See: RFC 9068 section 4; RFC 8725 section 3.
        """
        # The way of a repeated token: no lock, no I/O, hardly a function call.
        # Whatever is not perfectly usual goes the long way.
        engine = self._engine
        snapshot = self._supply.snapshot
        try:
            known = snapshot.tokens.young.get(token)
        except TypeError:  # not even hashable
            known = None
        if known is not None and engine.on_event is None:
            principal, begins, ends, until, standing = known
            if begins <= engine.time() < ends:
                now = engine.monotonic()
                if (
                    now < until
                    and now < snapshot.recheck_at
                    and (standing is None or standing.holds(now))
                ):
                    return principal
        waited: Attempt | None = None
        try:
            while not isinstance(result := engine.step(token, waited), Principal):
                self._runner.wait(result)
                waited = result
        except ApostilleError as error:
            engine.rejected(error)
            raise
        engine.accepted()
        return result

    def warm(self) -> None:
        """Have keys at hand, so that the first request does not wait for them.

        Call it when the service starts, and let the service start even if it
        raises: it recovers by itself.

        Raises:
            KeysUnavailable: The issuer could not be asked.
        """
        waited: Attempt | None = None
        while True:
            attempt = self._supply.tend(self._engine.monotonic(), waited)
            if attempt is None:
                return
            self._runner.wait(attempt)
            waited = attempt

    def health(self) -> Health:
        """Return how good keys and status lists are; for a readiness probe. Does no I/O."""
        return self._engine.health()

    def close(self) -> None:
        """Fetch nothing any more; what is at hand serves until it is too old."""
        for attempt in self._engine.stop():
            self._runner.close(attempt)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Verifier({self.issuer!r}, audience={list(self.audience)!r})"


class _SeveralIssuers(Verifier):
    """Hands each token to the verifier of the issuer it names."""

    __slots__ = ("_verifiers",)

    def __init__(self, verifiers: tuple[Verifier, ...]) -> None:
        self._verifiers = by_issuer(verifiers)
        # What has no issuer yet, such as the event of a token that names
        # none of them, is the first one's.
        self._engine = verifiers[0]._engine  # noqa: SLF001 - the same class
        self._runner = verifiers[0]._runner  # noqa: SLF001 - the same class
        self._supply = verifiers[0]._supply  # noqa: SLF001 - the same class

    @property
    def issuers(self) -> tuple[str, ...]:
        return tuple(self._verifiers)

    @property
    def audience(self) -> tuple[str, ...]:
        names = (name for verifier in self._verifiers.values() for name in verifier.audience)
        return tuple(dict.fromkeys(names))

    def verify(self, token: str) -> Principal:
        return self._verifier_of(token).verify(token)

    def _verifier_of(self, token: str) -> Verifier:
        try:
            for verifier in self._verifiers.values():
                tokens = verifier._supply.snapshot.tokens  # noqa: SLF001 - the same class
                if tokens.holds(token):
                    return verifier  # which has verified that the token is its issuer's
            chosen = self._verifiers.get(unverified_issuer(token))
            if chosen is None:
                raise WrongIssuer
        except ApostilleError as error:
            self._engine.rejected(error)
            raise
        return chosen

    def warm(self) -> None:
        failures: list[KeysUnavailable] = []
        for verifier in self._verifiers.values():
            try:
                verifier.warm()
            except KeysUnavailable as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def health(self) -> Health:
        return worst(verifier.health() for verifier in self._verifiers.values())

    def close(self) -> None:
        for verifier in self._verifiers.values():
            verifier.close()
