"""Routes of members, and of what one is a member of oneself."""

from __future__ import annotations

import uuid
from typing import Annotated, TypeAlias, get_args

import msgspec
from litestar import Controller, Response, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter

from apostille_adapters.litestar import CurrentPrincipal, HasPermission, authenticated
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.http.answers import guarded, signed_in
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import DEFAULT_LIMIT, Cursor, Limit, Page
from apostille_issuer.http.platform import WITHIN_ORGANIZATION
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.schemas.memberships import (
    MemberDraft,
    MemberFilter,
    MemberPatch,
    MemberState,
    MemberView,
    OwnMembership,
)
from apostille_issuer.tenancy.service import TenancyService

__all__ = ["MemberController", "OwnMembershipController"]

Tenancy: TypeAlias = NamedDependency[TenancyService]
Context: TypeAlias = NamedDependency[RequestContext]
OrganizationId: TypeAlias = FromPath[uuid.UUID]
UserId: TypeAlias = FromPath[uuid.UUID]
RoleName = Annotated[str, PathParameter(description="Name or identifier of the role.")]

READ = HasPermission(IssuerPermission.MEMBERS_READ)
WRITE = HasPermission(IssuerPermission.MEMBERS_WRITE)

NOT_FOUND = ProblemCode.NOT_FOUND
INVALID = ProblemCode.VALIDATION_FAILED
EXCEEDS = ProblemCode.GRANT_EXCEEDS_OWN
PLATFORM_ONLY = ProblemCode.PLATFORM_ONLY
PROTECTED = ProblemCode.PROTECTED
LAST = ProblemCode.LAST_ADMINISTRATOR
NO_SEAT = ProblemCode.SEATS_EXHAUSTED

# "state" is a name that Litestar keeps for itself. Checked here, since Litestar
# would name the parameter of the handler in its complaint.
StateFilter = Annotated[
    str | None,
    QueryParameter(
        name="state", description="Only these.", schema_extra={"enum": list(get_args(MemberState))}
    ),
]
LoginPrefix = Annotated[
    str | None, QueryParameter(description="What the login name begins with, in any case.")
]
RoleFilter = Annotated[
    str | None, QueryParameter(description="Only who was given this role there, by name or id.")
]
Subtree = Annotated[
    bool, QueryParameter(description="The members of all organizations below it, too.")
]


class MemberController(Controller):
    """Members of organizations."""

    path = "/v1/organizations/{organization_id:uuid}/members"
    tags = ["Members"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {WITHIN_ORGANIZATION: True}  # noqa: RUF012 - the same

    @get(guards=[READ], responses=guarded(NOT_FOUND, INVALID, anywhere=True))
    async def list_members(  # noqa: PLR0913 - the filters, by name
        self,
        *,
        organization_id: OrganizationId,
        tenancy: Tenancy,
        context: Context,
        login: LoginPrefix = None,
        role: RoleFilter = None,
        member_state: StateFilter = None,
        subtree: Subtree = False,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[MemberView]:
        """List the members of an organization, in the order their accounts were created in.

        With `subtree` somebody is listed once for each organization that he is in.
        """
        wanted = MemberFilter(login=login, role=role, state=_state(member_state), subtree=subtree)
        return await tenancy.memberships.page(
            organization_id, wanted, context, cursor=cursor, limit=limit
        )

    @post(
        guards=[WRITE],
        responses=guarded(
            NOT_FOUND,
            EXCEEDS,
            PLATFORM_ONLY,
            ProblemCode.ALREADY_A_MEMBER,
            ProblemCode.ORGANIZATION_INACTIVE,
            NO_SEAT,
            PROTECTED,
            body=True,
            anywhere=True,
        ),
    )
    async def add_member(
        self,
        organization_id: OrganizationId,
        data: JSONBody[MemberDraft],
        tenancy: Tenancy,
        context: Context,
    ) -> Response[MemberView]:
        """Make a user a member of an organization, with roles.

        Whose token speaks for an organization finds no users outside of its
        tenant: he invites them. Nobody can give a role that allows or denies
        what he does not hold himself, there and, if the role is inherited, in
        all below it.
        """
        member = await tenancy.memberships.add(organization_id, data, context)
        location = f"/v1/organizations/{organization_id}/members/{member.user_id}"
        return Response(member, headers={"location": location})

    @get("/{user_id:uuid}", guards=[READ], responses=guarded(NOT_FOUND, anywhere=True))
    async def get_member(
        self, organization_id: OrganizationId, user_id: UserId, tenancy: Tenancy, context: Context
    ) -> MemberView:
        """Show one member."""
        return await tenancy.memberships.get(organization_id, user_id, context)

    @patch(
        "/{user_id:uuid}",
        guards=[WRITE],
        responses=guarded(
            NOT_FOUND, EXCEEDS, PLATFORM_ONLY, LAST, NO_SEAT, PROTECTED, body=True, anywhere=True
        ),
    )
    async def update_member(
        self,
        organization_id: OrganizationId,
        user_id: UserId,
        data: JSONBody[MemberPatch],
        tenancy: Tenancy,
        context: Context,
    ) -> MemberView:
        """Suspend a member or make him active again; replace his plan and extra scopes.

        Suspending takes everything away that the membership gives and ends the
        sessions that live by it; no seat is taken meanwhile.
        """
        return await tenancy.memberships.update(organization_id, user_id, data, context)

    @delete(
        "/{user_id:uuid}",
        guards=[WRITE],
        responses=guarded(NOT_FOUND, EXCEEDS, LAST, anywhere=True),
    )
    async def remove_member(
        self, organization_id: OrganizationId, user_id: UserId, tenancy: Tenancy, context: Context
    ) -> None:
        """Remove a member, and end the sessions that live by his membership."""
        await tenancy.memberships.remove(organization_id, user_id, context)

    @put(
        "/{user_id:uuid}/roles/{role:str}",
        guards=[WRITE],
        status_code=204,
        responses=guarded(NOT_FOUND, EXCEEDS, LAST, PROTECTED, anywhere=True),
    )
    async def give_member_role(
        self,
        organization_id: OrganizationId,
        user_id: UserId,
        role: RoleName,
        tenancy: Tenancy,
        context: Context,
    ) -> None:
        """Give a member a role: one that is for all, or of this organization or one above it.

        Nobody can give a role that allows or denies what he does not hold
        himself, there and, if the role is inherited, in all below it; nor
        change the roles of somebody who has more rights over the organization.
        `superuser` is given to nobody in an organization.
        """
        await tenancy.memberships.give_role(organization_id, user_id, role, context)

    @delete(
        "/{user_id:uuid}/roles/{role:str}",
        guards=[WRITE],
        responses=guarded(NOT_FOUND, EXCEEDS, LAST, PROTECTED, anywhere=True),
    )
    async def take_member_role(
        self,
        organization_id: OrganizationId,
        user_id: UserId,
        role: RoleName,
        tenancy: Tenancy,
        context: Context,
    ) -> None:
        """Take a role away from a member.

        A tenant's last administrator stays one, unless the platform's say otherwise.
        """
        await tenancy.memberships.take_role(organization_id, user_id, role, context)


class OwnMembershipController(Controller):
    """What one is a member of."""

    path = "/v1/me/memberships"
    tags = ["Own account"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {WITHIN_ORGANIZATION: True}  # noqa: RUF012 - the same
    guards = [authenticated]  # noqa: RUF012 - the same

    @get(responses=signed_in(INVALID))
    async def list_own_memberships(
        self,
        principal: CurrentPrincipal,
        tenancy: Tenancy,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[OwnMembership]:
        """List the organizations that the bearer may switch to, in order of their names."""
        user_id = uuid.UUID(principal.subject)
        return await tenancy.own_memberships.page(user_id, cursor=cursor, limit=limit)


def _state(text: str | None) -> MemberState | None:
    try:
        state: MemberState | None = msgspec.convert(text, MemberState | None)
    except msgspec.ValidationError as error:
        raise IssuerProblem.invalid_field("state", "must be active or suspended") from error
    return state
