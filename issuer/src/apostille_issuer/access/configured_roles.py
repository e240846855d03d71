"""System roles of an installation: those that a file of its configuration adds to ours.

.. code-block:: toml

    [roles.auditor]
    description = "Reads everything"
    allow = ["iam.audit.read", "iam.users.read"]
    inherited = true

They are written at every start, and protected like the others: to change one
is to change the file. One that the file no longer names stays as it is, since
an older configuration may run beside this one; what ``released`` lists becomes
a custom role, which an administrator may change and delete.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Select, select

from apostille_contracts.events import EventTag
from apostille_issuer.access.catalogue import SystemRole
from apostille_issuer.access.holders import holders_below, holders_of_role
from apostille_issuer.access.models import Role
from apostille_issuer.access.policy import Change, Policy
from apostille_issuer.access.rights import Rights
from apostille_issuer.access.role_records import (
    Regrant,
    add_role,
    audited,
    checked_draft,
    grants_of,
    make_way,
    require_free,
    store_grants,
    view_of,
)
from apostille_issuer.access.schemas import RoleDraft
from apostille_issuer.access.superusers import require_no_superuser
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.problems import IssuerProblem, StartupError

__all__ = ["NO_CONFIGURED_ROLES", "ConfiguredRoles", "read_configured_roles", "seed_configured"]

MAX_FILE_BYTES: Final = 1_048_576
SETTING: Final = "APOSTILLE_SYSTEM_ROLES_FILE"


class _ConfiguredRole(Struct, frozen=True, forbid_unknown_fields=True):
    description: Annotated[str, Meta(max_length=500)] = ""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    inherited: bool = False


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    roles: dict[str, _ConfiguredRole] = {}
    released: tuple[str, ...] = ()


class ConfiguredRoles(Struct, frozen=True):
    """What the file says, checked."""

    roles: tuple[RoleDraft, ...] = ()
    released: tuple[str, ...] = ()
    """Roles that it named before, which are to be custom ones from now on."""


NO_CONFIGURED_ROLES: Final = ConfiguredRoles()


def read_configured_roles(path: Path | None) -> ConfiguredRoles:
    """Return what the file says: JSON if it is called ``*.json``, TOML otherwise.

    Whether the catalogue knows what the roles grant is not checked: they may
    be there before the services are.

    Args:
        path: At most 1 MiB; ``None`` for no such file.

    Raises:
        StartupError: It cannot be read, or says what it should not.
    """
    if path is None:
        return NO_CONFIGURED_ROLES
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise StartupError(f"{SETTING}: cannot read {path}: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise StartupError(f"{SETTING}: {path} is longer than {MAX_FILE_BYTES:,} bytes")
    try:
        if path.suffix == ".json":
            found = msgspec.json.decode(content, type=_File)
        else:
            found = msgspec.convert(tomllib.loads(content.decode()), _File)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise StartupError(f"{SETTING}: {path}: {error}") from error
    return _checked(found)


def _checked(file: _File) -> ConfiguredRoles:
    drafts = [
        RoleDraft(
            name=name,
            description=role.description,
            allow=role.allow,
            deny=role.deny,
            inherited=role.inherited,
        )
        for name, role in sorted(file.roles.items())
    ]
    ours = frozenset(SystemRole)
    for draft in drafts:
        if draft.name in ours:
            raise StartupError(f"{SETTING}: roles.{draft.name}: is the issuer's own")
        with _as_startup_error(draft.name):
            checked_draft(draft)
    for name in file.released:
        if name in ours or name in file.roles:
            raise StartupError(f"{SETTING}: released: {name!r} is a system role")
    return ConfiguredRoles(tuple(drafts), file.released)


async def seed_configured(policy: Policy, configured: ConfiguredRoles) -> None:
    """Make the installation's system roles what its configuration says.

    Whoever holds one that changes has his access tokens voided. Safe with
    several replicas starting at once: the second finds everything in place.

    Raises:
        StartupError: A custom role for all has that name, or it would deny
            something to a superuser. A tenant's role of that name is renamed.
    """
    for draft in configured.roles:
        tag, target = EventTag.ROLE_UPDATED, f"role:{draft.name}"
        with _as_startup_error(draft.name):
            async with policy.change(COMMAND_LINE, tag, target) as change:
                await _seed(policy, change, draft)
    for name in configured.released:
        async with policy.change(COMMAND_LINE, EventTag.ROLE_UPDATED, f"role:{name}") as change:
            await _release(policy, change, name)


async def _seed(policy: Policy, change: Change, draft: RoleDraft) -> None:
    session, now, target = change.session, policy.clock(), f"role:{draft.name}"
    wanted = Rights(frozenset(draft.allow), frozenset(draft.deny))
    role = await session.scalar(_called(draft.name))
    if role is None:
        await make_way(change, draft.name, now)
        role = await add_role(session, draft, wanted, now, system=True)
        change.record(EventTag.ROLE_CREATED, target, after=audited(view_of(role, wanted)))
        return
    if not role.system:
        await require_free(session, draft.name, None)  # it is not: this says so
    held = (await grants_of(session, [role.id]))[role.id]
    before, was_inherited = view_of(role, held), role.inherited
    role.description, role.inherited = draft.description, draft.inherited
    after = view_of(role, wanted)
    if after == before:
        return
    role.updated_at = now
    regrant = Regrant.between(held, wanted, was_inherited=was_inherited, inherited=draft.inherited)
    holders = holders_of_role(role.id, inherited=was_inherited or draft.inherited)
    if regrant.denies:
        await require_no_superuser(session, holders.users, "deny")
    await store_grants(session, role, wanted)
    if held != wanted:
        await change.rights_changed(holders)
    elif was_inherited != draft.inherited:
        await change.rights_changed(holders_below(role.id))
    change.record(EventTag.ROLE_UPDATED, target, before=audited(before), after=audited(after))


async def _release(policy: Policy, change: Change, name: str) -> None:
    role = await change.session.scalar(_called(name))
    if role is None or not role.system:
        return
    role.system, role.updated_at = False, policy.clock()
    change.record(
        EventTag.ROLE_UPDATED,
        f"role:{name}",
        before={"system": True},
        after={"system": False},
        affects_policy=False,
    )


def _called(name: str) -> Select[Role]:
    return select(Role).where(Role.name == name, Role.tenant_id.is_(None))


@contextmanager
def _as_startup_error(name: str) -> Iterator[None]:
    try:
        yield
    except IssuerProblem as problem:
        if not problem.errors:
            raise
        complaint = "; ".join(f"{error.field}: {error.detail}" for error in problem.errors)
        raise StartupError(f"{SETTING}: roles.{name}: {complaint}") from problem
