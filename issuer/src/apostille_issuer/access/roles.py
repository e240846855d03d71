"""Roles and their grants."""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from sqlalchemy import delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.permissions import covers
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.catalogue import SystemRole
from apostille_issuer.access.holders import holders_of_role
from apostille_issuer.access.models import LINEAGE, Permission, Role, RoleGrant, UserRole
from apostille_issuer.access.naming import check_grants, check_name, check_text, reference
from apostille_issuer.access.policy import Change, Policy
from apostille_issuer.access.rights import Rights
from apostille_issuer.access.schemas import RoleDraft, RolePatch, RoleView
from apostille_issuer.access.superusers import require_no_superuser
from apostille_issuer.db.types import new_id
from apostille_issuer.http.context import RequestContext
from apostille_issuer.http.paging import Page, key_of, page_of
from apostille_issuer.problems import IssuerProblem

__all__ = ["Roles", "find_role", "find_role_in", "grants_of"]


class Roles:
    """Acts on roles. System roles can be read, never changed."""

    def __init__(self, policy: Policy) -> None:
        """Take what every change of policy needs."""
        self._policy = policy

    async def page(self, *, cursor: str | None, limit: int) -> Page[RoleView]:
        """Return a page of roles in order of their names."""
        statement = select(Role).where(Role.name > key_of(cursor)).order_by(Role.name)
        async with self._policy.database.read() as session:
            roles = (await session.scalars(statement.limit(limit + 1))).all()
            grants = await grants_of(session, [role.id for role in roles])
        return page_of(
            roles, limit, view=lambda role: _view(role, grants[role.id]), key=lambda role: role.name
        )

    async def get(self, role: str) -> RoleView:
        """Return the role of that name or identifier.

        Raises:
            IssuerProblem: ``not_found``.
        """
        async with self._policy.database.read() as session:
            found = await find_role(session, reference(role))
            return _view(found, (await grants_of(session, [found.id]))[found.id])

    async def create(self, draft: RoleDraft, context: RequestContext) -> RoleView:
        """Create a custom role.

        Raises:
            IssuerProblem: ``validation_failed``; ``name_taken``;
                ``unknown_permission`` for a grant that nothing in the catalogue
                answers to; ``grant_exceeds_own`` if the role would allow what
                the actor does not hold.
        """
        name = check_name("name", draft.name)
        check_text("description", draft.description)
        grants = Rights(check_grants("allow", draft.allow), check_grants("deny", draft.deny))
        now = self._policy.clock()
        async with self._policy.change(context, EventTag.ROLE_CREATED, f"role:{name}") as change:
            await _require_free(change.session, name)
            await _require_known(change.session, "allow", grants.allows)
            await _require_known(change.session, "deny", grants.denies)
            await change.require(grants.allows)
            role = Role(
                id=new_id(),
                name=name,
                description=draft.description,
                system=False,
                created_at=now,
                updated_at=now,
            )
            change.session.add(role)
            await change.session.flush()
            await _replace_grants(change.session, role.id, grants)
            view = _view(role, grants)
            change.record(EventTag.ROLE_CREATED, f"role:{name}", after=_audited(view))
        return view

    async def update(self, role: str, patch: RolePatch, context: RequestContext) -> RoleView:
        """Replace the fields of a custom role that *patch* names.

        Allowing more, or denying less, hands rights to everybody who holds
        the role, so the actor must hold them; so he must what is newly
        denied. Denying more or allowing less takes rights away from everybody
        who holds the role: none of them may have more rights over the issuer
        than he, and a superuser is denied nothing.

        Raises:
            IssuerProblem: ``not_found``, ``protected``, and what creating raises.
        """
        found, wanted = reference(role), _checked(patch)
        async with self._policy.change(context, EventTag.ROLE_UPDATED, f"role:{role}") as change:
            row = await find_role(change.session, found)
            _require_custom(row)
            held = (await grants_of(change.session, [row.id]))[row.id]
            before = _view(row, held)
            grants = Rights(
                held.allows if wanted.allow is UNSET else frozenset(wanted.allow),
                held.denies if wanted.deny is UNSET else frozenset(wanted.deny),
            )
            await _require_regrant(change, row, held, grants)
            if wanted.name not in (UNSET, row.name):
                await _require_free(change.session, wanted.name)
                row.name = wanted.name
            if wanted.description is not UNSET:
                row.description = wanted.description
            after = _view(row, grants)
            if after == before:
                return before
            row.updated_at = self._policy.clock()
            await _replace_grants(change.session, row.id, grants)
            if (before.name, held) != (after.name, grants):
                await change.rights_changed(holders_of_role(row.id))
            change.record(
                EventTag.ROLE_UPDATED,
                f"role:{before.name}",
                before=_audited(before),
                after=_audited(after),
            )
        return _view(row, grants)

    async def delete(self, role: str, context: RequestContext) -> None:
        """Delete a custom role, and with it everybody's assignment of it.

        What the role denied is denied no longer, so the actor must hold that;
        and none who holds the role may have more rights over the issuer than he.

        Raises:
            IssuerProblem: ``not_found``, ``protected``, ``grant_exceeds_own``.
        """
        found = reference(role)
        async with self._policy.change(context, EventTag.ROLE_DELETED, f"role:{role}") as change:
            row = await find_role(change.session, found)
            _require_custom(row)
            held = (await grants_of(change.session, [row.id]))[row.id]
            await change.require_may_manage(holders_of_role(row.id))
            await change.require(held.denies)
            members = await change.session.scalar(
                select(func.count()).select_from(UserRole).where(UserRole.role_id == row.id)
            )
            # As long as it can be told who held it.
            await change.rights_changed(holders_of_role(row.id))
            await change.session.execute(delete(Role).where(Role.id == row.id))
            change.record(
                EventTag.ROLE_DELETED,
                f"role:{row.name}",
                before={**_audited(_view(row, held)), "members": members},
            )


async def find_role(session: AsyncSession, role: str | uuid.UUID) -> Role:
    """Return the role of that name or identifier.

    Raises:
        IssuerProblem: ``not_found``.
    """
    column = Role.id if isinstance(role, uuid.UUID) else Role.name
    found = await session.scalar(select(Role).where(column == role))
    if found is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    return found


async def find_role_in(
    session: AsyncSession, organization_id: uuid.UUID, role: str | uuid.UUID
) -> Role:
    """Return the role of that name or identifier if it can be given in an organization.

    That is one that is for all, or belongs to the organization or one above it.

    Raises:
        IssuerProblem: ``not_found``; ``protected`` for ``superuser``, which
            nobody is in an organization alone.
    """
    above = select(LINEAGE.c.ancestor_id).where(LINEAGE.c.organization_id == organization_id)
    column = Role.id if isinstance(role, uuid.UUID) else Role.name
    found = await session.scalar(
        select(Role).where(
            column == role, or_(Role.organization_id.is_(None), Role.organization_id.in_(above))
        )
    )
    if found is None:
        raise IssuerProblem(ProblemCode.NOT_FOUND)
    if found.system and found.name == SystemRole.SUPERUSER:
        raise IssuerProblem(ProblemCode.PROTECTED)
    return found


async def grants_of(
    session: AsyncSession, role_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, Rights]:
    """Return what each of the roles allows and denies."""
    pairs: dict[uuid.UUID, list[tuple[str, str]]] = {ident: [] for ident in role_ids}
    for row in await session.scalars(select(RoleGrant).where(RoleGrant.role_id.in_(role_ids))):
        pairs[row.role_id].append((row.grant, row.effect))
    return {ident: Rights.of(held) for ident, held in pairs.items()}


async def _replace_grants(session: AsyncSession, role_id: uuid.UUID, wanted: Rights) -> None:
    await session.execute(delete(RoleGrant).where(RoleGrant.role_id == role_id))
    rows = [
        {"role_id": role_id, "grant": grant, "effect": effect}
        for effect, grants in (("allow", wanted.allows), ("deny", wanted.denies))
        for grant in sorted(grants)
    ]
    if rows:
        await session.execute(insert(RoleGrant), rows)


async def _require_regrant(change: Change, role: Role, held: Rights, wanted: Rights) -> None:
    """Let the actor turn what *role* grants from *held* into *wanted*, or raise."""
    allowed, denied = wanted.allows - held.allows, wanted.denies - held.denies
    await _require_known(change.session, "allow", allowed)
    await _require_known(change.session, "deny", denied)
    if denied or held.allows - wanted.allows:
        await change.require_may_manage(holders_of_role(role.id))
    await change.require(allowed | (held.denies ^ wanted.denies))
    if denied:
        await require_no_superuser(change.session, holders_of_role(role.id), "deny")


async def _require_free(session: AsyncSession, name: str) -> None:
    if await session.scalar(select(Role.id).where(Role.name == name)) is not None:
        raise IssuerProblem(
            ProblemCode.NAME_TAKEN, errors=(FieldError("name", "there is a role of this name"),)
        )


def _require_custom(role: Role) -> None:
    if role.system:
        raise IssuerProblem(ProblemCode.PROTECTED)


async def _require_known(session: AsyncSession, field: str, grants: frozenset[str]) -> None:
    """Refuse grants that nothing in the catalogue answers to: mostly typing errors."""
    if not grants:
        return
    names = sorted(await session.scalars(select(Permission.name)))
    unknown = [grant for grant in sorted(grants) if not _covers_any(grant, names)]
    if unknown:
        raise IssuerProblem(
            ProblemCode.UNKNOWN_PERMISSION,
            errors=tuple(
                FieldError(field, f"{grant} is not in the catalogue") for grant in unknown
            ),
        )


def _covers_any(grant: str, names: Sequence[str]) -> bool:
    """Say whether *grant* covers one of *names*, which are sorted."""
    prefix = grant.removesuffix("*")
    place = bisect_left(names, prefix)
    return place < len(names) and covers(grant, names[place])


def _checked(patch: RolePatch) -> RolePatch:
    """Return *patch* if everything in it can be stored."""
    if patch.name is not UNSET:
        check_name("name", patch.name)
    if patch.description is not UNSET:
        check_text("description", patch.description)
    if patch.allow is not UNSET:
        check_grants("allow", patch.allow)
    if patch.deny is not UNSET:
        check_grants("deny", patch.deny)
    return patch


def _view(role: Role, grants: Rights) -> RoleView:
    return RoleView(
        id=role.id,
        name=role.name,
        description=role.description,
        system=role.system,
        allow=tuple(sorted(grants.allows)),
        deny=tuple(sorted(grants.denies)),
        created_at=role.created_at,
        updated_at=role.updated_at,
    )


def _audited(view: RoleView) -> dict[str, Any]:
    return {name: getattr(view, name) for name in ("name", "description", "allow", "deny")}
