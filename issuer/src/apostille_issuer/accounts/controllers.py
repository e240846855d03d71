"""Routes of user accounts: one's own, and those an administrator sees."""

from __future__ import annotations

import uuid
from typing import Annotated, TypeAlias, get_args

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from apostille import Principal
from apostille_adapters.litestar import CurrentPrincipal, HasPermission, authenticated
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.accounts.own import OwnAccount
from apostille_issuer.accounts.schemas import (
    PasswordChange,
    Profile,
    UserDraft,
    UserFilter,
    UserPatch,
    UserState,
    UserView,
)
from apostille_issuer.accounts.service import AccountService
from apostille_issuer.http.answers import guarded, signed_in
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import DEFAULT_LIMIT, Cursor, Limit, Page
from apostille_issuer.http.platform import WITHIN_ORGANIZATION
from apostille_issuer.problems import IssuerProblem

__all__ = ["OwnAccountController", "UserController"]

Accounts: TypeAlias = NamedDependency[AccountService]
Own: TypeAlias = NamedDependency[OwnAccount]
Context: TypeAlias = NamedDependency[RequestContext]
UserId: TypeAlias = FromPath[uuid.UUID]

USERS_READ = HasPermission(IssuerPermission.USERS_READ)
USERS_WRITE = HasPermission(IssuerPermission.USERS_WRITE)

NOT_FOUND = ProblemCode.NOT_FOUND
INVALID = ProblemCode.VALIDATION_FAILED
TAKEN = ProblemCode.LOGIN_TAKEN
LAST = ProblemCode.LAST_SUPERUSER
EXCEEDS = ProblemCode.GRANT_EXCEEDS_OWN
ENDED = ProblemCode.SESSION_ENDED

# "state" is a name that Litestar keeps for itself. Checked here, since Litestar
# would name the parameter of the handler in its complaint.
StateFilter = Annotated[
    str | None,
    QueryParameter(
        name="state", description="Only these.", schema_extra={"enum": list(get_args(UserState))}
    ),
]
LoginPrefix = Annotated[
    str | None, QueryParameter(description="What the login name begins with, in any case.")
]


class UserController(Controller):
    """User accounts."""

    path = "/v1/users"
    tags = ["Users"]  # noqa: RUF012 - Litestar's way to configure a controller

    @get(guards=[USERS_READ], responses=guarded(INVALID))
    async def list_users(
        self,
        *,
        accounts: Accounts,
        login: LoginPrefix = None,
        user_state: StateFilter = None,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[UserView]:
        """List users in the order they were created in."""
        wanted = UserFilter(login=login, state=_state(user_state))
        return await accounts.page(wanted, cursor=cursor, limit=limit)

    @post(guards=[USERS_WRITE], responses=guarded(TAKEN, ProblemCode.OVERLOADED, body=True))
    async def create_user(
        self, data: JSONBody[UserDraft], accounts: Accounts, context: Context
    ) -> Response[UserView]:
        """Create a user, who holds no role yet."""
        user = await accounts.create(data, context)
        return Response(user, headers={"location": f"/v1/users/{user.id}"})

    @get("/{user_id:uuid}", guards=[USERS_READ], responses=guarded(NOT_FOUND))
    async def get_user(self, user_id: UserId, accounts: Accounts) -> UserView:
        """Show one user."""
        return await accounts.get(user_id)

    @patch(
        "/{user_id:uuid}",
        guards=[USERS_WRITE],
        responses=guarded(NOT_FOUND, TAKEN, LAST, EXCEEDS, body=True),
    )
    async def update_user(
        self,
        user_id: UserId,
        data: JSONBody[UserPatch],
        accounts: Accounts,
        context: Context,
    ) -> UserView:
        """Rename, disable or enable a user; disabling ends his sessions.

        Nobody can change a user who has more rights over the issuer than he has.
        """
        return await accounts.update(user_id, data, context)

    @delete("/{user_id:uuid}", guards=[USERS_WRITE], responses=guarded(NOT_FOUND, LAST, EXCEEDS))
    async def delete_user(self, user_id: UserId, accounts: Accounts, context: Context) -> None:
        """Delete a user, and with him his sessions and roles."""
        await accounts.delete(user_id, context)


class OwnAccountController(Controller):
    """One's own account."""

    path = "/v1/me"
    tags = ["Own account"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {WITHIN_ORGANIZATION: True}  # noqa: RUF012
    guards = [authenticated]  # noqa: RUF012 - the same

    @get(responses=signed_in(ENDED))
    async def profile(self, principal: CurrentPrincipal, own_account: Own) -> Profile:
        """Show who the bearer of the token is, and what he may do now."""
        return await own_account.profile(uuid.UUID(principal.subject), _session_of(principal))

    @post(
        "/password",
        status_code=204,
        responses=signed_in(
            ENDED,
            ProblemCode.CSRF_FAILED,
            ProblemCode.INVALID_CREDENTIALS,
            ProblemCode.RATE_LIMITED,
            ProblemCode.OVERLOADED,
            body=True,
        ),
    )
    async def change_password(
        self,
        data: JSONBody[PasswordChange],
        principal: CurrentPrincipal,
        own_account: Own,
        context: Context,
    ) -> None:
        """Set a new password; ends all other sessions."""
        await own_account.change_password(
            uuid.UUID(principal.subject),
            data,
            session_id=_session_of(principal),
            context=context,
        )


def _session_of(principal: Principal) -> uuid.UUID | None:
    return None if principal.session is None else uuid.UUID(principal.session)


def _state(text: str | None) -> UserState | None:
    try:
        state: UserState | None = msgspec.convert(text, UserState | None)
    except msgspec.ValidationError as error:
        raise IssuerProblem.invalid_field("state", "must be active or disabled") from error
    return state
