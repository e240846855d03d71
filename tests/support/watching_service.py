"""A service process: verifies each token it is told of until it is refused.

Reads lines of tokens with spaces between; says ``accepted`` when all of a line
have been verified, and then a line of JSON for each as it refuses it: its place
in the line, when that was and by which code, how often status lists have been fetched so far,
and for how many seconds it has verified tokens.
"""

from __future__ import annotations

import json
import sys
import time

from apostille import Verifier
from apostille.errors import InvalidToken
from apostille.events import Event, EventTag

PAUSE_SECONDS = 0.02


class Service:
    """Counts what it fetches."""

    def __init__(self, issuer: str) -> None:
        self._fetches = 0
        self._started = time.monotonic()
        self._verifier = Verifier(issuer, audience="apostille", on_event=self._note)

    def _note(self, event: Event) -> None:
        self._fetches += event.tag in (EventTag.STATUS_REFRESHED, EventTag.STATUS_FAILED)

    def watch(self, tokens: list[str]) -> None:
        """Verify *tokens* over and over until all of them have been refused."""
        for token in tokens:
            self._verifier.verify(token)
        print("accepted", flush=True)  # noqa: T201 - that is its interface
        left = dict(enumerate(tokens))
        while left:
            for place, token in list(left.items()):
                try:
                    self._verifier.verify(token)
                except InvalidToken as refusal:
                    del left[place]
                    report = {**self._report(place), "code": refusal.code}
                    print(json.dumps(report), flush=True)  # noqa: T201 - the same
            time.sleep(PAUSE_SECONDS)

    def _report(self, place: int) -> dict[str, float]:
        seconds = time.monotonic() - self._started
        return {"place": place, "at": time.time(), "fetches": self._fetches, "for": seconds}


def main(issuer: str) -> None:
    service = Service(issuer)
    for line in sys.stdin:
        service.watch(line.split())


if __name__ == "__main__":
    main(sys.argv[1])
