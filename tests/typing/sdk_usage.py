"""Uses of the SDK that must type-check, and uses that must not.

Nothing here runs. mypy reads it (``nox -s types``): every ignored line below must be
an error, or ``warn_unused_ignores`` makes the ignore one.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import assert_type

from apostille import AsyncVerifier, Principal, StaticKeys, Verifier
from apostille.clock import ManualClock
from apostille.errors import InvalidClaim, KeysUnavailable, PermissionDenied
from apostille.events import Event, Health
from apostille.principal import VerifiedClaims
from apostille_contracts.claims import AccessTokenClaims, Actor

# What must type-check.


def hook(event: Event) -> None:
    assert_type(event.issuer, str)


iam = Verifier("https://iam.example.com", audience="inventory", on_event=hook)
several = Verifier.of(iam, Verifier("https://b.example", audience=["a", "b"], clock=ManualClock()))
given = AsyncVerifier("https://a.example", audience="a", keys=StaticKeys({"keys": []}))

assert_type(several, Verifier)
assert_type(iam.verify("token"), Principal)
assert_type(iam.warm(), None)
assert_type(iam.health(), Health)
assert_type(iam.audience, tuple[str, ...])
assert_type(AsyncVerifier.of(given), AsyncVerifier)


async def verified(token: str) -> Principal:
    async with given as opened:
        return await opened.verify(token)


def read(principal: Principal) -> None:
    assert_type(principal.tenant, str | None)
    assert_type(principal.scope, frozenset[str])
    assert_type(principal.permissions, tuple[str, ...])
    assert_type(principal.actor, Actor | None)
    assert_type(principal.expires_at, datetime)
    assert_type(principal.authenticated_at, datetime | None)
    assert_type(principal.claims, VerifiedClaims)
    assert_type(principal.has("a.b", "c.d"), bool)
    claims: AccessTokenClaims = principal.claims
    assert_type(claims.sub, str)


def explained(error: InvalidClaim | PermissionDenied | KeysUnavailable) -> object:
    match error:
        case InvalidClaim():
            return assert_type(error.claim, str)
        case PermissionDenied():
            return assert_type(error.missing, tuple[str, ...])
        case KeysUnavailable():
            return assert_type(error.retry_after, timedelta)


# What must not.

Verifier("https://iam.example.com")  # type: ignore[call-arg]
Verifier("https://iam.example.com", "inventory")  # type: ignore[call-arg]
Verifier("https://iam.example.com", audience=None)  # type: ignore[arg-type]
Verifier("https://iam.example.com", audience="a", leeway=30)  # type: ignore[arg-type]
Verifier("https://iam.example.com", audience="a", algorithms=["HS256"])  # type: ignore[list-item]
Verifier("https://iam.example.com", audience="a", keys={"keys": []})  # type: ignore[arg-type]
Verifier("https://iam.example.com", audience="a", verify=False)  # type: ignore[call-arg]
Verifier.of(given)  # type: ignore[arg-type]
iam.verify(b"token")  # type: ignore[arg-type]
iam.verify(None)  # type: ignore[arg-type]
iam.verify("token").has(["inventory.read"])  # type: ignore[arg-type]
iam.verify("token").subject = "somebody"  # type: ignore[misc]
subject = given.verify("token").subject  # type: ignore[attr-defined]
Principal(AccessTokenClaims(  # type: ignore[arg-type]
    iss="a", sub="b", aud="c", client_id="d", exp=1, iat=1, jti="e",
))  # fmt: skip


def not_awaited(token: str) -> Awaitable[Principal]:
    return iam.verify(token)  # type: ignore[return-value]
