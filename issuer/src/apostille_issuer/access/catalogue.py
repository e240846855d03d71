"""What the issuer brings along: its own permissions, and the system roles."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from apostille_contracts.manifest import SuggestedRole
from apostille_contracts.permissions import EVERYTHING

__all__ = [
    "INHERITED_ROLES",
    "ISSUER_PERMISSIONS",
    "ISSUER_SERVICE",
    "SYSTEM_ROLES",
    "IssuerPermission",
    "SystemRole",
]

ISSUER_SERVICE: Final = "apostille"
"""Name of the issuer itself among the services; its audience is a setting."""


class IssuerPermission(StrEnum):
    """What the routes of the issuer require."""

    USERS_READ = "iam.users.read"
    USERS_WRITE = "iam.users.write"
    ROLES_READ = "iam.roles.read"
    ROLES_WRITE = "iam.roles.write"
    PERMISSIONS_READ = "iam.permissions.read"
    PERMISSIONS_WRITE = "iam.permissions.write"
    SERVICES_READ = "iam.services.read"
    SERVICES_WRITE = "iam.services.write"
    KEYS_READ = "iam.keys.read"
    KEYS_WRITE = "iam.keys.write"
    SESSIONS_READ = "iam.sessions.read"
    SESSIONS_WRITE = "iam.sessions.write"
    AUDIT_READ = "iam.audit.read"
    TENANTS_READ = "iam.tenants.read"
    TENANTS_WRITE = "iam.tenants.write"
    ORGANIZATIONS_READ = "iam.organizations.read"
    ORGANIZATIONS_WRITE = "iam.organizations.write"
    MEMBERS_READ = "iam.members.read"
    MEMBERS_WRITE = "iam.members.write"
    INVITATIONS_READ = "iam.invitations.read"
    INVITATIONS_WRITE = "iam.invitations.write"
    CLIENTS_READ = "iam.clients.read"
    CLIENTS_WRITE = "iam.clients.write"


ISSUER_PERMISSIONS: MappingProxyType[str, str] = MappingProxyType(
    {
        IssuerPermission.USERS_READ.value: "See user accounts",
        IssuerPermission.USERS_WRITE.value: "Create, change, disable and delete user accounts",
        IssuerPermission.ROLES_READ.value: "See roles, their grants and who holds them",
        IssuerPermission.ROLES_WRITE.value: "Create, change and delete roles; assign them",
        IssuerPermission.PERMISSIONS_READ.value: "See the permission catalogue",
        IssuerPermission.PERMISSIONS_WRITE.value: "Change the permission catalogue",
        IssuerPermission.SERVICES_READ.value: "See registered services",
        IssuerPermission.SERVICES_WRITE.value: "Register services and push their manifests",
        IssuerPermission.KEYS_READ.value: "See signing keys and their states",
        IssuerPermission.KEYS_WRITE.value: "Rotate and withdraw signing keys",
        IssuerPermission.SESSIONS_READ.value: "See other people's sessions",
        IssuerPermission.SESSIONS_WRITE.value: "End other people's sessions",
        IssuerPermission.AUDIT_READ.value: "Read the audit trail",
        IssuerPermission.TENANTS_READ.value: "See tenants, their settings and domains",
        IssuerPermission.TENANTS_WRITE.value: "Create, change, suspend and delete tenants",
        IssuerPermission.ORGANIZATIONS_READ.value: "See organizations and their settings",
        IssuerPermission.ORGANIZATIONS_WRITE.value: "Create, change, move and delete organizations",
        IssuerPermission.MEMBERS_READ.value: "See who belongs to organizations, with what roles",
        IssuerPermission.MEMBERS_WRITE.value: "Add, change and remove members; give them roles",
        IssuerPermission.INVITATIONS_READ.value: "See invitations",
        IssuerPermission.INVITATIONS_WRITE.value: "Invite people, and revoke invitations",
        IssuerPermission.CLIENTS_READ.value: "See service accounts and their API keys",
        IssuerPermission.CLIENTS_WRITE.value: "Change service accounts and their API keys",
    }
)
"""Every permission of the issuer with its description."""


class SystemRole(StrEnum):
    """Roles that every installation has; nobody can change or delete them."""

    SUPERUSER = "superuser"
    ADMIN = "admin"
    STAFF = "staff"
    MEMBER = "member"


SYSTEM_ROLES: MappingProxyType[SystemRole, SuggestedRole] = MappingProxyType(
    {
        SystemRole.SUPERUSER: SuggestedRole("May do everything, everywhere", (EVERYTHING,)),
        SystemRole.ADMIN: SuggestedRole("Administers people, roles and services", ("iam.*",)),
        SystemRole.STAFF: SuggestedRole(
            "Sees people, roles and services",
            (
                IssuerPermission.USERS_READ.value,
                IssuerPermission.ROLES_READ.value,
                IssuerPermission.PERMISSIONS_READ.value,
                IssuerPermission.SERVICES_READ.value,
            ),
        ),
        SystemRole.MEMBER: SuggestedRole("Has an account, and no rights by it"),
    }
)
"""Description and grants of each system role."""

INHERITED_ROLES: Final = frozenset({SystemRole.ADMIN})
"""System roles that who has them in an organization has in all below that one, too."""
