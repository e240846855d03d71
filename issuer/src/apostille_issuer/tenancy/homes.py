"""Which organization somebody speaks for who logs in: the one he names, or his host's."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

from sqlalchemy import Connection, select

from apostille_contracts.problems import ProblemCode
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.lineage import is_active
from apostille_issuer.tenancy.models import Membership, Organization, Tenant, TenantDomain

__all__ = ["Homes"]


class Homes:
    """Knows whose host a login came to."""

    def __init__(self, issuer_url: str) -> None:
        """Take the issuer's own address: there nobody is led anywhere."""
        self._own = urlsplit(issuer_url).hostname

    def choose(
        self,
        connection: Connection,
        user_id: uuid.UUID,
        named: uuid.UUID | None,
        host: str | None,
    ) -> uuid.UUID | None:
        """Return whom a login is to speak for; whether he belongs there is not checked.

        At a tenant's own host that is the organization *named*, if it is of
        that tenant, or else of those that he is a member of, and that are
        active, the one nearest to the root, and of several the first by name.
        At any other host it is the one named, if one is.

        Args:
            connection: In a transaction over all tenants.
            user_id: Who logs in.
            named: The organization that he named, if he did.
            host: The host name that he came to.

        Raises:
            IssuerProblem: ``not_a_member``: the host is another tenant's than
                the organization, or than any that he belongs to.
        """
        tenant_id = self._tenant_of(connection, host)
        if tenant_id is None:
            return named
        if named is not None:
            mine = select(Organization.id).where(
                Organization.id == named, Organization.tenant_id == tenant_id
            )
        else:
            mine = (
                select(Organization.id)
                .join(Membership, Membership.organization_id == Organization.id)
                .where(
                    Membership.tenant_id == tenant_id,
                    Membership.user_id == user_id,
                    Membership.state == "active",
                    is_active(),
                )
                .order_by(Organization.depth, Organization.name_key, Organization.id)
                .limit(1)
            )
        found = connection.scalar(mine)
        if found is None:
            raise IssuerProblem(ProblemCode.NOT_A_MEMBER)
        return found

    def _tenant_of(self, connection: Connection, host: str | None) -> uuid.UUID | None:
        if host is None or host == self._own:
            return None
        return connection.scalar(
            select(TenantDomain.tenant_id)
            .join(Tenant, Tenant.id == TenantDomain.tenant_id)
            .where(TenantDomain.host == host, TenantDomain.verified_at.is_not(None))
        )
