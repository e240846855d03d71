"""A service process: verifies each token it is told of until it is refused.

Reads tokens, a line each; says ``accepted`` at the first good verification,
and when it refuses the token a line of JSON: when that was, how often the
status list has been fetched so far, and for how long the process has run.
"""

from __future__ import annotations

import json
import sys
import time

from apostille import Verifier
from apostille.errors import RevokedToken
from apostille.events import Event, EventTag

PAUSE_SECONDS = 0.02


def main(issuer: str) -> None:
    fetches = 0

    def note(event: Event) -> None:
        nonlocal fetches
        fetches += event.tag in (EventTag.STATUS_REFRESHED, EventTag.STATUS_FAILED)

    started = time.monotonic()
    with Verifier(issuer, audience="apostille", on_event=note) as verifier:
        for line in sys.stdin:
            token = line.strip()
            verifier.verify(token)
            print("accepted", flush=True)  # noqa: T201 - that is its interface
            try:
                while True:
                    verifier.verify(token)
                    time.sleep(PAUSE_SECONDS)
            except RevokedToken:
                told = {"at": time.time(), "fetches": fetches, "for": time.monotonic() - started}
                print(json.dumps(told), flush=True)  # noqa: T201 - the same


if __name__ == "__main__":
    main(sys.argv[1])
