"""Verifier events as OpenTelemetry metrics; needs the extra ``apostille[opentelemetry]``.

.. code-block:: python

    from apostille import Verifier
    from apostille.telemetry import opentelemetry_hook

    iam = Verifier("https://iam.example.com", audience="inventory", on_event=opentelemetry_hook())

It is asked for, not switched on by what happens to be installed: counting
every request costs more than verifying a token a second time.

=================================== ========= ==== ============================================
metric                              kind      unit attributes
=================================== ========= ==== ============================================
``apostille.tokens``                counter        ``apostille.issuer``, ``apostille.outcome``
                                                   (``verified``, ``rejected``), ``error.type``
                                                   (the problem code)
``apostille.keys.fetches``          counter        ``apostille.issuer``, ``apostille.outcome``
                                                   (``refreshed``, ``failed``), ``error.type``
                                                   (why the fetch failed)
``apostille.keys.fetch.duration``   histogram s    as ``apostille.keys.fetches``
``apostille.keys.usable``           gauge          ``apostille.issuer``
``apostille.keys.stale``            counter        ``apostille.issuer``; fetches that failed while
                                                   stale keys served
``apostille.keys.cooldowns``        counter        ``apostille.issuer``; cooldowns in which key
                                                   ids nobody knows were not asked for
``apostille.status.fetches``        counter        as ``apostille.keys.fetches``, of status lists
``apostille.status.fetch.duration`` histogram s    as ``apostille.status.fetches``
``apostille.status.stale``          counter        as ``apostille.keys.stale``, of status lists
=================================== ========= ==== ============================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import ConfigurationError
from .events import Event, EventTag, OnEvent

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

__all__ = ["opentelemetry_hook"]

_JUDGED = frozenset({EventTag.TOKEN_VERIFIED, EventTag.TOKEN_REJECTED})


def opentelemetry_hook(meter: Meter | None = None) -> OnEvent:
    """Return a hook that counts events.

    Args:
        meter: Where to count; by default the meter ``apostille`` of the
            global provider, as it is at this moment or gets later.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """
    if meter is None:
        try:
            from opentelemetry.metrics import get_meter  # noqa: PLC0415 - only for who asks
        except ImportError as error:
            raise ConfigurationError("install apostille[opentelemetry] to use this") from error
        meter = get_meter("apostille")
    tokens = meter.create_counter("apostille.tokens", description="Tokens judged")
    fetches = meter.create_counter("apostille.keys.fetches", description="Key set fetches")
    duration = meter.create_histogram("apostille.keys.fetch.duration", unit="s")
    usable = meter.create_gauge("apostille.keys.usable", description="Usable keys of the issuer")
    stale = meter.create_counter("apostille.keys.stale")
    cooldowns = meter.create_counter("apostille.keys.cooldowns")
    list_fetches = meter.create_counter(
        "apostille.status.fetches", description="Status list fetches"
    )
    list_duration = meter.create_histogram("apostille.status.fetch.duration", unit="s")
    list_stale = meter.create_counter("apostille.status.stale")
    told = {
        EventTag.KEYS_STALE: stale,
        EventTag.KEYS_COOLDOWN: cooldowns,
        EventTag.STATUS_STALE: list_stale,
    }
    fetched = {
        EventTag.KEYS_REFRESHED: (fetches, duration),
        EventTag.KEYS_FAILED: (fetches, duration),
        EventTag.STATUS_REFRESHED: (list_fetches, list_duration),
        EventTag.STATUS_FAILED: (list_fetches, list_duration),
    }

    def count(event: Event) -> None:
        attributes = {"apostille.issuer": event.issuer}
        if event.keys is not None:
            usable.set(event.keys, attributes)
        if event.tag in told:
            told[event.tag].add(1, attributes)
            return
        outcome = _with_outcome(attributes, event)
        if event.tag in _JUDGED:
            tokens.add(1, outcome)
        elif event.tag in fetched:  # others are of a later version
            counter, timer = fetched[event.tag]
            counter.add(1, outcome)
            if event.duration is not None:
                timer.record(event.duration.total_seconds(), outcome)

    return count


def _with_outcome(attributes: dict[str, str], event: Event) -> dict[str, str]:
    outcome = {**attributes, "apostille.outcome": event.tag.rpartition(":")[2]}
    reason = event.code or event.failure
    return outcome if reason is None else {**outcome, "error.type": reason.value}
