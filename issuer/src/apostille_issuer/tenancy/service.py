"""Tenants, organizations, members and invitations: the face that the domain shows to the others."""

from __future__ import annotations

from apostille_issuer.access.service import AccessService
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.sessions.ending import SessionEnder

__all__ = ["TenancyService"]


class TenancyService:
    """Acts of administrators, each with its own transaction, by noun.

    The methods that take a session are for other domains, whose transaction
    they join.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        access: AccessService,
        ender: SessionEnder,
    ) -> None:
        """Take what is needed.

        Args:
            database: Holds the tenants.
            clock: Dates changes.
            audit: Records them.
            access: Knows who may do what, and keeps the roles of members.
            ender: Ends sessions that speak for what is active no longer.
        """
        self._database = database
        self._clock = clock
        self._audit = audit
        self._access = access
        self._ender = ender
