"""Routes of the status lists (draft-ietf-oauth-status-list sections 8.1 and 9.3)."""

from __future__ import annotations

from typing import TypeAlias

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from apostille_adapters.litestar import EXCLUDE_FROM_AUTH
from apostille_contracts.problems import ProblemCode
from apostille_issuer.http.answers import NOT_MODIFIED, problems
from apostille_issuer.status.schemas import LISTS_PATH, STATUS_LIST_MEDIA_TYPE, Aggregation
from apostille_issuer.status.service import StatusService

__all__ = ["StatusController"]

Statuses: TypeAlias = NamedDependency[StatusService]


class StatusController(Controller):
    """What services read to know which tokens have been revoked."""

    path = LISTS_PATH
    tags = ["discovery"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {EXCLUDE_FROM_AUTH: True}  # noqa: RUF012 - says nothing of anybody

    @get("/", responses=problems(ProblemCode.DATABASE_UNAVAILABLE))
    async def aggregation(self, statuses: Statuses) -> Aggregation:
        """The addresses of all status lists."""
        return await statuses.aggregation()

    @get(
        "/{list_id:int}",
        responses={
            200: ResponseSpec(
                str,
                description="The list, as a signed token.",
                media_type=STATUS_LIST_MEDIA_TYPE,
                generate_examples=False,
            ),
            304: NOT_MODIFIED,
            **problems(ProblemCode.NOT_FOUND, ProblemCode.DATABASE_UNAVAILABLE),
        },
    )
    async def status_list(
        self, list_id: FromPath[int], statuses: Statuses, scope: Scope
    ) -> ASGIResponse:
        """Which sessions' access tokens are revoked: one bit for each."""
        return (await statuses.document(list_id)).answer(scope)
