"""Tenants, organizations, members and invitations: the face that the domain shows to the others."""

from __future__ import annotations

from datetime import timedelta

from apostille_issuer.access.service import AccessService
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.sessions.ending import SessionEnder
from apostille_issuer.tenancy.acceptances import Acceptances
from apostille_issuer.tenancy.domains import Domains
from apostille_issuer.tenancy.enrolment import Enrolment
from apostille_issuer.tenancy.invitations import Invitations
from apostille_issuer.tenancy.memberships import Memberships
from apostille_issuer.tenancy.organizations import AccountKeeper, Organizations
from apostille_issuer.tenancy.own_memberships import OwnMemberships
from apostille_issuer.tenancy.purging import TenantPurge
from apostille_issuer.tenancy.resolver import DomainChecker
from apostille_issuer.tenancy.tenants import Tenants

__all__ = ["TenancyService"]


class TenancyService:
    """Acts of administrators, each with its own transaction, by noun.

    The methods that take a session are for other domains, whose transaction
    they join.
    """

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        access: AccessService,
        ender: SessionEnder,
        checker: DomainChecker,
        issuer_url: str,
        purge_after: timedelta,
        invitations: Invitations,
        acceptances: Acceptances,
        accounts: AccountKeeper,
        organizations_per_tenant: int,
    ) -> None:
        """Take what is needed.

        Args:
            database: Holds the tenants.
            clock: Dates changes.
            audit: Records them.
            access: Knows who may do what, and keeps the roles of members.
            ender: Ends sessions that speak for what is active no longer.
            checker: Asks the DNS whose a host name is.
            issuer_url: The issuer's own address, whose host is no tenant's.
            purge_after: How long a deleted tenant can be restored.
            invitations: Sends letters to people who are to be members.
            acceptances: Makes members of them.
            accounts: Keeps service accounts, which go with their organization.
            organizations_per_tenant: Most that a tenant may have.
        """
        self.invitations = invitations
        self.acceptances = acceptances
        self.tenants = Tenants(database, clock, access=access, ender=ender, purge_after=purge_after)
        self.domains = Domains(database, clock, audit, checker=checker, issuer_url=issuer_url)
        self.organizations = Organizations(
            database,
            clock,
            access=access,
            ender=ender,
            accounts=accounts,
            per_tenant=organizations_per_tenant,
        )
        self.memberships = Memberships(database, clock, access=access, ender=ender)
        self.enrolment = Enrolment(clock)
        self.own_memberships = OwnMemberships(database, access=access)
        self.purge = TenantPurge(database, clock, audit, access=access, ender=ender)
        self._database = database
        self._clock = clock
        self._audit = audit
        self._access = access
        self._ender = ender
