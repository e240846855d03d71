"""The verifier of the issuer's own routes: the SDK's, over what is in this process."""

from __future__ import annotations

from typing import Any

from apostille import AsyncVerifier, Principal
from apostille_issuer.status.service import StatusService

__all__ = ["OwnVerifier"]


class OwnVerifier(AsyncVerifier):
    """Asks no network for keys or status lists, and is never behind on the latter.

    A session that was ended through this process is refused at the next
    request; one that another replica ended, half a second later at most.
    """

    __slots__ = ("_statuses",)

    def __init__(self, issuer: str, *, statuses: StatusService, **options: Any) -> None:
        """Take the *statuses*, and what :class:`~apostille.AsyncVerifier` takes."""
        super().__init__(issuer, status=statuses.given, **options)
        self._statuses = statuses

    async def verify(self, token: str) -> Principal:
        """Return whom *token* speaks for, or raise.

        Raises:
            InvalidToken: It must not be accepted; retrying cannot help.
            IssuerProblem: ``database_unavailable``; nobody knows who has been
                logged out.
        """
        await self._statuses.catch_up()
        return await super().verify(token)
