"""Routes that read the audit trail."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from apostille_adapters.litestar import HasPermission
from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.service import AccessService
from apostille_issuer.audit.schemas import AuditEventView, AuditFilter, Outcome
from apostille_issuer.audit.service import NO_MOMENT, AuditTrail
from apostille_issuer.http.answers import guarded
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import DEFAULT_LIMIT, Cursor, Limit, Page
from apostille_issuer.http.platform import WITHIN_ORGANIZATION
from apostille_issuer.problems import IssuerProblem

__all__ = ["AuditController"]

Tag = Annotated[EventTag | None, QueryParameter(description="What happened.")]
Target = Annotated[
    str | None, QueryParameter(max_length=255, description="On what, such as `user:<id>`.")
]
# Text, and read here: Litestar would take numbers too, and stumble over large ones.
Since = Annotated[
    str | None,
    QueryParameter(format="date-time", description="From this moment on; with time zone."),
]
Until = Annotated[
    str | None,
    QueryParameter(format="date-time", description="Before this moment; with time zone."),
]


class AuditController(Controller):
    """The audit trail."""

    path = "/v1/audit"
    tags = ["Audit"]  # noqa: RUF012 - Litestar's way to configure a controller

    @get(
        "/events",
        guards=[HasPermission(IssuerPermission.AUDIT_READ)],
        opt={WITHIN_ORGANIZATION: True},
        responses=guarded(ProblemCode.VALIDATION_FAILED, ProblemCode.NOT_FOUND, anywhere=True),
    )
    async def list_events(  # noqa: PLR0913 - query parameters
        self,
        *,
        audit: NamedDependency[AuditTrail],
        access: NamedDependency[AccessService],
        context: NamedDependency[RequestContext],
        tag: Tag = None,
        outcome: FromQuery[Outcome | None] = None,
        actor_id: FromQuery[uuid.UUID | None] = None,
        target: Target = None,
        since: Since = None,
        until: Until = None,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[AuditEventView]:
        """List what happened, newest first.

        Whose token speaks for an organization sees the trail of its tenant, if
        he has the permission at its root.
        """
        wanted = AuditFilter(
            tag=tag,
            outcome=outcome,
            actor_id=actor_id,
            target=target,
            since=_moment("since", since),
            until=_moment("until", until),
        )
        await access.require_in_tenant(context, IssuerPermission.AUDIT_READ)
        return await audit.events(wanted, cursor=cursor, limit=limit, tenant_id=context.tenant_id)


def _moment(field: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise IssuerProblem.invalid_field(field, NO_MOMENT) from error
