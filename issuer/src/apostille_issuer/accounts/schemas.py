"""What goes in and out of the accounts domain."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from apostille_issuer.accounts.names import MAX_LOGIN_LENGTH

__all__ = [
    "PasswordChange",
    "Profile",
    "UserDraft",
    "UserFilter",
    "UserPatch",
    "UserState",
    "UserView",
]

UserState = Literal["active", "disabled"]

LoginText = Annotated[
    str,
    Meta(
        description=f"1 to {MAX_LOGIN_LENGTH} characters, one script, no spaces.",
        examples=["ada@example.com"],
    ),
]
NewPassword = Annotated[
    str,
    Meta(
        description="15 to 256 characters of any kind that are not commonly used.",
        examples=["correct horse battery staple"],
    ),
]


class UserView(Struct, frozen=True, kw_only=True):
    """A user account."""

    id: uuid.UUID
    login: str
    state: UserState
    created_at: datetime
    updated_at: datetime
    password_changed_at: datetime | None
    """``null`` where no password is set."""


class UserDraft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user account to be created."""

    login: LoginText
    password: NewPassword | None = None
    """Without one, the user cannot log in by password."""
    state: UserState = "active"

    def __repr__(self) -> str:
        """Show no password in any log."""
        return f"UserDraft(login={self.login!r})"


class UserPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of a user account to be replaced; what is left out stays."""

    login: LoginText | UnsetType = UNSET
    state: UserState | UnsetType = UNSET
    """``disabled`` ends the user's sessions."""


class UserFilter(Struct, frozen=True, kw_only=True):
    """Which users to list; what is ``None`` does not narrow."""

    login: str | None = None
    """What the login name begins with, in any case."""
    state: UserState | None = None


class Profile(Struct, frozen=True, kw_only=True):
    """Who the bearer of a token is, and what he may do now."""

    id: uuid.UUID
    login: str
    state: UserState
    created_at: datetime
    updated_at: datetime
    password_changed_at: datetime | None
    session_id: uuid.UUID | None
    """The session the token belongs to."""
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
    """As a token for all audiences would carry them."""


class PasswordChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new password, by whoever knows the present one."""

    current_password: str
    new_password: NewPassword

    def __repr__(self) -> str:
        """Show no password in any log."""
        return "PasswordChange()"
