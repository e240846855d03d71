"""Stable tags of security events: ``source:subject:action``.

The issuer's audit trail and log, and the SDK's hooks, use these tags. A tag
keeps its meaning for ever; a retired tag is never used again.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["EventTag"]


class EventTag(StrEnum):
    """What happened, for programs."""

    LOGIN_SUCCEEDED = "session:login:succeeded"
    LOGIN_FAILED = "session:login:failed"
    LOGIN_THROTTLED = "session:login:throttled"
    SESSION_REFRESHED = "session:refresh:succeeded"
    REFRESH_REPLAYED = "session:refresh:replayed"
    REFRESH_REUSED = "session:refresh:reused"
    SESSION_ENDED = "session:session:ended"
    TOKENS_VOIDED = "session:tokens:voided"
    ORGANIZATION_SWITCHED = "session:organization:switched"

    USER_CREATED = "account:user:created"
    USER_UPDATED = "account:user:updated"
    USER_DELETED = "account:user:deleted"
    PASSWORD_CHANGED = "account:password:changed"  # noqa: S105 - a tag, not a secret
    PASSWORD_REHASHED = "account:password:rehashed"  # noqa: S105

    ROLE_CREATED = "access:role:created"
    ROLE_UPDATED = "access:role:updated"
    ROLE_DELETED = "access:role:deleted"
    ROLE_ASSIGNED = "access:role:assigned"
    ROLE_UNASSIGNED = "access:role:unassigned"
    PERMISSION_CREATED = "access:permission:created"
    PERMISSION_UPDATED = "access:permission:updated"
    PERMISSION_DELETED = "access:permission:deleted"
    SERVICE_REGISTERED = "access:service:registered"
    SERVICE_UPDATED = "access:service:updated"
    SERVICE_DELETED = "access:service:deleted"

    TENANT_CREATED = "tenancy:tenant:created"
    TENANT_UPDATED = "tenancy:tenant:updated"
    TENANT_DELETED = "tenancy:tenant:deleted"
    TENANT_PURGED = "tenancy:tenant:purged"
    DOMAIN_ADDED = "tenancy:domain:added"
    DOMAIN_VERIFIED = "tenancy:domain:verified"
    DOMAIN_REMOVED = "tenancy:domain:removed"
    ORGANIZATION_CREATED = "tenancy:organization:created"
    ORGANIZATION_UPDATED = "tenancy:organization:updated"
    ORGANIZATION_MOVED = "tenancy:organization:moved"
    ORGANIZATION_DELETED = "tenancy:organization:deleted"
    MEMBERSHIP_CREATED = "tenancy:membership:created"
    MEMBERSHIP_UPDATED = "tenancy:membership:updated"
    MEMBERSHIP_DELETED = "tenancy:membership:deleted"
    INVITATION_SENT = "tenancy:invitation:sent"
    INVITATION_REVOKED = "tenancy:invitation:revoked"
    INVITATION_ACCEPTED = "tenancy:invitation:accepted"
    INVITATION_REFUSED = "tenancy:invitation:refused"

    SERVICE_ACCOUNT_CREATED = "clients:account:created"
    SERVICE_ACCOUNT_UPDATED = "clients:account:updated"
    SERVICE_ACCOUNT_DELETED = "clients:account:deleted"
    API_KEY_CREATED = "clients:key:created"
    API_KEY_REVOKED = "clients:key:revoked"
    CLIENT_AUTHENTICATED = "clients:key:used"
    CLIENT_REFUSED = "clients:key:refused"

    KEY_CREATED = "keys:key:created"
    KEY_ROTATED = "keys:key:rotated"
    KEY_WITHDRAWN = "keys:key:withdrawn"
    KEY_RETIRED = "keys:key:retired"
    KEY_REWRAPPED = "keys:key:rewrapped"

    TOKEN_VERIFIED = "sdk:token:verified"  # noqa: S105
    TOKEN_REJECTED = "sdk:token:rejected"  # noqa: S105
    KEYS_REFRESHED = "sdk:keys:refreshed"
    KEYS_FAILED = "sdk:keys:failed"
    KEYS_STALE = "sdk:keys:stale"
    KEYS_COOLDOWN = "sdk:keys:cooldown"
    STATUS_REFRESHED = "sdk:status:refreshed"
    STATUS_FAILED = "sdk:status:failed"
    STATUS_STALE = "sdk:status:stale"
