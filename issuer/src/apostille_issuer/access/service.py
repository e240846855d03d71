"""Who may do what: the face that the access domain shows to the others."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.manifest import Manifest
from apostille_issuer.access.assignments import Assignments
from apostille_issuer.access.authority import authorize_tenant, reach_of
from apostille_issuer.access.catalogue import SystemRole
from apostille_issuer.access.configured_roles import (
    NO_CONFIGURED_ROLES,
    ConfiguredRoles,
    seed_configured,
)
from apostille_issuer.access.departures import record_departures, remove_roles
from apostille_issuer.access.entitlements import Ask, EntitlementResolver
from apostille_issuer.access.explanations import Explanations
from apostille_issuer.access.holders import just_him
from apostille_issuer.access.importing import Importing
from apostille_issuer.access.memberships import MemberRoles
from apostille_issuer.access.models import Service, UserRole
from apostille_issuer.access.organization_roles import OrganizationRoles
from apostille_issuer.access.permissions import Permissions
from apostille_issuer.access.policy import (
    Change,
    Policy,
    RightsWatch,
    hold_policy,
    lock_policy,
    require_may_manage,
)
from apostille_issuer.access.roles import Roles, find_role
from apostille_issuer.access.schemas import EffectivePermissions, Entitlements, ServiceOutcome
from apostille_issuer.access.seeding import seed
from apostille_issuer.access.services import Services
from apostille_issuer.access.standings import Place
from apostille_issuer.access.superusers import active_superusers, require_another_superuser
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database, Statements
from apostille_issuer.http.context import COMMAND_LINE, RequestContext

__all__ = ["AccessService", "Place"]


class AccessService:
    """Roles, permissions, services, assignments, and what follows from them.

    Acts of administrators are on :attr:`roles`, :attr:`organization_roles`,
    :attr:`permissions`, :attr:`services` and :attr:`assignments`; each opens
    its own transaction.
    The methods that take a session are for other domains, whose transaction
    they join.
    """

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        watch: RightsWatch,
        audience: str = "apostille",
        roles_per_tenant: int = 1_000,
    ) -> None:
        """Take what is needed.

        Args:
            database: Holds the policy.
            clock: Dates changes.
            audit: Records them.
            watch: Voids the tokens of those whose rights change.
            audience: Audience of the issuer's own API.
            roles_per_tenant: Most that the organizations of a tenant may define.
        """
        self._audience = audience
        self._audit = audit
        self._policy = Policy(database, clock, audit, watch)
        self._resolver = EntitlementResolver(audience)
        self.roles = Roles(self._policy)
        self.organization_roles = OrganizationRoles(self._policy, per_tenant=roles_per_tenant)
        self.permissions = Permissions(self._policy)
        self.services = Services(self._policy)
        self.assignments = Assignments(self._policy)
        self.importing = Importing(self._policy)
        self.members = MemberRoles()
        self.explanations = Explanations(database, self._resolver)

    async def seed(self, configured: ConfiguredRoles = NO_CONFIGURED_ROLES) -> None:
        """Write system roles and the issuer's own permissions, where missing.

        To be called at every start, after migrations; safe on several
        replicas at once.

        Args:
            configured: The installation's own system roles.

        Raises:
            StartupError: Another service has the issuer's audience, or a
                configured role cannot be as configured.
        """
        await seed(self._policy, self._audit, self._audience)
        await seed_configured(self._policy, configured)

    def change(
        self, context: RequestContext, tag: EventTag, target: str
    ) -> AbstractAsyncContextManager[Change]:
        """Open a locked transaction in which rights may change, for another domain's act.

        It reaches as far as whoever acts does: over his tenant, or over all of
        them. See :meth:`.Policy.change`.

        Args:
            context: Who acts, from where.
            tag: What is attempted.
            target: On what.
        """
        return self._policy.change(context, tag, target, reach=reach_of(context))

    def hold_policy(self, statements: Statements) -> None:
        """Let nobody change anybody's rights until the transaction, one that writes, ends.

        Call it before anything locks a user. On SQLite there is nothing to do.
        """
        if self._policy.database.dialect == "postgresql":
            hold_policy(statements)

    async def entitlements(
        self,
        session: AsyncSession,
        user_id: uuid.UUID,
        audiences: Iterable[str] | None,
        *,
        organization_id: uuid.UUID | None = None,
    ) -> Entitlements:
        """Return what a token for *audiences* may say about a user.

        One statement if somebody with the same roles asked before for the
        same audiences under the present policy, two if not. Whether the user
        exists and is active is not checked.

        Args:
            session: The caller's transaction; it reaches over the organization's tenant.
            user_id: Who.
            audiences: Of registered services; ``None`` for all of them, or
                for fewer where they are too many for a token; see
                :data:`.entitlements.MAX_DEFAULT_AUDIENCE_BYTES`.
            organization_id: Whom the token is to speak for, if for any.

        Raises:
            IssuerProblem: ``unknown_audience``, naming which; ``not_a_member``
                of the organization, or it is not active, or not known;
                ``overloaded`` if policy keeps changing while we look.

        See: DESIGN sections 3 and 4.
        """
        place = Place(user_id, organization_id)
        (held,) = await session.run_sync(self._resolver.resolve, [(place, audiences)])
        return held

    def entitlements_of_many(
        self, statements: Statements, asks: Sequence[Ask]
    ) -> list[Entitlements]:
        """Return :meth:`entitlements` for each of *asks*, in the same order.

        One statement for all of them where it is one for each, so a hundred
        refreshes committed together cost little more than one.

        Raises:
            IssuerProblem: The same; for one of them, and then for all.
        """
        return self._resolver.resolve(statements, asks)

    def heaviest_role(
        self, statements: Statements, place: Place, audience: tuple[str, ...]
    ) -> tuple[str, int]:
        """Return which of a user's roles brings most into his token, and how many grants.

        For the error that says why a token would be too large. The user has a role.

        Raises:
            IssuerProblem: ``overloaded`` if policy keeps changing while we look.
        """
        return self._resolver.heaviest_role(statements, place, audience)

    async def require_in_tenant(self, context: RequestContext, permission: str) -> None:
        """Make sure that whose token speaks for an organization holds *permission* in its root.

        About who acts for the platform the guard of the route has decided.

        Raises:
            IssuerProblem: ``not_found``: he has no rights there; ``permission_denied``.
        """
        if context.tenant_id is not None:
            async with self._policy.database.read(context.tenant_id) as session:
                await authorize_tenant(session, context, context.tenant_id, permission)

    async def effective_permissions(
        self,
        user_id: uuid.UUID,
        audiences: Iterable[str] | None,
        *,
        organization_id: uuid.UUID | None = None,
        context: RequestContext = COMMAND_LINE,
    ) -> EffectivePermissions:
        """Return what a user may do, and by which grants; see :meth:`.Explanations.effective`.

        Raises:
            IssuerProblem: ``not_found``, ``unknown_audience``,
                ``not_a_member``, ``permission_denied``.
        """
        place = Place(user_id, organization_id)
        return await self.explanations.effective(place, audiences, context)

    async def audiences(self, session: AsyncSession) -> tuple[str, ...]:
        """Return the issuer's own audience and those of all registered services, in order."""
        found = await session.scalars(select(Service.audience).order_by(Service.audience))
        return tuple(found)

    async def push_manifest(
        self, manifest: Manifest, context: RequestContext, *, dry_run: bool = False
    ) -> ServiceOutcome:
        """Register a service or bring it up to *manifest*; see :meth:`.Services.push`."""
        return await self.services.push(manifest, context, dry_run=dry_run)

    async def superuser_exists(self, session: AsyncSession) -> bool:
        """Say whether an active superuser exists, and let nobody else change that.

        Takes the policy lock: of several replicas that start on an empty
        database, one makes the first superuser and the others see him.
        """
        await lock_policy(session)
        return bool(await active_superusers(session, most=1))

    async def make_superuser(
        self, session: AsyncSession, user_id: uuid.UUID, context: RequestContext
    ) -> None:
        """Give a user the role ``superuser``, whoever asks.

        For the operator at the command line and the first start. No route
        leads here.
        """
        await lock_policy(session)
        role = await find_role(session, SystemRole.SUPERUSER.value)
        if await session.get(UserRole, (user_id, role.id)) is not None:
            return
        session.add(
            UserRole(
                user_id=user_id,
                role_id=role.id,
                created_at=self._policy.clock(),
                granted_by=context.actor_id,
            )
        )
        self._audit.record(
            session,
            EventTag.ROLE_ASSIGNED,
            context=context,
            target=f"user:{user_id}",
            after={"role": role.name},
        )

    async def ensure_superuser_remains(self, session: AsyncSession, user_id: uuid.UUID) -> None:
        """Refuse to disable or delete the last active superuser.

        Takes the policy lock, so of two superusers disabled at the same moment
        one stays. Call it in the transaction that disables or deletes, before
        touching the user's row.

        Raises:
            IssuerProblem: ``last_superuser``.
        """
        await lock_policy(session)
        await require_another_superuser(session, user_id)

    async def ensure_may_manage(
        self, session: AsyncSession, actor_id: uuid.UUID | None, user_id: uuid.UUID
    ) -> None:
        """Let nobody take over an account that has more rights over the issuer than his.

        Whoever sets another's password or login name can become him. So the
        actor must hold every right under ``iam`` that the user holds, which
        for a superuser means to be one.

        Raises:
            IssuerProblem: ``grant_exceeds_own``, naming what is missing.
        """
        await require_may_manage(session, actor_id, just_him(user_id))

    async def ensure_may_remove(
        self, session: AsyncSession, actor_id: uuid.UUID | None, user_id: uuid.UUID
    ) -> None:
        """Refuse to disable or delete whom the actor may not manage, or the last superuser.

        In this order, and both under the policy lock: who may not act on an
        account does not learn from the refusal whether it is the last one.

        Raises:
            IssuerProblem: ``grant_exceeds_own``, naming what is missing; ``last_superuser``.
        """
        await lock_policy(session)
        await self.ensure_may_manage(session, actor_id, user_id)
        await self.ensure_superuser_remains(session, user_id)

    async def record_departures(
        self, session: AsyncSession, users: Sequence[uuid.UUID], context: RequestContext
    ) -> None:
        """Write into the trail of each tenant which memberships end with *users*.

        Call it in the transaction that deletes them, before it does.
        """
        await record_departures(session, self._audit, users, context)

    async def remove_roles(self, change: Change, organizations: Select[uuid.UUID]) -> None:
        """Delete the roles of *organizations*, which are deleted with all below them.

        Their names are free from now on. The caller ends whatever speaks for
        these organizations.
        """
        await remove_roles(change, organizations)
