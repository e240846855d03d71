"""How groups and permissions of Django's become roles and permissions. Pure: no I/O.

.. code-block:: toml

    service = "inventory"                   # what the permissions belong to
    permission = "{app}.{model}.{action}"   # what those become that are not listed

    [permissions]
    "stock.view_item" = "inventory.read"
    "stock.change_item" = ["inventory.read", "inventory.write"]
    "reports.*" = false                     # no counterpart

    [groups]
    "Shop clerks" = "clerk"

    [users]
    login = "email"
"""

from __future__ import annotations

import re
import string
import uuid
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from apostille_contracts.permissions import InvalidPermission, parse_permission
from apostille_issuer.access.catalogue import ISSUER_SERVICE, SystemRole
from apostille_issuer.access.django_dump import Dump, DumpedUser, PermissionKey
from apostille_issuer.access.naming import check_name
from apostille_issuer.access.schemas import (
    ImportPlan,
    PlannedPermission,
    PlannedRole,
    WithoutCounterpart,
)
from apostille_issuer.problems import IssuerProblem

__all__ = ["InvalidMapping", "RbacMapping", "parse_mapping", "plan_import"]

DJANGOS_OWN: Final = frozenset({"admin", "auth", "contenttypes", "sessions"})
"""Apps whose permissions no service asks for, unless the mapping says so."""

MAX_DESCRIPTION: Final = 500

_FIELDS: Final = frozenset({"app", "model", "action", "codename"})
_Counterpart: TypeAlias = str | list[str] | bool
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9_-]+")


class InvalidMapping(ValueError):
    """The mapping does not say what it should; the message names the place."""


class UserMapping(Struct, frozen=True, forbid_unknown_fields=True):
    """Where users are found in the dump, and what becomes of their own permissions."""

    model: str = "auth.user"
    login: str = "username"
    """The field that is the login name at the issuer."""
    direct: str | None = None
    """Role for each permission that users hold directly, such as
    ``direct-{app}-{codename}``; without it they are only reported."""


class RbacMapping(Struct, frozen=True, forbid_unknown_fields=True):
    """What a mapping file says."""

    service: str
    """What permissions belong to that the catalogue does not know yet."""
    services: dict[str, str] = {}
    """Instead of it, by app label."""
    permission: str = "{app}.{model}.{action}"
    """What a permission becomes that is not listed."""
    permissions: dict[str, _Counterpart] = {}
    """By ``app_label.codename`` or ``app_label.*``; ``false`` for no counterpart."""
    groups: dict[str, str | bool] = {}
    """Role by group; one that is not listed keeps its name, as far as a role can have it."""
    organization: uuid.UUID | None = None
    """Whose the roles are; without it they are for all."""
    inherited: bool = False
    """Of new roles: who has one in an organization has it below, too."""
    users: UserMapping = UserMapping()


def parse_mapping(document: Any) -> RbacMapping:
    """Return the mapping in *document*, as a TOML parser gives it.

    Raises:
        InvalidMapping: It says what it should not; the message names the place.
    """
    try:
        mapping = msgspec.convert(document, RbacMapping)
    except msgspec.ValidationError as error:
        raise InvalidMapping(str(error)) from error
    for service in (mapping.service, *mapping.services.values()):
        _check_name("service", service)
        if service == ISSUER_SERVICE:
            raise InvalidMapping(f"service: {service!r} is the issuer itself")
    _check_template("permission", mapping.permission)
    if mapping.users.direct is not None:
        _check_template("users.direct", mapping.users.direct)
    for label, value in mapping.permissions.items():
        _check_permissions(f"permissions.{label}", value)
    for group, role in mapping.groups.items():
        _check_role(f"groups.{group}", role)
    return mapping


def plan_import(dump: Dump, mapping: RbacMapping) -> ImportPlan:
    """Return what *dump* comes to by *mapping*, and what has no counterpart."""
    return _Planner(dump, mapping).plan()


class _Planner:
    """Makes one plan."""

    def __init__(self, dump: Dump, mapping: RbacMapping) -> None:
        self._dump, self._mapping = dump, mapping
        self._counterparts: dict[PermissionKey, tuple[str, ...]] = {}
        self._permissions: dict[str, PlannedPermission] = {}
        self._roles: dict[str, PlannedRole] = {}
        self._direct: dict[str, PermissionKey | None] = {}
        """Roles that are there already; and those for a permission held directly, for which."""
        self._without: list[WithoutCounterpart] = []

    def plan(self) -> ImportPlan:
        for key, words in self._dump.permissions.items():
            self._counterparts[key] = tuple(self._permission(key, words))
        role_of = {group: self._group(group, held) for group, held in self._dump.groups.items()}
        self._direct = dict.fromkeys(self._roles)
        assignments: dict[str, tuple[str, ...]] = {}
        for user in self._dump.users:
            if roles := self._user(user, role_of):
                assignments[user.login] = roles
        for phrase in self._dump.dangling:
            self._miss(phrase, "it is not in the dump")
        for unused in self._unused():
            self._miss(unused, "the mapping names it, the dump does not")
        for model, count in self._dump.others.items():
            self._miss(f"{model} ({count})", "not looked at")
        return ImportPlan(
            organization_id=self._mapping.organization,
            inherited=self._mapping.inherited,
            permissions=self._permissions,
            roles=self._roles,
            assignments=assignments,
            without=tuple(self._without),
        )

    def _permission(self, key: PermissionKey, words: str) -> Iterator[str]:
        listed = self._mapping.permissions
        value = listed.get(key.label, listed.get(f"{key.app}.*"))
        what = f"permission {key.label}"
        if value is False:
            self._miss(what, "the mapping says so")
            return
        if value is None:
            if key.app in DJANGOS_OWN:
                self._miss(what, "Django's own; map it if a service asks for it")
                return
            value = _filled(self._mapping.permission, key)
        for name in _listed(key.label, value):
            try:
                parse_permission(name)
            except InvalidPermission:
                self._miss(what, f"{name!r} cannot be a permission; map it")
                continue
            service = self._mapping.services.get(key.app, self._mapping.service)
            self._permissions.setdefault(
                name, PlannedPermission(service, _one_line(words), key.label)
            )
            yield name

    def _group(self, group: str, held: tuple[PermissionKey, ...]) -> str | None:
        """Return the role that a group becomes."""
        what, value = f"group {group!r}", self._mapping.groups.get(group)
        if value is False:
            self._miss(what, "the mapping says so")
            return None
        role = value if isinstance(value, str) else _NOT_IN_NAMES.sub("-", group.lower()).strip("-")
        taken = role in self._roles and value is None
        if taken or not _can_be_named(role) or (role in frozenset(SystemRole) and value is None):
            self._miss(what, f"it cannot become the role {role!r} unasked; map it")
            return None
        self._add(role, f"Django group {group}", held, what)
        return role

    def _user(self, user: DumpedUser, role_of: dict[str, str | None]) -> tuple[str, ...]:
        what = f"user {user.login!r}"
        if not user.active:
            self._miss(what, "not active")
            return ()
        if user.superuser:
            self._miss(f"{what}, a superuser", "see apostille-issuer create-superuser")
        roles = [role for group in user.groups if (role := role_of.get(group)) is not None]
        for key in user.permissions:
            if not self._counterparts[key]:
                self._miss(f"{what} holds {key.label}", "which has none")
            elif (name := self._direct_role(key)) is None:
                self._miss(f"{what} holds {key.label} directly", "users hold roles alone")
            else:
                self._add(name, f"Django permission {key.label}", (key,), what)
                roles.append(name)
        return tuple(dict.fromkeys(roles))

    def _direct_role(self, key: PermissionKey) -> str | None:
        """Return the role that stands for one permission alone, if there is to be one."""
        if self._mapping.users.direct is None:
            return None
        name = _filled(self._mapping.users.direct, key)
        if not _can_be_named(name) or name in frozenset(SystemRole):
            return None
        return name if self._direct.setdefault(name, key) == key else None

    def _add(self, role: str, description: str, keys: tuple[PermissionKey, ...], what: str) -> None:
        planned = self._roles.setdefault(role, PlannedRole(_one_line(description), set()))
        for key in keys:
            planned.allow.update(self._counterparts[key])
            if not self._counterparts[key]:
                self._miss(f"{what} holds {key.label}", "which has none")

    def _unused(self) -> Iterator[str]:
        labels = {key.label for key in self._dump.permissions}
        labels |= {f"{key.app}.*" for key in self._dump.permissions}
        yield from (
            f"permission {label}" for label in self._mapping.permissions if label not in labels
        )
        yield from (
            f"group {group!r}" for group in self._mapping.groups if group not in self._dump.groups
        )

    def _miss(self, what: str, why: str) -> None:
        self._without.append(WithoutCounterpart(what, why))


def _check_permissions(place: str, value: _Counterpart) -> None:
    for name in _listed(place, value):
        try:
            parse_permission(name)
        except InvalidPermission as error:
            raise InvalidMapping(f"{place}: {name!r}: {error}") from error


def _check_role(place: str, value: _Counterpart) -> None:
    for name in _listed(place, value):
        _check_name(place, name)
        if name == SystemRole.SUPERUSER:
            raise InvalidMapping(f"{place}: nobody is made a superuser by an import")


def _listed(place: str, value: _Counterpart) -> list[str]:
    match value:
        case True:
            raise InvalidMapping(f"{place}: a name, or false")
        case False:
            return []
        case str():
            return [value]
        case _:
            return value


def _check_name(place: str, text: str) -> None:
    try:
        check_name(place, text)
    except IssuerProblem as problem:
        (error,) = problem.errors
        raise InvalidMapping(f"{error.field}: {text!r}: {error.detail}") from problem


def _can_be_named(text: str) -> bool:
    try:
        check_name("name", text)
    except IssuerProblem:
        return False
    return True


def _check_template(place: str, template: str) -> None:
    try:
        fields = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise InvalidMapping(f"{place}: {error}") from error
    for name, format_spec, conversion in fields:
        if name not in _FIELDS or format_spec or conversion:
            wanted = ", ".join(f"{{{field}}}" for field in sorted(_FIELDS))
            raise InvalidMapping(f"{place}: {{{name}}} is none of {wanted}")


def _filled(template: str, key: PermissionKey) -> str:
    return template.format(app=key.app, model=key.model, action=key.action, codename=key.codename)


def _one_line(text: str) -> str:
    """Return *text* as a description: what cannot be shown becomes a question mark."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown[:MAX_DESCRIPTION]
