"""What goes in and out about invitations."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from apostille_issuer.accounts.schemas import NewPassword
from apostille_issuer.tenancy.schemas.memberships import Plan, Roles, Scopes
from apostille_issuer.tenancy.schemas.tenants import Branding

__all__ = [
    "Acceptance",
    "Accepted",
    "InvitationDraft",
    "InvitationFilter",
    "InvitationProof",
    "InvitationState",
    "InvitationView",
    "Offer",
]

InvitationState = Literal["pending", "accepted", "revoked", "expired"]

AddressText = Annotated[
    str,
    Meta(
        description="An address of at most 254 bytes that can be a login name: one script, "
        "nothing quoted.",
        examples=["ada@example.com"],
    ),
]
TokenText = Annotated[
    str,
    Meta(
        max_length=128,
        description="The token of the letter.",
        examples=["apo_in_0195512a8f3b7c3d9e2a4b5c6d7e8f90_0_" + "x" * 43],
    ),
]


class InvitationView(Struct, frozen=True, kw_only=True):
    """A letter to an address, and what became of it. Its token is in the letter alone."""

    id: uuid.UUID
    organization_id: uuid.UUID
    email: str
    state: InvitationState
    roles: tuple[str, ...]
    """Names of the roles that he is to have; one that was deleted is not named, and
    then nobody can accept."""
    plan: str | None
    scopes: tuple[str, ...]
    invited_by: uuid.UUID | None
    """Whose rights count when it is accepted."""
    created_at: datetime
    delivery: Literal["waiting", "sent", "failed"]
    """What became of the newest letter: `waiting` to be sent, or to be tried again; `sent`:
    a mail server has it; `failed`: it will not be tried again."""
    sent_at: datetime | None
    """When a mail server took that letter."""
    expires_at: datetime
    answered_at: datetime | None
    """When it was accepted or revoked."""
    accepted_by: uuid.UUID | None


class InvitationDraft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who is to be invited."""

    email: AddressText
    roles: Roles = ()
    plan: Plan | None = None
    """Instead of the tenant's; the platform's administrators decide it."""
    scopes: Scopes = ()


class InvitationFilter(Struct, frozen=True, kw_only=True):
    """Which invitations to list; what is ``None`` does not narrow."""

    state: InvitationState | None = None
    email: str | None = None
    """What the address begins with, in any case."""


class InvitationProof(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the link in the letter carries."""

    token: TokenText

    def __repr__(self) -> str:
        """Show no token in any log."""
        return "InvitationProof()"


class Offer(Struct, frozen=True, kw_only=True):
    """What a letter invites to."""

    organization_id: uuid.UUID
    organization: str
    """Its name."""
    tenant_id: uuid.UUID
    tenant: str
    """Its name."""
    branding: Branding
    """How the tenant looks."""
    email: str
    """Who is invited."""
    expires_at: datetime
    account_exists: bool
    """He has an account: it has to prove itself. Otherwise he chooses a password."""


class Acceptance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An invitation, and who accepts it.

    With ``password`` alone that is a new account, named like the address; with
    ``login`` and ``password`` the account of that name; with neither whose
    access token comes along.
    """

    token: TokenText
    login: Annotated[str, Meta(examples=["ada@example.com"])] | None = None
    password: NewPassword | None = None

    def __repr__(self) -> str:
        """Show neither token nor password in any log."""
        return "Acceptance()"


class Accepted(Struct, frozen=True, kw_only=True):
    """A membership that was accepted; log in, naming the organization, to speak for it."""

    organization_id: uuid.UUID
    organization: str
    """Its name."""
    tenant_id: uuid.UUID
    user_id: uuid.UUID
    account_created: bool
