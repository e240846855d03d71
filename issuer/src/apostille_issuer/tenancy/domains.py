"""Custom domains: host names that tenants add, and show to be theirs by the DNS."""

from __future__ import annotations

import secrets
import uuid
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.authority import authorize_tenant, reach_of
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, key_of, page_of
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.hosts import CHALLENGE_LABEL, check_host
from apostille_issuer.tenancy.models import TenantDomain
from apostille_issuer.tenancy.resolver import DomainChecker
from apostille_issuer.tenancy.schemas.domains import DnsRecord, DomainDraft, DomainView
from apostille_issuer.tenancy.tenant_records import find_tenant

__all__ = ["MAX_DOMAINS", "Domains"]

READ: Final = IssuerPermission.TENANTS_READ.value
WRITE: Final = IssuerPermission.TENANTS_WRITE.value

MAX_DOMAINS: Final = 100
"""Host names that a tenant may have, verified or not."""

CHALLENGE: Final = "apostille-verification="


class Domains:
    """Acts on the host names of a tenant, by its administrators or the platform's.

    Anybody may add a host name. It means nothing until a TXT record in the DNS
    shows that it is his; from then on it is nobody else's.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        checker: DomainChecker,
        issuer_url: str,
    ) -> None:
        """Take what is needed.

        Args:
            database: Holds the host names.
            clock: Dates changes.
            audit: Records them.
            checker: Asks the DNS.
            issuer_url: The issuer's own address, whose host is nobody's.
        """
        self._database = database
        self._clock = clock
        self._audit = audit
        self._checker = checker
        self._issuer_url = issuer_url

    async def page(
        self, tenant_id: uuid.UUID, context: RequestContext, *, cursor: str | None, limit: int
    ) -> Page[DomainView]:
        """Return a page of a tenant's host names, in alphabetical order.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``;
                ``validation_failed`` for a cursor that is not ours.
        """
        statement = (
            select(TenantDomain)
            .where(TenantDomain.tenant_id == tenant_id, TenantDomain.host > key_of(cursor))
            .order_by(TenantDomain.host)
            .limit(limit + 1)
        )
        async with self._database.read(reach_of(context)) as session:
            await authorize_tenant(session, context, tenant_id, READ)
            rows = (await session.scalars(statement)).all()
        return page_of(rows, limit, view=_view, key=lambda row: row.host)

    async def get(
        self, tenant_id: uuid.UUID, domain_id: uuid.UUID, context: RequestContext
    ) -> DomainView:
        """Return a host name.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``.
        """
        async with self._database.read(reach_of(context)) as session:
            await authorize_tenant(session, context, tenant_id, READ)
            return _view(await _found(session, tenant_id, domain_id))

    async def add(
        self, tenant_id: uuid.UUID, draft: DomainDraft, context: RequestContext
    ) -> DomainView:
        """Add a host name, and say what its owner has to write into the DNS.

        Whether another tenant has it is not told here: to whoever can show
        that it is his, :meth:`verify` does.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``;
                ``validation_failed``, also for more than :data:`MAX_DOMAINS`;
                ``name_taken`` if the tenant has it already; ``conflict`` for a
                deleted tenant.
        """
        host = check_host("host", draft.host, issuer_url=self._issuer_url)
        async with self._database.begin(reach_of(context)) as session:
            await self._open(session, tenant_id, context)
            own = select(TenantDomain.host).where(TenantDomain.tenant_id == tenant_id)
            if await session.scalar(own.where(TenantDomain.host == host)) is not None:
                raise IssuerProblem(
                    ProblemCode.NAME_TAKEN, errors=(FieldError("host", "is there already"),)
                )
            count = await session.scalar(select(func.count()).select_from(own.subquery()))
            if count is not None and count >= MAX_DOMAINS:
                raise IssuerProblem.invalid_field("host", f"at most {MAX_DOMAINS} of a tenant")
            domain = TenantDomain(
                id=new_id(),
                tenant_id=tenant_id,
                host=host,
                challenge=CHALLENGE + secrets.token_urlsafe(24),
                created_at=self._clock(),
            )
            session.add(domain)
            await session.flush()
            self._record(session, EventTag.DOMAIN_ADDED, domain, context)
        return _view(domain)

    async def verify(
        self, tenant_id: uuid.UUID, domain_id: uuid.UUID, context: RequestContext
    ) -> DomainView:
        """Look into the DNS, and make the host name the tenant's if that says so.

        One that is verified stays so, whatever becomes of the record.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``;
                ``domain_unverified``: the record is not there, or not yet;
                ``domain_taken``: it is another tenant's; ``dns_unavailable``;
                ``overloaded``, also while the tenant's own questions are under
                way; ``conflict`` for a deleted tenant.
        """
        async with self._database.read(reach_of(context)) as session:
            await authorize_tenant(session, context, tenant_id, WRITE)
            domain = await _found(session, tenant_id, domain_id)
        # Outside of any transaction: it takes as long as the DNS does.
        if domain.verified_at is None and domain.challenge not in await self._checker.txt(
            _view(domain).record.name, tenant_id=tenant_id
        ):
            raise IssuerProblem(ProblemCode.DOMAIN_UNVERIFIED)
        try:
            async with self._database.begin(reach_of(context)) as session:
                # His rights, the tenant and the domain may have gone meanwhile.
                await self._open(session, tenant_id, context)
                domain = await _found(session, tenant_id, domain_id)
                if domain.verified_at is None:
                    domain.verified_at = self._clock()
                    await session.flush()
                    self._record(session, EventTag.DOMAIN_VERIFIED, domain, context)
        except IntegrityError as error:
            raise IssuerProblem(ProblemCode.DOMAIN_TAKEN) from error
        return _view(domain)

    async def remove(
        self, tenant_id: uuid.UUID, domain_id: uuid.UUID, context: RequestContext
    ) -> None:
        """Remove a host name; nobody is led to the tenant by it any more.

        Raises:
            IssuerProblem: ``not_found``, ``permission_denied``; ``conflict``
                for a deleted tenant.
        """
        async with self._database.begin(reach_of(context)) as session:
            await self._open(session, tenant_id, context)
            domain = await _found(session, tenant_id, domain_id)
            await session.delete(domain)
            self._record(session, EventTag.DOMAIN_REMOVED, domain, context)

    async def _open(
        self, session: AsyncSession, tenant_id: uuid.UUID, context: RequestContext
    ) -> None:
        """Let the actor change the tenant's host names, one act at a time."""
        await authorize_tenant(session, context, tenant_id, WRITE)
        tenant = await find_tenant(session, tenant_id, lock=True)
        if tenant.state == "deleted":
            raise IssuerProblem(ProblemCode.CONFLICT)

    def _record(
        self, session: AsyncSession, tag: EventTag, domain: TenantDomain, context: RequestContext
    ) -> None:
        shown = {"host": domain.host}
        removed = tag is EventTag.DOMAIN_REMOVED
        self._audit.record(
            session,
            tag,
            context=context,
            target=f"tenant:{domain.tenant_id}",
            before=shown if removed else None,
            after=None if removed else shown,
            tenant_id=domain.tenant_id,
        )


async def _found(session: AsyncSession, tenant_id: uuid.UUID, domain_id: uuid.UUID) -> TenantDomain:
    statement = select(TenantDomain).where(
        TenantDomain.id == domain_id, TenantDomain.tenant_id == tenant_id
    )
    domain = await session.scalar(statement)
    if domain is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return domain


def _view(domain: TenantDomain) -> DomainView:
    return DomainView(
        id=domain.id,
        host=domain.host,
        record=DnsRecord(name=f"{CHALLENGE_LABEL}.{domain.host}", value=domain.challenge),
        created_at=domain.created_at,
        verified_at=domain.verified_at,
    )
