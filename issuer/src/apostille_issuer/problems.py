"""The errors of the issuer.

.. code-block:: text

    IssuerProblem    a request cannot be answered as asked; becomes problem+json
    StartupError     the program cannot start; becomes one line on stderr
    └── SettingsError    because of a setting
"""

from __future__ import annotations

from apostille_contracts.problems import SPECS, FieldError, Problem, ProblemCode

__all__ = ["IssuerProblem", "SettingsError", "StartupError"]


class IssuerProblem(Exception):
    """The one exception services raise: a code of the contract and its details.

    Attributes:
        code: What went wrong; fixes the HTTP status and the public text.
        errors: The fields at fault, with ``validation_failed`` and the like.
        missing: The permissions that would have helped.
        retry_after: Seconds after which asking again makes sense; becomes the
            header ``Retry-After`` (RFC 9110 section 10.2.3).
    """

    def __init__(
        self,
        code: ProblemCode,
        *,
        errors: tuple[FieldError, ...] = (),
        missing: tuple[str, ...] = (),
        retry_after: int | None = None,
    ) -> None:
        """Name what went wrong; nothing given here may be secret."""
        super().__init__(code)
        self.code = code
        self.errors = errors
        self.missing = missing
        self.retry_after = retry_after

    @classmethod
    def invalid_field(cls, field: str, detail: str) -> IssuerProblem:
        """Return ``validation_failed`` for one *field*; *detail* never quotes its value."""
        return cls(ProblemCode.VALIDATION_FAILED, errors=(FieldError(field, detail),))

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return SPECS[self.code].status

    def document(self) -> Problem:
        """Return the body of the answer (RFC 9457 section 3)."""
        return Problem.of(self.code, errors=self.errors, missing=self.missing)

    def __str__(self) -> str:
        text = f"{self.code.value}: {SPECS[self.code].detail}"
        details = [f"{error.field}: {error.detail}" for error in self.errors]
        return (
            f"{text} ({'; '.join([*details, *self.missing])})" if details or self.missing else text
        )


class StartupError(Exception):
    """The program cannot start; the message is one line for the operator."""


class SettingsError(StartupError):
    """A setting is unknown, missing or out of range; the message names it."""
