"""What all acts on roles share: their grants in the database, what may be stored, what is shown."""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from itertools import count
from typing import Any

from msgspec import UNSET, Struct
from sqlalchemy import delete, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.events import EventTag
from apostille_contracts.permissions import covers
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.holders import Holders, holders_of_role
from apostille_issuer.access.models import NAME_LENGTH, Permission, Role, RoleGrant
from apostille_issuer.access.naming import check_grants, check_name, check_text
from apostille_issuer.access.policy import Change
from apostille_issuer.access.rights import Rights
from apostille_issuer.access.schemas import RoleClone, RoleDraft, RolePatch, RoleView
from apostille_issuer.db.types import new_id
from apostille_issuer.problems import IssuerProblem

__all__ = [
    "Regrant",
    "add_role",
    "added",
    "audited",
    "checked_clone",
    "checked_draft",
    "checked_patch",
    "describe",
    "drafted",
    "grants_of",
    "make_way",
    "patched",
    "require_custom",
    "require_free",
    "require_known",
    "store_grants",
    "view_of",
]


class Regrant(Struct, frozen=True):
    """What it means to whoever holds a role that it becomes another one."""

    must_hold: frozenset[str]
    """What the actor hands on: allowed from now on, denied from now on, or denied no longer."""
    takes_away: bool
    """Some of its holders may do less."""
    denies: bool
    """Some of its holders are denied more."""

    @classmethod
    def between(
        cls, held: Rights, wanted: Rights, *, was_inherited: bool = False, inherited: bool = False
    ) -> Regrant:
        """Return what it means that *held* becomes *wanted*, here and below.

        A role that comes to be inherited is as new to those below; one that no
        longer is, is lost to them, what it denies included.
        """
        denied = wanted.denies - held.denies
        must_hold = (wanted.allows - held.allows) | (held.denies ^ wanted.denies)
        takes_away = bool(denied or held.allows - wanted.allows)
        if inherited and not was_inherited:
            must_hold |= wanted.allows | wanted.denies
            denied = wanted.denies
            takes_away = takes_away or bool(denied)
        elif was_inherited and not inherited:
            must_hold |= held.denies
            takes_away = takes_away or bool(held.allows)
        return cls(must_hold, takes_away, bool(denied))


async def grants_of(
    session: AsyncSession, role_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, Rights]:
    """Return what each of the roles allows and denies."""
    pairs: dict[uuid.UUID, list[tuple[str, str]]] = {ident: [] for ident in role_ids}
    for row in await session.scalars(select(RoleGrant).where(RoleGrant.role_id.in_(role_ids))):
        pairs[row.role_id].append((row.grant, row.effect))
    return {ident: Rights.of(held) for ident, held in pairs.items()}


async def add_role(  # noqa: PLR0913 - whose it is, by name
    session: AsyncSession,
    draft: RoleDraft,
    grants: Rights,
    now: datetime,
    *,
    tenant_id: uuid.UUID | None = None,
    organization_id: uuid.UUID | None = None,
    system: bool = False,
) -> Role:
    """Write a role with its grants, and return it.

    That its name is free, and that the actor may hand on *grants*, is checked before.

    Args:
        session: The transaction.
        draft: Name, description, and whether it is inherited.
        grants: What it allows and denies.
        now: The present.
        tenant_id: Of its organization.
        organization_id: Whose it is; the platform's, by default.
        system: Whether it is protected.
    """
    role = Role(
        id=new_id(),
        tenant_id=tenant_id,
        organization_id=organization_id,
        name=draft.name,
        description=draft.description,
        system=system,
        inherited=draft.inherited,
        created_at=now,
        updated_at=now,
    )
    session.add(role)
    await session.flush()
    await store_grants(session, role, grants)
    return role


async def store_grants(session: AsyncSession, role: Role, wanted: Rights) -> None:
    """Replace what *role*, which is in the database, allows and denies."""
    await session.execute(delete(RoleGrant).where(RoleGrant.role_id == role.id))
    rows = [
        {"role_id": role.id, "grant": grant, "effect": effect, "tenant_id": role.tenant_id}
        for effect, grants in (("allow", wanted.allows), ("deny", wanted.denies))
        for grant in sorted(grants)
    ]
    if rows:
        await session.execute(insert(RoleGrant), rows)


async def describe(session: AsyncSession, row: Role, wanted: RolePatch, *, inherited: bool) -> None:
    """Give a role the name, the description and the reach that are wanted.

    Raises:
        IssuerProblem: ``name_taken``.
    """
    if wanted.name not in (UNSET, row.name):
        await require_free(session, wanted.name, row.tenant_id)
        row.name = wanted.name
    if wanted.description is not UNSET:
        row.description = wanted.description
    row.inherited = inherited


async def require_free(session: AsyncSession, name: str, tenant_id: uuid.UUID | None) -> None:
    """Make sure that a role may be called *name*: for all, or in a tenant.

    What is for all is in every tenant, so its name must be free in every one.

    Raises:
        IssuerProblem: ``name_taken``.
    """
    taken = select(Role.id).where(Role.name == name)
    if tenant_id is not None:
        taken = taken.where(or_(Role.tenant_id.is_(None), Role.tenant_id == tenant_id))
    if await session.scalar(taken.limit(1)) is not None:
        raise IssuerProblem(
            ProblemCode.NAME_TAKEN, errors=(FieldError("name", "there is a role of this name"),)
        )


async def make_way(change: Change, name: str, now: datetime) -> None:
    """Rename the roles of tenants that are called *name*, so that one for all can be.

    What the platform names goes before what a tenant does, who could keep it
    from starting else. A role becomes ``<name>-2``, or has the next number
    that is free in its tenant; it grants what it did. Tokens that name it are
    void, and its tenant reads of it in its trail.

    Args:
        change: The transaction; it reaches over all tenants.
        name: What the other role is to be called.
        now: The present.
    """
    session = change.session
    in_the_way = select(Role).where(Role.name == name, Role.tenant_id.is_not(None))
    roles = (await session.scalars(in_the_way.order_by(Role.id))).all()
    grants = await grants_of(session, [role.id for role in roles])
    for role in roles:
        before = view_of(role, grants[role.id])
        role.name, role.updated_at = await _next_free(session, role), now
        holders = holders_of_role(role.id, inherited=role.inherited)
        await change.rights_changed(Holders(None, holders.places))
        change.record(
            EventTag.ROLE_UPDATED,
            f"role:{name}",
            before=audited(before),
            after=audited(view_of(role, grants[role.id])),
            tenant_id=role.tenant_id,
        )
    await session.flush()


async def _next_free(session: AsyncSession, role: Role) -> str:
    """Return the first name like that of *role*, with a number, that its tenant has free."""
    of_all = or_(Role.tenant_id.is_(None), Role.tenant_id == role.tenant_id)
    taken = frozenset(await session.scalars(select(Role.name).where(of_all)))
    suffixes = (f"-{number}" for number in count(2))
    names = (role.name[: NAME_LENGTH - len(suffix)] + suffix for suffix in suffixes)
    return next(name for name in names if name not in taken)


async def require_known(session: AsyncSession, wanted: Rights) -> None:
    """Refuse grants that nothing in the catalogue answers to: mostly typing errors.

    Raises:
        IssuerProblem: ``unknown_permission``, naming which.
    """
    if not wanted.allows | wanted.denies:
        return
    names = sorted(await session.scalars(select(Permission.name)))
    errors = tuple(
        FieldError(field, f"{grant} is not in the catalogue")
        for field, grants in (("allow", wanted.allows), ("deny", wanted.denies))
        for grant in sorted(grants)
        if not _covers_any(grant, names)
    )
    if errors:
        raise IssuerProblem(ProblemCode.UNKNOWN_PERMISSION, errors=errors)


def _covers_any(grant: str, names: Sequence[str]) -> bool:
    """Say whether *grant* covers one of *names*, which are sorted."""
    prefix = grant.removesuffix("*")
    place = bisect_left(names, prefix)
    return place < len(names) and covers(grant, names[place])


def require_custom(role: Role) -> None:
    """Refuse to change what is part of the system.

    Raises:
        IssuerProblem: ``protected``.
    """
    if role.system:
        raise IssuerProblem(ProblemCode.PROTECTED)


def checked_draft(draft: RoleDraft) -> Rights:
    """Return the grants of *draft* if everything in it can be stored.

    Raises:
        IssuerProblem: ``validation_failed``.
    """
    check_name("name", draft.name)
    check_text("description", draft.description)
    return Rights(check_grants("allow", draft.allow), check_grants("deny", draft.deny))


def checked_patch(patch: RolePatch) -> RolePatch:
    """Return *patch* if everything in it can be stored.

    Raises:
        IssuerProblem: ``validation_failed``.
    """
    if patch.name is not UNSET:
        check_name("name", patch.name)
    if patch.description is not UNSET:
        check_text("description", patch.description)
    if patch.allow is not UNSET:
        check_grants("allow", patch.allow)
    if patch.deny is not UNSET:
        check_grants("deny", patch.deny)
    return patch


def patched(held: Rights, patch: RolePatch) -> Rights:
    """Return what a role grants after *patch* that granted *held* before."""
    return Rights(
        held.allows if patch.allow is UNSET else frozenset(patch.allow),
        held.denies if patch.deny is UNSET else frozenset(patch.deny),
    )


def added(held: Rights, wanted: Rights) -> Rights:
    """Return what *wanted* names and *held* does not."""
    return Rights(wanted.allows - held.allows, wanted.denies - held.denies)


def drafted(source: RoleView, clone: RoleClone) -> RoleDraft:
    """Return the draft of the role that *clone* makes of *source*."""
    return RoleDraft(
        name=clone.name,
        description=source.description if clone.description is UNSET else clone.description,
        allow=source.allow,
        deny=source.deny,
        inherited=source.inherited if clone.inherited is UNSET else clone.inherited,
    )


def checked_clone(clone: RoleClone) -> RoleClone:
    """Return *clone* if everything in it can be stored.

    Raises:
        IssuerProblem: ``validation_failed``.
    """
    check_name("name", clone.name)
    if clone.description is not UNSET:
        check_text("description", clone.description)
    return clone


def view_of(role: Role, grants: Rights) -> RoleView:
    """Return what clients see of a role."""
    return RoleView(
        id=role.id,
        name=role.name,
        description=role.description,
        system=role.system,
        organization_id=role.organization_id,
        inherited=role.inherited,
        allow=tuple(sorted(grants.allows)),
        deny=tuple(sorted(grants.denies)),
        created_at=role.created_at,
        updated_at=role.updated_at,
    )


def audited(view: RoleView) -> dict[str, Any]:
    """Return what the audit trail keeps of a role's state."""
    kept = ["name", "description", "allow", "deny", "inherited"]
    if view.organization_id is not None:
        kept.append("organization_id")
    return {name: getattr(view, name) for name in kept}
