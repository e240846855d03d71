"""What an invitation promises, and whether whoever made it can keep it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.denying import require_may_deny
from apostille_issuer.access.holders import just_him
from apostille_issuer.access.holdings import holdings_in
from apostille_issuer.access.memberships import (
    GrantedRole,
    Member,
    MemberRoles,
    require_may_give,
)
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.extras import Extras, require_may_grant
from apostille_issuer.tenancy.models import Invitation

__all__ = ["Promises"]

WRITE: Final = IssuerPermission.INVITATIONS_WRITE.value

_BROKEN: Final = frozenset(
    {
        ProblemCode.NOT_FOUND,
        ProblemCode.PERMISSION_DENIED,
        ProblemCode.GRANT_EXCEEDS_OWN,
        ProblemCode.PLATFORM_ONLY,
        ProblemCode.PROTECTED,
        ProblemCode.VALIDATION_FAILED,
    }
)
"""Why an inviter could not invite so any more."""


class Promises:
    """Judges what an invitation gives: when it is made, and again when it is accepted."""

    def __init__(self, members: MemberRoles) -> None:
        """Take what knows the roles of members."""
        self._members = members

    async def check(
        self,
        session: AsyncSession,
        context: RequestContext,
        organization_id: uuid.UUID,
        *,
        roles: Sequence[str],
        extras: Extras,
    ) -> tuple[GrantedRole, ...]:
        """Return the roles, if the actor may promise them and the extras there.

        Args:
            session: The transaction; under the policy lock.
            context: Who promises.
            organization_id: Where.
            roles: By name or identifier.
            extras: A plan of his own, and scopes.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``,
                ``grant_exceeds_own``, ``validation_failed``, ``protected``,
                ``platform_only``.
        """
        own = await holdings_in(session, context, organization_id, WRITE)
        await require_may_grant(session, context, organization_id, extras)
        granted = await self._members.find(session, organization_id, roles)
        require_may_give(own, granted)
        return granted

    async def keep(
        self, session: AsyncSession, row: Invitation, member: Member, context: RequestContext
    ) -> tuple[GrantedRole, ...]:
        """Return the roles that *row* promised *member*, if its inviter could promise them now.

        As one who acts in the organization, or for the platform: it does not
        matter as which of them he did.

        Args:
            session: The transaction; under the policy lock.
            row: The invitation.
            member: Who accepts it.
            context: Of the acceptance.

        Raises:
            IssuerProblem: ``invitation_void``.
        """
        extras = Extras(row.plan, tuple(row.scopes))
        for place in ((row.tenant_id, row.organization_id), (None, None)):
            inviter = msgspec.structs.replace(
                context, actor_id=row.invited_by, tenant_id=place[0], organization_id=place[1]
            )
            try:
                granted = await self.check(
                    session,
                    inviter,
                    row.organization_id,
                    roles=row.roles,
                    extras=extras,
                )
                # Whoever accepts does so for himself; but he is not lured out of office.
                if any(role.grants.denies for role in granted):
                    await require_may_deny(
                        session,
                        inviter,
                        just_him(member.user_id),
                        member.organization_id,
                        field="role",
                    )
            except IssuerProblem as problem:
                if problem.code not in _BROKEN:
                    raise
            else:
                return granted
        raise IssuerProblem(ProblemCode.INVITATION_VOID)
