"""Routes of what one is told about one's own account."""

from __future__ import annotations

import uuid

from litestar import Controller, get
from litestar.di import NamedDependency

from apostille_adapters.litestar import CurrentPrincipal, authenticated
from apostille_contracts.problems import ProblemCode
from apostille_issuer.http.answers import signed_in
from apostille_issuer.http.paging import DEFAULT_LIMIT, Cursor, Limit, Page
from apostille_issuer.http.platform import WITHIN_ORGANIZATION
from apostille_issuer.notifications.schemas import NotificationView
from apostille_issuer.notifications.service import Notifications

__all__ = ["OwnNotificationController"]


class OwnNotificationController(Controller):
    """What one is told about one's own account."""

    path = "/v1/me/notifications"
    tags = ["Own account"]  # noqa: RUF012 - Litestar's way to configure a controller
    opt = {WITHIN_ORGANIZATION: True}  # noqa: RUF012
    guards = [authenticated]  # noqa: RUF012 - the same

    @get(responses=signed_in(ProblemCode.VALIDATION_FAILED))
    async def list_notifications(
        self,
        principal: CurrentPrincipal,
        notifications: NamedDependency[Notifications],
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[NotificationView]:
        """List what happened to one's account, newest first."""
        return await notifications.page(uuid.UUID(principal.subject), cursor=cursor, limit=limit)
