"""Routes of roles, the catalogue and assignments."""

from __future__ import annotations

import uuid
from typing import Annotated

from litestar import Controller, Response, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter

from apostille_adapters.litestar import HasPermission
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.schemas import (
    Assignment,
    EffectivePermissions,
    PermissionDraft,
    PermissionPatch,
    PermissionView,
    RoleClone,
    RoleDraft,
    RoleHolder,
    RolePatch,
    RoleView,
)
from apostille_issuer.access.service import AccessService
from apostille_issuer.http.answers import guarded
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import DEFAULT_LIMIT, Cursor, Limit, Page
from apostille_issuer.http.platform import WITHIN_ORGANIZATION

__all__ = [
    "AssignmentController",
    "PermissionController",
    "RoleController",
]

ROLES_READ = HasPermission(IssuerPermission.ROLES_READ)
ROLES_WRITE = HasPermission(IssuerPermission.ROLES_WRITE)
PERMISSIONS_READ = HasPermission(IssuerPermission.PERMISSIONS_READ)
PERMISSIONS_WRITE = HasPermission(IssuerPermission.PERMISSIONS_WRITE)

NOT_FOUND = ProblemCode.NOT_FOUND
INVALID = ProblemCode.VALIDATION_FAILED
PROTECTED = ProblemCode.PROTECTED
TAKEN = ProblemCode.NAME_TAKEN
IN_USE = ProblemCode.IN_USE
UNKNOWN = ProblemCode.UNKNOWN_PERMISSION
EXCEEDS = ProblemCode.GRANT_EXCEEDS_OWN

Access = NamedDependency[AccessService]
Context = NamedDependency[RequestContext]

RoleName = Annotated[str, PathParameter(description="Name or identifier of the role.")]
PermissionName = Annotated[str, PathParameter(description="Name of the permission.")]
Audiences = Annotated[
    list[str] | None,
    QueryParameter(description="Audience of a token; may be repeated. Without it, all of them."),
]

Organization = Annotated[
    uuid.UUID | None, QueryParameter(description="Whom the token would speak for.")
]


class RoleController(Controller):
    """Roles and what they grant."""

    path = "/v1/roles"
    tags = ["Roles"]  # noqa: RUF012 - Litestar's way to configure a controller

    @get(guards=[ROLES_READ], responses=guarded(INVALID))
    async def list_roles(
        self,
        access: Access,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[RoleView]:
        """List roles in order of their names."""
        return await access.roles.page(cursor=cursor, limit=limit)

    @post(guards=[ROLES_WRITE], responses=guarded(UNKNOWN, TAKEN, EXCEEDS, body=True))
    async def create_role(
        self,
        data: JSONBody[RoleDraft],
        access: Access,
        context: Context,
    ) -> Response[RoleView]:
        """Create a custom role.

        Nobody can allow by a role what he does not hold himself.
        """
        role = await access.roles.create(data, context)
        return Response(role, headers={"location": f"/v1/roles/{role.name}"})

    @get("/{role:str}", guards=[ROLES_READ], responses=guarded(NOT_FOUND))
    async def get_role(self, role: RoleName, access: Access) -> RoleView:
        """Show one role."""
        return await access.roles.get(role)

    @patch(
        "/{role:str}",
        guards=[ROLES_WRITE],
        responses=guarded(NOT_FOUND, UNKNOWN, TAKEN, PROTECTED, EXCEEDS, body=True),
    )
    async def update_role(
        self,
        role: RoleName,
        data: JSONBody[RolePatch],
        access: Access,
        context: Context,
    ) -> RoleView:
        """Change a custom role; `allow` and `deny` are replaced as a whole.

        Nobody can allow more, or deny less, than he holds himself. Denying
        more to a role that a superuser holds takes a superuser.
        """
        return await access.roles.update(role, data, context)

    @delete("/{role:str}", guards=[ROLES_WRITE], responses=guarded(NOT_FOUND, PROTECTED, EXCEEDS))
    async def delete_role(
        self,
        role: RoleName,
        access: Access,
        context: Context,
    ) -> None:
        """Delete a custom role, and everybody's assignment of it."""
        await access.roles.delete(role, context)

    @post(
        "/{role:str}/clone",
        guards=[ROLES_WRITE],
        responses=guarded(NOT_FOUND, UNKNOWN, TAKEN, PROTECTED, EXCEEDS, body=True),
    )
    async def clone_role(
        self,
        role: RoleName,
        data: JSONBody[RoleClone],
        access: Access,
        context: Context,
    ) -> Response[RoleView]:
        """Create a custom role that grants what another one does.

        Afterwards the two have nothing to do with each other.
        """
        made = await access.roles.clone(role, data, context)
        return Response(made, headers={"location": f"/v1/roles/{made.name}"})

    @get("/{role:str}/members", guards=[ROLES_READ], responses=guarded(NOT_FOUND, INVALID))
    async def list_role_members(
        self,
        role: RoleName,
        access: Access,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[RoleHolder]:
        """List who holds a role: everywhere, or by membership in any organization."""
        return await access.roles.members(role, cursor=cursor, limit=limit)


class PermissionController(Controller):
    """The catalogue of permissions."""

    path = "/v1/permissions"
    tags = ["Permissions"]  # noqa: RUF012

    @get(
        guards=[PERMISSIONS_READ],
        responses=guarded(INVALID, anywhere=True),
        opt={WITHIN_ORGANIZATION: True},
    )
    async def list_permissions(
        self,
        access: Access,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[PermissionView]:
        """List the catalogue in order of names, hence by module."""
        return await access.permissions.page(cursor=cursor, limit=limit)

    @post(
        guards=[PERMISSIONS_WRITE],
        responses=guarded(TAKEN, PROTECTED, ProblemCode.CONFLICT, body=True),
    )
    async def create_permission(
        self,
        data: JSONBody[PermissionDraft],
        access: Access,
        context: Context,
    ) -> Response[PermissionView]:
        """Add a permission to the catalogue.

        A module, the first segment of the name, belongs to one service. A
        permission without a service is in no token until a manifest declares it.
        """
        permission = await access.permissions.create(data, context)
        return Response(permission, headers={"location": f"/v1/permissions/{permission.name}"})

    @get(
        "/{name:str}",
        guards=[PERMISSIONS_READ],
        responses=guarded(NOT_FOUND, anywhere=True),
        opt={WITHIN_ORGANIZATION: True},
    )
    async def get_permission(self, name: PermissionName, access: Access) -> PermissionView:
        """Show one permission."""
        return await access.permissions.get(name)

    @patch(
        "/{name:str}",
        guards=[PERMISSIONS_WRITE],
        responses=guarded(NOT_FOUND, PROTECTED, body=True),
    )
    async def update_permission(
        self,
        name: PermissionName,
        data: JSONBody[PermissionPatch],
        access: Access,
        context: Context,
    ) -> PermissionView:
        """Change the description; the next manifest of its service may change it again."""
        return await access.permissions.update(name, data, context)

    @delete(
        "/{name:str}", guards=[PERMISSIONS_WRITE], responses=guarded(NOT_FOUND, PROTECTED, IN_USE)
    )
    async def delete_permission(
        self,
        name: PermissionName,
        access: Access,
        context: Context,
    ) -> None:
        """Remove a permission that no role names."""
        await access.permissions.delete(name, context)


class AssignmentController(Controller):
    """The roles of users."""

    path = "/v1/users/{user_id:uuid}"
    tags = ["Roles"]  # noqa: RUF012

    @get("/roles", guards=[ROLES_READ], responses=guarded(NOT_FOUND, INVALID))
    async def list_user_roles(
        self,
        user_id: FromPath[uuid.UUID],
        access: Access,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[Assignment]:
        """List the roles of a user in order of their names."""
        return await access.assignments.page(user_id, cursor=cursor, limit=limit)

    @put(
        "/roles/{role:str}",
        guards=[ROLES_WRITE],
        status_code=204,
        responses=guarded(NOT_FOUND, EXCEEDS, PROTECTED),
    )
    async def assign_role(
        self,
        user_id: FromPath[uuid.UUID],
        role: RoleName,
        access: Access,
        context: Context,
    ) -> None:
        """Give a user a role.

        Nobody can give a role that allows or denies what he does not hold
        himself, nor change the roles of somebody who has more rights over the
        issuer. A superuser holds no role that denies.
        """
        await access.assignments.assign(user_id, role, context)

    @delete(
        "/roles/{role:str}",
        guards=[ROLES_WRITE],
        responses=guarded(NOT_FOUND, EXCEEDS, ProblemCode.LAST_SUPERUSER),
    )
    async def unassign_role(
        self,
        user_id: FromPath[uuid.UUID],
        role: RoleName,
        access: Access,
        context: Context,
    ) -> None:
        """Take a role away from a user; the last superuser stays one."""
        await access.assignments.unassign(user_id, role, context)

    @get(
        "/effective-permissions",
        guards=[ROLES_READ],
        opt={WITHIN_ORGANIZATION: True},
        responses=guarded(
            NOT_FOUND,
            INVALID,
            ProblemCode.UNKNOWN_AUDIENCE,
            ProblemCode.NOT_A_MEMBER,
            anywhere=True,
        ),
    )
    async def effective_permissions(
        self,
        user_id: FromPath[uuid.UUID],
        access: Access,
        context: Context,
        organization: Organization = None,
        audience: Audiences = None,
    ) -> EffectivePermissions:
        """Show what a user may do, as his next token would say it, and by which grants.

        Whose token speaks for an organization asks about that one, or another
        one of its tenant where he holds `iam.members.read`.
        """
        return await access.effective_permissions(
            user_id, audience, organization_id=organization, context=context
        )
