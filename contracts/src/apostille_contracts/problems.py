"""Stable error codes, and the problem document that carries them (RFC 9457).

A code is part of the contract: it keeps its meaning for ever, and the code of
a retired error is never given to another one.
"""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from msgspec import Struct

__all__ = ["PROBLEM_MEDIA_TYPE", "SPECS", "FieldError", "Problem", "ProblemCode", "ProblemSpec"]

PROBLEM_MEDIA_TYPE = "application/problem+json"


class ProblemCode(StrEnum):
    """What went wrong, for programs."""

    # A token or the credentials that carry it (sections 3 and 5 of RFC 6750).
    MISSING_TOKEN = "missing_token"  # noqa: S105 - a code, not a secret
    INVALID_REQUEST = "invalid_request"
    MALFORMED_TOKEN = "malformed_token"  # noqa: S105
    TOKEN_TOO_LARGE = "token_too_large"  # noqa: S105
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    EXPIRED_TOKEN = "expired_token"  # noqa: S105
    NOT_YET_VALID = "not_yet_valid"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    INVALID_CLAIM = "invalid_claim"
    REVOKED_TOKEN = "revoked_token"  # noqa: S105
    PERMISSION_DENIED = "permission_denied"
    CSRF_FAILED = "csrf_failed"
    KEYS_UNAVAILABLE = "keys_unavailable"
    STATUS_UNAVAILABLE = "status_unavailable"

    # The issuer's own API.
    VALIDATION_FAILED = "validation_failed"
    MALFORMED_BODY = "malformed_body"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    LOGIN_TAKEN = "login_taken"
    NAME_TAKEN = "name_taken"
    IN_USE = "in_use"
    PROTECTED = "protected"
    GRANT_EXCEEDS_OWN = "grant_exceeds_own"
    LAST_SUPERUSER = "last_superuser"
    PLATFORM_ONLY = "platform_only"
    NOT_A_MEMBER = "not_a_member"
    ORGANIZATION_INACTIVE = "organization_inactive"
    ORGANIZATION_TOO_DEEP = "organization_too_deep"
    ORGANIZATION_CYCLE = "organization_cycle"
    SEATS_EXHAUSTED = "seats_exhausted"
    LAST_ADMINISTRATOR = "last_administrator"
    DOMAIN_TAKEN = "domain_taken"
    DOMAIN_UNVERIFIED = "domain_unverified"
    DNS_UNAVAILABLE = "dns_unavailable"
    ALREADY_A_MEMBER = "already_a_member"
    INVALID_INVITATION = "invalid_invitation"
    INVITATION_EXPIRED = "invitation_expired"
    INVITATION_ENDED = "invitation_ended"
    INVITATION_VOID = "invitation_void"
    ADDRESS_MISMATCH = "address_mismatch"
    INVALID_CREDENTIALS = "invalid_credentials"
    INVALID_REFRESH_TOKEN = "invalid_refresh_token"  # noqa: S105
    REFRESH_TOKEN_REUSED = "refresh_token_reused"  # noqa: S105
    SESSION_ENDED = "session_ended"
    UNKNOWN_AUDIENCE = "unknown_audience"
    UNKNOWN_PERMISSION = "unknown_permission"
    TOKEN_OVERSIZED = "token_oversized"  # noqa: S105
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    DATABASE_UNAVAILABLE = "database_unavailable"
    INTERNAL_ERROR = "internal_error"


class ProblemSpec(Struct, frozen=True):
    """What is fixed about a code: its HTTP status and its public text."""

    status: int
    detail: str


def _spec(status: HTTPStatus, detail: str) -> ProblemSpec:
    return ProblemSpec(int(status), detail)


_UNAUTHORIZED = HTTPStatus.UNAUTHORIZED
_CONFLICT = HTTPStatus.CONFLICT
_UNAVAILABLE = HTTPStatus.SERVICE_UNAVAILABLE

SPECS: MappingProxyType[ProblemCode, ProblemSpec] = MappingProxyType(
    {
        ProblemCode.MISSING_TOKEN: _spec(_UNAUTHORIZED, "An access token is required."),
        ProblemCode.INVALID_REQUEST: _spec(
            HTTPStatus.BAD_REQUEST,
            "The request is malformed. A token goes in exactly one Authorization header, "
            "as 'Bearer <token>'.",
        ),
        ProblemCode.MALFORMED_TOKEN: _spec(_UNAUTHORIZED, "The access token is malformed."),
        ProblemCode.TOKEN_TOO_LARGE: _spec(_UNAUTHORIZED, "The access token is too large."),
        ProblemCode.ALGORITHM_NOT_ALLOWED: _spec(
            _UNAUTHORIZED, "The access token's signature algorithm is not allowed."
        ),
        ProblemCode.WRONG_TYPE: _spec(_UNAUTHORIZED, "The token is not an access token."),
        ProblemCode.UNKNOWN_KEY: _spec(
            _UNAUTHORIZED, "The access token was signed with a key the issuer does not publish."
        ),
        ProblemCode.BAD_SIGNATURE: _spec(_UNAUTHORIZED, "The access token's signature is wrong."),
        ProblemCode.EXPIRED_TOKEN: _spec(_UNAUTHORIZED, "The access token has expired."),
        ProblemCode.NOT_YET_VALID: _spec(_UNAUTHORIZED, "The access token is not yet valid."),
        ProblemCode.WRONG_ISSUER: _spec(
            _UNAUTHORIZED, "The access token comes from another issuer."
        ),
        ProblemCode.WRONG_AUDIENCE: _spec(
            _UNAUTHORIZED, "The access token is meant for another service."
        ),
        ProblemCode.INVALID_CLAIM: _spec(
            _UNAUTHORIZED, "A claim of the access token is missing or invalid."
        ),
        ProblemCode.REVOKED_TOKEN: _spec(_UNAUTHORIZED, "The access token has been revoked."),
        ProblemCode.PERMISSION_DENIED: _spec(
            HTTPStatus.FORBIDDEN, "The access token does not carry the permission required here."
        ),
        ProblemCode.CSRF_FAILED: _spec(
            HTTPStatus.FORBIDDEN, "The request's origin could not be established."
        ),
        ProblemCode.KEYS_UNAVAILABLE: _spec(
            _UNAVAILABLE, "The issuer's keys are unavailable at the moment; try again."
        ),
        ProblemCode.STATUS_UNAVAILABLE: _spec(
            _UNAVAILABLE, "The issuer's status list is unavailable at the moment; try again."
        ),
        ProblemCode.VALIDATION_FAILED: _spec(
            HTTPStatus.UNPROCESSABLE_ENTITY, "The request has invalid fields."
        ),
        ProblemCode.MALFORMED_BODY: _spec(
            HTTPStatus.BAD_REQUEST, "The request body is not the JSON object it should be."
        ),
        ProblemCode.BODY_TOO_LARGE: _spec(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request body is too large."
        ),
        ProblemCode.UNSUPPORTED_MEDIA_TYPE: _spec(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the request body as application/json."
        ),
        ProblemCode.NOT_FOUND: _spec(HTTPStatus.NOT_FOUND, "There is nothing here."),
        ProblemCode.METHOD_NOT_ALLOWED: _spec(
            HTTPStatus.METHOD_NOT_ALLOWED, "The method is not allowed here."
        ),
        ProblemCode.CONFLICT: _spec(_CONFLICT, "The request conflicts with the present state."),
        ProblemCode.LOGIN_TAKEN: _spec(_CONFLICT, "The login name is taken."),
        ProblemCode.NAME_TAKEN: _spec(_CONFLICT, "The name is taken."),
        ProblemCode.IN_USE: _spec(_CONFLICT, "It is still in use."),
        ProblemCode.PROTECTED: _spec(_CONFLICT, "It is part of the system and cannot be changed."),
        ProblemCode.GRANT_EXCEEDS_OWN: _spec(
            HTTPStatus.FORBIDDEN, "You cannot grant permissions that you do not hold."
        ),
        ProblemCode.LAST_SUPERUSER: _spec(_CONFLICT, "The last superuser cannot be removed."),
        ProblemCode.PLATFORM_ONLY: _spec(
            HTTPStatus.FORBIDDEN,
            "This takes an access token that speaks for no organization; log in without one.",
        ),
        ProblemCode.NOT_A_MEMBER: _spec(
            HTTPStatus.FORBIDDEN, "You are not a member of that organization."
        ),
        ProblemCode.ORGANIZATION_INACTIVE: _spec(
            _CONFLICT, "The organization, one above it, or its tenant is not active."
        ),
        ProblemCode.ORGANIZATION_TOO_DEEP: _spec(
            _CONFLICT, "The tree of organizations would be more than 8 deep."
        ),
        ProblemCode.ORGANIZATION_CYCLE: _spec(
            _CONFLICT, "An organization cannot be below itself, nor can the root be moved."
        ),
        ProblemCode.SEATS_EXHAUSTED: _spec(_CONFLICT, "The tenant has no seat left."),
        ProblemCode.LAST_ADMINISTRATOR: _spec(
            _CONFLICT, "The last administrator of the tenant cannot be removed."
        ),
        ProblemCode.DOMAIN_TAKEN: _spec(_CONFLICT, "The host name belongs to another tenant."),
        ProblemCode.DOMAIN_UNVERIFIED: _spec(
            _CONFLICT, "The DNS does not show that the host name is the tenant's."
        ),
        ProblemCode.DNS_UNAVAILABLE: _spec(
            _UNAVAILABLE, "The DNS could not be asked at the moment; try again."
        ),
        ProblemCode.ALREADY_A_MEMBER: _spec(_CONFLICT, "The person is already a member."),
        ProblemCode.INVALID_INVITATION: _spec(
            HTTPStatus.UNPROCESSABLE_ENTITY, "The invitation is not valid."
        ),
        ProblemCode.INVITATION_EXPIRED: _spec(
            HTTPStatus.GONE, "The invitation has expired; ask for a new one."
        ),
        ProblemCode.INVITATION_ENDED: _spec(
            HTTPStatus.GONE, "The invitation has been accepted, revoked or sent anew."
        ),
        ProblemCode.INVITATION_VOID: _spec(
            _CONFLICT,
            "Whoever sent the invitation can no longer give what it promises; ask for a new one.",
        ),
        ProblemCode.ADDRESS_MISMATCH: _spec(
            HTTPStatus.FORBIDDEN, "The invitation is for another address than the account's."
        ),
        ProblemCode.INVALID_CREDENTIALS: _spec(
            _UNAUTHORIZED, "The login name or the password is wrong."
        ),
        ProblemCode.INVALID_REFRESH_TOKEN: _spec(
            _UNAUTHORIZED, "The refresh token is not valid; log in again."
        ),
        ProblemCode.REFRESH_TOKEN_REUSED: _spec(
            _UNAUTHORIZED,
            "The refresh token was used before; the session has been ended. Log in again.",
        ),
        ProblemCode.SESSION_ENDED: _spec(_UNAUTHORIZED, "The session has ended; log in again."),
        ProblemCode.UNKNOWN_AUDIENCE: _spec(
            HTTPStatus.UNPROCESSABLE_ENTITY, "The audience names no registered service."
        ),
        ProblemCode.UNKNOWN_PERMISSION: _spec(
            HTTPStatus.UNPROCESSABLE_ENTITY, "The permission is not in the catalogue."
        ),
        ProblemCode.TOKEN_OVERSIZED: _spec(
            _CONFLICT, "The access token would be too large; name fewer audiences or grants."
        ),
        ProblemCode.RATE_LIMITED: _spec(
            HTTPStatus.TOO_MANY_REQUESTS, "Too many attempts; try again later."
        ),
        ProblemCode.OVERLOADED: _spec(_UNAVAILABLE, "The issuer is busy; try again shortly."),
        ProblemCode.DATABASE_UNAVAILABLE: _spec(
            _UNAVAILABLE, "The database is unavailable at the moment; try again."
        ),
        ProblemCode.INTERNAL_ERROR: _spec(
            HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side."
        ),
    }
)
"""Every code with its status and text. The text is public and never varies."""


class FieldError(Struct, frozen=True):
    """One invalid field of a request."""

    field: str
    """Path of the field, such as ``login`` or ``grants[2].permission``."""
    detail: str


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Body of every error answer (RFC 9457 section 3).

    ``type`` is ``about:blank``, so ``title`` is the phrase of the HTTP status
    (section 4.2.1); ``code`` is what programs read.
    """

    title: str
    status: int
    detail: str
    code: ProblemCode
    claim: str | None = None
    """The claim at fault, with ``invalid_claim``."""
    missing: tuple[str, ...] = ()
    """The permissions that would have helped, with ``permission_denied``."""
    errors: tuple[FieldError, ...] = ()
    """The fields at fault, with ``validation_failed`` and, at times, ``invalid_request``."""
    request_id: str | None = None
    """What to quote to the operator, with ``internal_error``."""

    @classmethod
    def of(cls, code: ProblemCode, **extensions: Any) -> Problem:
        """Return the problem for *code* with its fixed status and text."""
        spec = SPECS[code]
        title = HTTPStatus(spec.status).phrase
        return cls(title=title, status=spec.status, detail=spec.detail, code=code, **extensions)
