"""What a membership gives beside roles: a plan of its own, and extra OAuth scopes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.holdings import scopes_in
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem

__all__ = ["NO_EXTRAS", "Extras", "check_plan", "check_scopes", "require_may_grant"]

_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""A scope-token (RFC 6749 section 3.3)."""


class Extras(Struct, frozen=True):
    """What a membership gives beside roles."""

    plan: str | None = None
    """Instead of the tenant's."""
    scopes: tuple[str, ...] = ()


NO_EXTRAS: Final = Extras()


def check_plan(plan: str | None) -> str | None:
    """Return *plan* if it can be stored and shown.

    Raises:
        IssuerProblem: ``validation_failed``.
    """
    if plan is not None and not plan.isprintable():
        raise IssuerProblem.invalid_field("plan", "one line of printable characters")
    return plan


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return *scopes*, each once, in alphabetical order.

    Raises:
        IssuerProblem: ``validation_failed``, naming each that is none.
    """
    given = tuple(scopes)
    errors = tuple(
        FieldError(f"scopes[{index}]", "printable ASCII without space, quotes and backslash")
        for index, scope in enumerate(given)
        if _SCOPE.fullmatch(scope) is None
    )
    if errors:
        raise IssuerProblem(ProblemCode.VALIDATION_FAILED, errors=errors)
    return tuple(sorted(set(given)))


async def require_may_grant(
    session: AsyncSession,
    context: RequestContext,
    organization_id: uuid.UUID,
    wanted: Extras,
    had: Extras = NO_EXTRAS,
) -> None:
    """Let a tenant's administrator hand on no scope that he does not have himself, and no plan.

    The plan is what the tenant pays for. The platform's administrators may do both.

    Args:
        session: A transaction that reaches over the organization's tenant.
        context: Who acts.
        organization_id: Where.
        wanted: What the membership is to give.
        had: What it has given until now.

    Raises:
        IssuerProblem: ``platform_only``, naming the plan; ``grant_exceeds_own``,
            naming the scopes.
    """
    if context.organization_id is None:
        return
    if wanted.plan != had.plan:
        error = FieldError("plan", "is for the platform's administrators to decide")
        raise IssuerProblem(ProblemCode.PLATFORM_ONLY, errors=(error,))
    if added := set(wanted.scopes) - set(had.scopes):
        own = await scopes_in(session, context.actor_id, organization_id)
        if missing := tuple(sorted(added - own)):
            raise IssuerProblem(ProblemCode.GRANT_EXCEEDS_OWN, missing=missing)
