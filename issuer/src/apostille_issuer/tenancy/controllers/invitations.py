"""Routes of invitations: for who sends them, and for who got one."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, TypeAlias, get_args

import msgspec
from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from apostille import AsyncVerifier
from apostille_adapters.litestar import EXCLUDE_FROM_AUTH, HasPermission
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.http.answers import guarded, reading
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import DEFAULT_LIMIT, Cursor, Limit, Page
from apostille_issuer.http.platform import WITHIN_ORGANIZATION
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions import cookies
from apostille_issuer.tenancy.schemas.invitations import (
    Acceptance,
    Accepted,
    InvitationDraft,
    InvitationFilter,
    InvitationProof,
    InvitationState,
    InvitationView,
    Offer,
)
from apostille_issuer.tenancy.service import TenancyService

__all__ = ["AcceptanceController", "InvitationController"]

Tenancy: TypeAlias = NamedDependency[TenancyService]
Context: TypeAlias = NamedDependency[RequestContext]
Verifier: TypeAlias = NamedDependency[AsyncVerifier]
OrganizationId: TypeAlias = FromPath[uuid.UUID]
InvitationId: TypeAlias = FromPath[uuid.UUID]

INVITATIONS_READ = HasPermission(IssuerPermission.INVITATIONS_READ)
INVITATIONS_WRITE = HasPermission(IssuerPermission.INVITATIONS_WRITE)

NOT_FOUND = ProblemCode.NOT_FOUND
INVALID = ProblemCode.VALIDATION_FAILED
ENDED = ProblemCode.INVITATION_ENDED
INACTIVE = ProblemCode.ORGANIZATION_INACTIVE
SEATS = ProblemCode.SEATS_EXHAUSTED

PROMISING = (
    NOT_FOUND,
    INACTIVE,
    SEATS,
    ProblemCode.GRANT_EXCEEDS_OWN,
    ProblemCode.PLATFORM_ONLY,
    ProblemCode.RATE_LIMITED,
    ProblemCode.CONFLICT,
)
"""Why a letter cannot be sent."""

UNANSWERABLE = (
    ProblemCode.INVALID_INVITATION,
    ENDED,
    ProblemCode.INVITATION_EXPIRED,
    INACTIVE,
    ProblemCode.KEYS_UNAVAILABLE,
    ProblemCode.DATABASE_UNAVAILABLE,
)
"""Why a letter is good for nothing now."""

# "state" is a name that Litestar keeps for itself; checked here, as for users.
StateFilter = Annotated[
    str | None,
    QueryParameter(
        name="state",
        description="Only these.",
        schema_extra={"enum": list(get_args(InvitationState))},
    ),
]
EmailPrefix = Annotated[
    str | None, QueryParameter(description="What the address begins with, in any case.")
]


class InvitationController(Controller):
    """Invitations to an organization."""

    path = "/v1/organizations/{organization_id:uuid}/invitations"
    tags = ["Invitations"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {WITHIN_ORGANIZATION: True}  # noqa: RUF012

    @get(guards=[INVITATIONS_READ], responses=guarded(NOT_FOUND, INVALID, anywhere=True))
    async def list_invitations(  # noqa: PLR0913 - a parameter for each of the query's
        self,
        *,
        organization_id: OrganizationId,
        tenancy: Tenancy,
        context: Context,
        invitation_state: StateFilter = None,
        email: EmailPrefix = None,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[InvitationView]:
        """List invitations to an organization, newest first."""
        wanted = InvitationFilter(state=_state(invitation_state), email=email)
        return await tenancy.invitations.page(
            organization_id, wanted, context, cursor=cursor, limit=limit
        )

    @post(
        guards=[INVITATIONS_WRITE],
        responses=guarded(
            *PROMISING,
            ProblemCode.ALREADY_A_MEMBER,
            ProblemCode.PROTECTED,
            body=True,
            anywhere=True,
        ),
    )
    async def invite(
        self,
        organization_id: OrganizationId,
        data: JSONBody[InvitationDraft],
        tenancy: Tenancy,
        context: Context,
    ) -> Response[InvitationView]:
        """Invite whoever owns an address to an organization, with roles.

        The letter is sent at once, and tried again for days if the mail server
        is away. A pending invitation takes a seat. There is one for each
        address: a second is refused with `conflict`, naming the first.
        """
        made = await tenancy.invitations.invite(organization_id, data, context)
        where = f"/v1/organizations/{organization_id}/invitations/{made.id}"
        return Response(made, headers={"location": where})

    @get(
        "/{invitation_id:uuid}",
        guards=[INVITATIONS_READ],
        responses=guarded(NOT_FOUND, anywhere=True),
    )
    async def get_invitation(
        self,
        organization_id: OrganizationId,
        invitation_id: InvitationId,
        tenancy: Tenancy,
        context: Context,
    ) -> InvitationView:
        """Show one invitation."""
        return await tenancy.invitations.get(organization_id, invitation_id, context)

    @delete(
        "/{invitation_id:uuid}",
        guards=[INVITATIONS_WRITE],
        responses=guarded(NOT_FOUND, ENDED, anywhere=True),
    )
    async def revoke_invitation(
        self,
        organization_id: OrganizationId,
        invitation_id: InvitationId,
        tenancy: Tenancy,
        context: Context,
    ) -> None:
        """Revoke an invitation: its letters are void. Doing so twice changes nothing."""
        await tenancy.invitations.revoke(organization_id, invitation_id, context)

    @post(
        "/{invitation_id:uuid}/resend",
        status_code=200,
        guards=[INVITATIONS_WRITE],
        responses=guarded(*PROMISING, INVALID, ENDED, ProblemCode.PROTECTED, anywhere=True),
    )
    async def resend_invitation(
        self,
        organization_id: OrganizationId,
        invitation_id: InvitationId,
        tenancy: Tenancy,
        context: Context,
    ) -> InvitationView:
        """Send another letter, good for the whole lifetime again; those before are void.

        An address gets five letters a day from an organization at most.
        Whoever sends it again vouches for it: his rights count when it is accepted.
        """
        return await tenancy.invitations.resend(organization_id, invitation_id, context)


class AcceptanceController(Controller):
    """What the token of a letter is good for."""

    path = "/v1/invitations"
    tags = ["Invitations"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {EXCLUDE_FROM_AUTH: True}  # noqa: RUF012 - the token proves itself

    @post("/show", status_code=200, responses=reading(*UNANSWERABLE))
    async def show_invitation(self, data: JSONBody[InvitationProof], tenancy: Tenancy) -> Offer:
        """Show what a letter invites to, and whether its owner has an account."""
        return await tenancy.acceptances.show(data.token)

    @post(
        "/accept",
        status_code=200,
        responses=reading(
            *UNANSWERABLE,
            ProblemCode.INVALID_REQUEST,
            ProblemCode.MISSING_TOKEN,
            ProblemCode.CSRF_FAILED,
            ProblemCode.INVALID_CREDENTIALS,
            ProblemCode.SESSION_ENDED,
            ProblemCode.ADDRESS_MISMATCH,
            ProblemCode.ALREADY_A_MEMBER,
            ProblemCode.INVITATION_VOID,
            ProblemCode.LOGIN_TAKEN,
            SEATS,
            ProblemCode.RATE_LIMITED,
            ProblemCode.OVERLOADED,
        ),
    )
    async def accept_invitation(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[Acceptance],
        tenancy: Tenancy,
        context: Context,
        verifier: Verifier,
    ) -> Accepted:
        """Accept an invitation, once.

        With `password` alone an account is made whose login name is the
        address. Who has one sends `login` and `password`, or the access token
        of a session; its login name must be the address.
        """
        bearer = None
        if data.password is None and data.login is None:
            principal = await verifier.verify(cookies.access_token_of(request))
            bearer = uuid.UUID(principal.subject)
        return await tenancy.acceptances.accept(data, context, bearer=bearer)


def _state(text: str | None) -> InvitationState | None:
    try:
        state: InvitationState | None = msgspec.convert(text, InvitationState | None)
    except msgspec.ValidationError as error:
        allowed = ", ".join(get_args(InvitationState))
        raise IssuerProblem.invalid_field("state", f"must be one of {allowed}") from error
    return state
