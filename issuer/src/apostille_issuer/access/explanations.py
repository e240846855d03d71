"""What somebody may do, and which of his roles say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.permissions import (
    InvalidPermission,
    PermissionSet,
    covers,
    parse_permission,
)
from apostille_contracts.problems import ProblemCode
from apostille_issuer.access.assignments import require_user
from apostille_issuer.access.authority import authorize, reach_of
from apostille_issuer.access.catalogue import IssuerPermission
from apostille_issuer.access.entitlements import EntitlementResolver
from apostille_issuer.access.models import (
    LINEAGE,
    MEMBERSHIPS,
    ORGANIZATIONS,
    USERS,
    Permission,
    Role,
    RoleGrant,
    Service,
    ServicePermission,
    UserRole,
)
from apostille_issuer.access.schemas import (
    CatalogueState,
    EffectivePermissions,
    Explanation,
    GrantSource,
    Reason,
)
from apostille_issuer.access.standings import Place, roles_in_organizations
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem

__all__ = ["Explanations"]


class Explanations:
    """Answers from what is in the database now, as the next token would."""

    def __init__(self, database: Database, resolver: EntitlementResolver) -> None:
        """Take where roles are, and what tokens are made of."""
        self._database = database
        self._resolver = resolver

    async def effective(
        self,
        place: Place,
        audiences: Iterable[str] | None,
        context: RequestContext,
    ) -> EffectivePermissions:
        """Return what a user may do, as his next token would say it, and by which grants.

        Args:
            place: Who, and where if anywhere.
            audiences: Of registered services; ``None`` for the default.
            context: Who asks. One who acts in a tenant must be allowed to see
                the members there, and finds nobody who does not stand there.

        Raises:
            IssuerProblem: ``not_found``, ``unknown_audience``,
                ``not_a_member``, ``permission_denied``.
        """
        async with self._database.read(reach_of(context)) as session:
            if context.organization_id is None:
                await require_user(session, place.user_id)
            else:
                place = Place(place.user_id, place.organization_id or context.organization_id)
                await _require_member(session, context, place)
            (held,) = await session.run_sync(self._resolver.resolve, [(place, audiences)])
            sources = await _sources(session, place)
        return EffectivePermissions(
            user_id=place.user_id,
            organization_id=place.organization_id,
            roles=held.roles,
            permissions=held.permissions,
            audience=held.audience,
            sources=sources,
        )

    async def explain(
        self, place: Place, permission: str, audiences: Sequence[str] | None
    ) -> Explanation:
        """Say whether a user may do something, and why, for the operator at the command line.

        Args:
            place: Who, and where if anywhere.
            permission: What; a name, without wildcard.
            audiences: As in what token; ``None`` for the default.

        Raises:
            IssuerProblem: ``validation_failed`` for what is no permission;
                ``not_found`` for the user or the organization; ``unknown_audience``.
        """
        try:
            parse_permission(permission)
        except InvalidPermission as error:
            raise IssuerProblem.invalid_field("permission", str(error)) from error
        async with self._database.read(EVERY_TENANT) as session:
            active = await _is_active(session, place)
            sources = tuple(
                source
                for source in await _sources(session, place)
                if covers(source.grant, permission)
            )
            try:
                (held,) = await session.run_sync(self._resolver.resolve, [(place, audiences)])
            except IssuerProblem as problem:
                if problem.code != ProblemCode.NOT_A_MEMBER:
                    raise
                audience: tuple[str, ...] = tuple(audiences or ())
                reason: Reason = "not_a_member"
            else:
                audience = held.audience
                carried = PermissionSet(held.permissions).covers(permission)
                reason = _reason(sources, active=active, carried=carried)
            catalogued = await _catalogued(session, permission, audience)
        return Explanation(
            user_id=place.user_id,
            organization_id=place.organization_id,
            permission=permission,
            audience=audience,
            allowed=reason == "allowed",
            reason=reason,
            catalogue=catalogued,
            sources=sources,
        )


def _reason(sources: Sequence[GrantSource], *, active: bool, carried: bool) -> Reason:
    """Return why a token would carry a permission that just *sources* speak of, or why not."""
    if not active:
        return "user_disabled"
    if carried:
        return "allowed"
    effects = {source.effect for source in sources}
    if "deny" in effects:
        return "denied"
    return "not_in_audience" if "allow" in effects else "not_granted"


async def _require_member(session: AsyncSession, context: RequestContext, place: Place) -> None:
    """Let whoever acts in a tenant ask about those who stand where he may see the members.

    Raises:
        IssuerProblem: ``not_found``, ``permission_denied``.
    """
    assert place.organization_id is not None  # noqa: S101 - the caller has put it there
    permission = IssuerPermission.MEMBERS_READ.value
    await authorize(session, context, place.organization_id, permission)
    if (await session.execute(_memberships(place).limit(1))).first() is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)


async def _is_active(session: AsyncSession, place: Place) -> bool:
    """Say whether the user may log in.

    Raises:
        IssuerProblem: ``not_found`` for him, or the organization.
    """
    state = await session.scalar(select(USERS.c.state).where(USERS.c.id == place.user_id))
    there = select(ORGANIZATIONS.c.id).where(ORGANIZATIONS.c.id == place.organization_id)
    missing = place.organization_id is not None and await session.scalar(there) is None
    if state is None or missing:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return bool(state == "active")


def _memberships(place: Place) -> Select[Any]:
    return roles_in_organizations().where(
        MEMBERSHIPS.c.user_id == place.user_id,
        LINEAGE.c.organization_id == place.organization_id,
    )


async def _sources(session: AsyncSession, place: Place) -> tuple[GrantSource, ...]:
    """Return every grant that counts where *place* is, and where it comes from, in order."""
    everywhere = (
        select(Role.name, RoleGrant.effect, RoleGrant.grant)
        .join(RoleGrant, RoleGrant.role_id == Role.id)
        .join(UserRole, UserRole.role_id == Role.id)
        .where(UserRole.user_id == place.user_id)
    )
    found = [
        GrantSource(role=row.name, effect=row.effect, grant=row.grant)
        for row in await session.execute(everywhere)
    ]
    if place.organization_id is not None:
        held = _memberships(place).add_columns(MEMBERSHIPS.c.organization_id.label("given_in"))
        there = held.subquery()
        within = select(there, RoleGrant.effect, RoleGrant.grant).join(
            RoleGrant, RoleGrant.role_id == there.c.role_id
        )
        found += [
            GrantSource(
                role=row.name,
                effect=row.effect,
                grant=row.grant,
                organization_id=row.given_in,
                inherited=row.distance > 0,
            )
            for row in await session.execute(within)
        ]
    return tuple(sorted(found, key=_order))


def _order(source: GrantSource) -> tuple[str, str, str, str]:
    return source.role, str(source.organization_id or ""), source.effect, source.grant


async def _catalogued(
    session: AsyncSession, permission: str, audience: Sequence[str]
) -> CatalogueState:
    statement = (
        select(Permission.service_id, Service.audience)
        .outerjoin(ServicePermission, ServicePermission.permission_id == Permission.id)
        .outerjoin(Service, Service.id == ServicePermission.service_id)
        .where(Permission.name == permission)
    )
    rows = (await session.execute(statement)).all()
    declaring = {row.audience for row in rows} - {None}
    if declaring:
        return "declared" if declaring & set(audience) else "elsewhere"
    if not rows:
        return "unknown"
    return "unowned" if rows[0].service_id is None else "deprecated"
