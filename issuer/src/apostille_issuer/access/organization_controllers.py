"""Routes of the roles of organizations."""

from __future__ import annotations

import uuid

from litestar import Controller, Response, delete, get, patch, post
from litestar.params import FromPath, JSONBody

from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.controllers import (
    EXCEEDS,
    INVALID,
    NOT_FOUND,
    PROTECTED,
    ROLES_READ,
    ROLES_WRITE,
    TAKEN,
    UNKNOWN,
    Access,
    Context,
    RoleName,
)
from apostille_issuer.access.schemas import RoleClone, RoleDraft, RoleHolder, RolePatch, RoleView
from apostille_issuer.http.answers import guarded
from apostille_issuer.http.paging import DEFAULT_LIMIT, Cursor, Limit, Page
from apostille_issuer.http.platform import WITHIN_ORGANIZATION

__all__ = ["OrganizationRoleController"]

LAST = ProblemCode.LAST_ADMINISTRATOR
FULL = ProblemCode.CONFLICT


class OrganizationRoleController(Controller):
    """The roles that can be given in an organization."""

    path = "/v1/organizations/{organization_id:uuid}/roles"
    tags = ["Roles"]  # noqa: RUF012
    opt = {WITHIN_ORGANIZATION: True}  # noqa: RUF012

    @get(guards=[ROLES_READ], responses=guarded(NOT_FOUND, INVALID, anywhere=True))
    async def list_organization_roles(
        self,
        organization_id: FromPath[uuid.UUID],
        access: Access,
        context: Context,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[RoleView]:
        """List the roles to be seen in an organization in order of their names.

        They are its own, those of organizations above it, and those that are
        for all, whose `organization_id` is null.
        """
        return await access.organization_roles.page(
            organization_id, context, cursor=cursor, limit=limit
        )

    @post(
        guards=[ROLES_WRITE],
        responses=guarded(NOT_FOUND, UNKNOWN, TAKEN, EXCEEDS, FULL, body=True, anywhere=True),
    )
    async def create_organization_role(
        self,
        organization_id: FromPath[uuid.UUID],
        data: JSONBody[RoleDraft],
        access: Access,
        context: Context,
    ) -> Response[RoleView]:
        """Create a role of an organization, for it and those below it.

        Nobody can allow by a role what he does not hold there himself; and
        not below either, if the role is inherited. Its name is that of no
        other role of the tenant, and of none that is for all.
        """
        role = await access.organization_roles.create(organization_id, data, context)
        return _created(role)

    @get(
        "/{role:str}",
        guards=[ROLES_READ],
        responses=guarded(NOT_FOUND, anywhere=True),
    )
    async def get_organization_role(
        self,
        organization_id: FromPath[uuid.UUID],
        role: RoleName,
        access: Access,
        context: Context,
    ) -> RoleView:
        """Show one role that is to be seen in an organization."""
        return await access.organization_roles.get(organization_id, role, context)

    @patch(
        "/{role:str}",
        guards=[ROLES_WRITE],
        responses=guarded(
            NOT_FOUND, UNKNOWN, TAKEN, PROTECTED, EXCEEDS, LAST, body=True, anywhere=True
        ),
    )
    async def update_organization_role(
        self,
        organization_id: FromPath[uuid.UUID],
        role: RoleName,
        data: JSONBody[RolePatch],
        access: Access,
        context: Context,
    ) -> RoleView:
        """Change a role of an organization; `allow` and `deny` are replaced as a whole.

        Only the organization's own. Nobody can allow more, or deny less, than
        he holds himself where the role counts.
        """
        return await access.organization_roles.update(organization_id, role, data, context)

    @delete(
        "/{role:str}",
        guards=[ROLES_WRITE],
        responses=guarded(NOT_FOUND, PROTECTED, EXCEEDS, LAST, anywhere=True),
    )
    async def delete_organization_role(
        self,
        organization_id: FromPath[uuid.UUID],
        role: RoleName,
        access: Access,
        context: Context,
    ) -> None:
        """Delete a role of an organization, and take it away from everybody."""
        await access.organization_roles.delete(organization_id, role, context)

    @post(
        "/{role:str}/clone",
        guards=[ROLES_WRITE],
        responses=guarded(NOT_FOUND, UNKNOWN, TAKEN, EXCEEDS, FULL, body=True, anywhere=True),
    )
    async def clone_organization_role(
        self,
        organization_id: FromPath[uuid.UUID],
        role: RoleName,
        data: JSONBody[RoleClone],
        access: Access,
        context: Context,
    ) -> Response[RoleView]:
        """Create a role of an organization that grants what another one does.

        The other one may be any that is to be seen there. Afterwards the two
        have nothing to do with each other.
        """
        made = await access.organization_roles.clone(organization_id, role, data, context)
        return _created(made)

    @get(
        "/{role:str}/members",
        guards=[ROLES_READ],
        responses=guarded(NOT_FOUND, INVALID, anywhere=True),
    )
    async def list_organization_role_members(  # noqa: PLR0913, PLR0917 - what a request says
        self,
        organization_id: FromPath[uuid.UUID],
        role: RoleName,
        access: Access,
        context: Context,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[RoleHolder]:
        """List who holds a role by membership in an organization or below it."""
        return await access.organization_roles.members(
            organization_id, role, context, cursor=cursor, limit=limit
        )


def _created(role: RoleView) -> Response[RoleView]:
    location = f"/v1/organizations/{role.organization_id}/roles/{role.name}"
    return Response(role, headers={"location": location})
