"""The tour's printed record: one line a step, with status and time."""

from __future__ import annotations

import sys
from typing import TextIO

import httpx

__all__ = ["StepFailed", "Transcript"]


class StepFailed(Exception):
    """A step did not go as said; the tour stops there."""


class Transcript:
    """Prints each step as it happens and counts them."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to *stream*, standard output by default."""
        self._stream = stream or sys.stdout
        self.steps = 0

    def heading(self, text: str) -> None:
        """Print a line between groups of steps."""
        self._write(f"\n{text}\n")

    def note(self, what: str, outcome: str, seconds: float) -> None:
        """Print a step that is no HTTP exchange."""
        self.steps += 1
        self._write(f"  {self.steps:2d}. {what:<66} {outcome:<28} {seconds * 1000:7.0f} ms\n")

    def expect(
        self,
        what: str,
        response: httpx.Response,
        status: int,
        code: str | None = None,
        detail: str = "",
    ) -> httpx.Response:
        """Print the exchange, and stop the tour where it is not as expected.

        Args:
            what: The step in words.
            response: What came.
            status: The HTTP status that must have come.
            code: The problem code that must have come with it.
            detail: Text that must stand in the body, and is printed.

        Raises:
            StepFailed: It is not as expected; the message says how.
        """
        found = _code_of(response)
        outcome = " ".join(filter(None, (str(response.status_code), found, detail)))
        self.note(what, outcome, response.elapsed.total_seconds())
        if response.status_code != status or (code is not None and found != code):
            wanted = f"{status} {code or ''}".strip()
            message = f"expected {wanted}, got {outcome}: {response.text[:500]}"
            raise StepFailed(message)
        if detail not in response.text:
            message = f"expected the answer to name {detail!r}: {response.text[:500]}"
            raise StepFailed(message)
        return response

    def closing(self, text: str) -> None:
        """Print the last line."""
        self._write(f"\n{text}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _code_of(response: httpx.Response) -> str | None:
    if response.headers.get("content-type") != "application/problem+json":
        return None
    return str(response.json().get("code"))
