"""Every error the SDK raises.

.. code-block:: text

    ApostilleError
    ├── InvalidToken                 401  it must not be accepted; retrying cannot help
    │   ├── MalformedToken                not three strict base64url parts of JSON
    │   ├── TokenTooLarge                 over 16 KiB
    │   ├── AlgorithmNotAllowed           none, a MAC, or not on the allow-list
    │   ├── WrongType                     ``typ`` is not an access token's
    │   ├── UnknownKey                    the issuer publishes no such key
    │   ├── BadSignature
    │   ├── ExpiredToken
    │   ├── NotYetValid
    │   ├── WrongIssuer
    │   ├── WrongAudience
    │   ├── InvalidClaim                  missing, or of the wrong type; see ``claim``
    │   └── RevokedToken
    ├── InvalidCredentials           the request does not carry one bearer token
    │   ├── MissingToken             401
    │   ├── InvalidRequest           400
    │   └── CsrfFailed               403
    ├── PermissionDenied             403  see ``missing``
    ├── Unavailable                  503  the issuer could not be asked; retrying may help
    │   ├── KeysUnavailable
    │   └── StatusUnavailable
    └── ConfigurationError           raised while setting up, never per request

Messages are fixed texts: nothing of a token or a request is in them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from apostille_contracts.problems import SPECS, ProblemCode

__all__ = [
    "AlgorithmNotAllowed",
    "ApostilleError",
    "BadSignature",
    "ConfigurationError",
    "CsrfFailed",
    "ExpiredToken",
    "InvalidClaim",
    "InvalidCredentials",
    "InvalidRequest",
    "InvalidToken",
    "KeysUnavailable",
    "MalformedToken",
    "MissingToken",
    "NotYetValid",
    "PermissionDenied",
    "RevokedToken",
    "StatusUnavailable",
    "TokenTooLarge",
    "Unavailable",
    "UnknownKey",
    "WrongAudience",
    "WrongIssuer",
    "WrongType",
]


class ApostilleError(Exception):
    """Base of all errors of this distribution."""


class ConfigurationError(ApostilleError):
    """The program is set up wrongly; raised at construction or import only."""


class _ProblemError(ApostilleError):
    """An error with a stable code, shared with the issuer and other languages."""

    code: ClassVar[ProblemCode]

    def __str__(self) -> str:
        return SPECS[self.code].detail


class InvalidToken(_ProblemError):
    """The token must not be accepted (401); retrying cannot help."""

    code = ProblemCode.MALFORMED_TOKEN


class MalformedToken(InvalidToken):
    """Not three strict base64url parts of well-formed JSON (RFC 7515 section 5.2)."""

    code = ProblemCode.MALFORMED_TOKEN


class TokenTooLarge(InvalidToken):
    """Over 16 KiB; refused before anything is parsed."""

    code = ProblemCode.TOKEN_TOO_LARGE


class AlgorithmNotAllowed(InvalidToken):
    """``none``, a MAC, an unlisted algorithm, or not the key's (RFC 8725 section 3.1)."""

    code = ProblemCode.ALGORITHM_NOT_ALLOWED


class WrongType(InvalidToken):
    """The header's ``typ`` is not an access token's (RFC 9068 section 4)."""

    code = ProblemCode.WRONG_TYPE


class UnknownKey(InvalidToken):
    """The issuer publishes no key of this ``kid``."""

    code = ProblemCode.UNKNOWN_KEY


class BadSignature(InvalidToken):
    """The signature does not fit."""

    code = ProblemCode.BAD_SIGNATURE


class ExpiredToken(InvalidToken):
    """``exp`` has passed (RFC 7519 section 4.1.4)."""

    code = ProblemCode.EXPIRED_TOKEN


class NotYetValid(InvalidToken):
    """``nbf`` or ``iat`` lies in the future (RFC 7519 section 4.1.5)."""

    code = ProblemCode.NOT_YET_VALID


class WrongIssuer(InvalidToken):
    """``iss`` is not, letter for letter, the issuer trusted here."""

    code = ProblemCode.WRONG_ISSUER


class WrongAudience(InvalidToken):
    """``aud`` does not name this service."""

    code = ProblemCode.WRONG_AUDIENCE


class InvalidClaim(InvalidToken):
    """A claim is missing, of the wrong type or out of range."""

    code = ProblemCode.INVALID_CLAIM

    def __init__(self, claim: str) -> None:
        """Name the *claim* of contract v1 that is at fault."""
        super().__init__(claim)
        self.claim = claim
        """A name out of contract v1, never one out of the token."""

    def __str__(self) -> str:
        return f"{SPECS[self.code].detail} ({self.claim})"


class RevokedToken(InvalidToken):
    """The session the token speaks for has ended or changed."""

    code = ProblemCode.REVOKED_TOKEN


class InvalidCredentials(_ProblemError):
    """The request does not carry exactly one bearer token (RFC 6750 section 3.1)."""

    code = ProblemCode.INVALID_REQUEST


class MissingToken(InvalidCredentials):
    """No bearer token at all (401)."""

    code = ProblemCode.MISSING_TOKEN


class InvalidRequest(InvalidCredentials):
    """Two ``Authorization`` headers, or one that is malformed (400)."""

    code = ProblemCode.INVALID_REQUEST


class CsrfFailed(InvalidCredentials):
    """A cookie carried the token and the request's origin is not proven (403)."""

    code = ProblemCode.CSRF_FAILED


class PermissionDenied(_ProblemError):
    """The token is good, but does not carry what is required (403)."""

    code = ProblemCode.PERMISSION_DENIED

    def __init__(self, missing: tuple[str, ...] = ()) -> None:
        """Name the *missing* permissions that would have helped."""
        super().__init__(missing)
        self.missing = missing
        """Permission names out of the program, never out of the token."""

    def __str__(self) -> str:
        names = ", ".join(self.missing)
        return f"{SPECS[self.code].detail} ({names})" if names else SPECS[self.code].detail


class Unavailable(_ProblemError):
    """The issuer could not be asked (503); retrying may help."""

    code = ProblemCode.KEYS_UNAVAILABLE

    def __init__(self, retry_after: timedelta = timedelta(seconds=5)) -> None:
        """Say after how long asking again makes sense."""
        super().__init__(retry_after)
        self.retry_after = retry_after


class KeysUnavailable(Unavailable):
    """No usable keys: never fetched, or too old to be trusted."""

    code = ProblemCode.KEYS_UNAVAILABLE


class StatusUnavailable(Unavailable):
    """No usable status list: never fetched, or too old to be trusted."""

    code = ProblemCode.STATUS_UNAVAILABLE
