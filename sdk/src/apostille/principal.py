"""Whom a verified token speaks for, and what he may do."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from msgspec import UNSET

from apostille_contracts.claims import AccessTokenClaims, Actor
from apostille_contracts.permissions import InvalidPermission, PermissionSet, parse_permission

from .errors import ConfigurationError, PermissionDenied

__all__ = ["Principal", "VerifiedClaims"]

_NO_TEXTS = "permissions are asked for one by one: has('inventory.read', 'inventory.write')"


class VerifiedClaims(AccessTokenClaims, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Claims whose signature, issuer, audience and times have been checked.

    Only the verifier makes them; a test that makes them says so by this name.
    """


@lru_cache(maxsize=4096)
def _askable(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return *names*, each a permission that can be asked for.

    Raises:
        ConfigurationError: There are none ("all of nothing" would be true of
            everybody), or one is malformed or a wildcard.
    """
    if not names:
        raise ConfigurationError("name at least one permission")
    for name in names:
        try:
            parse_permission(name)
        except (InvalidPermission, TypeError) as error:
            raise ConfigurationError(f"{name!r} cannot be asked for: {error}") from error
    return names


class Principal:
    """The subject of a verified token. Immutable; shared by all requests of one token.

    Equal to another principal exactly if all claims are equal.

    Args:
        claims: What the token says. Verify a token to get a principal; only
            tests make one by hand.
    """

    __slots__ = ("_claims", "_permissions")

    def __init__(self, claims: VerifiedClaims) -> None:
        """Speak for the subject of *claims*."""
        self._claims = claims
        # Made at the first question: many requests of a service ask nothing,
        # and two threads that make it at once make the same.
        self._permissions: PermissionSet | None = None

    @property
    def claims(self) -> VerifiedClaims:
        """All claims of contract v1, immutable."""
        return self._claims

    @property
    def subject(self) -> str:
        """``sub``: the user, or the client that acts for itself."""
        return self._claims.sub

    @property
    def client(self) -> str:
        """``client_id``: the application the token was given to."""
        return self._claims.client_id

    @property
    def tenant(self) -> str | None:
        """``tid``: the tenant, if any."""
        value = self._claims.tid
        return None if value is UNSET else value

    @property
    def organization(self) -> str | None:
        """``org``: the active organization, if any."""
        value = self._claims.org
        return None if value is UNSET else value

    @property
    def session(self) -> str | None:
        """``sid``: the login this token belongs to, if any."""
        value = self._claims.sid
        return None if value is UNSET else value

    @property
    def roles(self) -> tuple[str, ...]:
        """``roles``: role names, for display and coarse checks."""
        return self._claims.roles

    @property
    def permissions(self) -> tuple[str, ...]:
        """``permissions``: grants as they stand in the token; :meth:`has` knows wildcards."""
        return self._claims.permissions

    @property
    def scope(self) -> frozenset[str]:
        """``scope``: OAuth scopes (RFC 8693 section 4.2)."""
        return frozenset(self._claims.scope.split())

    @property
    def plan(self) -> str | None:
        """``plan``: the plan in force, if any."""
        value = self._claims.plan
        return None if value is UNSET else value

    @property
    def actor(self) -> Actor | None:
        """``act``: who acts for the subject, such as support staff (RFC 8693 section 4.1)."""
        value = self._claims.act
        return None if value is UNSET else value

    @property
    def expires_at(self) -> datetime:
        """``exp``, in UTC."""
        return datetime.fromtimestamp(self._claims.exp, UTC)

    @property
    def authenticated_at(self) -> datetime | None:
        """``auth_time``: when the person proved who he is, in UTC, if known."""
        value = self._claims.auth_time
        return None if value is UNSET else datetime.fromtimestamp(value, UTC)

    def has(self, *names: str) -> bool:
        """Say whether the token grants all permissions *names*.

        Raises:
            ConfigurationError: No name, a malformed one, or a wildcard.
        """
        held = self._permissions or self._hold()
        try:
            for name in _askable(names):  # all() takes twice as long for one name
                if not held.covers(name):
                    return False
        except TypeError as error:
            raise ConfigurationError(_NO_TEXTS) from error
        return True

    def has_any(self, *names: str) -> bool:
        """Say whether the token grants at least one of the permissions *names*.

        Raises:
            ConfigurationError: No name, a malformed one, or a wildcard.
        """
        held = self._permissions or self._hold()
        try:
            for name in _askable(names):
                if held.covers(name):
                    return True
        except TypeError as error:
            raise ConfigurationError(_NO_TEXTS) from error
        return False

    def require(self, *names: str) -> None:
        """Return if the token grants all permissions *names*.

        Raises:
            PermissionDenied: It does not; ``missing`` says which.
            ConfigurationError: No name, a malformed one, or a wildcard.
        """
        if not self.has(*names):
            held = self._hold()
            raise PermissionDenied(tuple(name for name in names if not held.covers(name)))

    def _hold(self) -> PermissionSet:
        held = self._permissions = PermissionSet(self._claims.permissions)
        return held

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Principal):
            return NotImplemented
        return self._claims == other._claims

    def __hash__(self) -> int:
        return hash((self._claims.iss, self._claims.jti, self._claims.sub))

    def __repr__(self) -> str:
        return f"Principal(subject={self.subject!r}, client={self.client!r})"
