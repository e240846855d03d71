"""What Django's ``dumpdata`` says of groups and permissions. Pure: no I/O.

Both ways of referring are read: by primary key, and by natural key
(``--natural-foreign``, ``--natural-primary``). Of users nothing is read but
their login name, what they may do, and whether they are active: no password
hash leaves this module.

See: Django's documentation, "Serializing Django objects", natural keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

__all__ = ["Dump", "DumpedUser", "InvalidDump", "PermissionKey", "parse_dump"]

CONTENT_TYPE: Final = "contenttypes.contenttype"
PERMISSION: Final = "auth.permission"
GROUP: Final = "auth.group"


class InvalidDump(ValueError):
    """The file is not what ``dumpdata`` writes; the message names the place."""


class PermissionKey(Struct, frozen=True, order=True):
    """What makes a permission of Django's."""

    app: str
    model: str
    codename: str

    @property
    def label(self) -> str:
        """What ``has_perm`` asks for."""
        return f"{self.app}.{self.codename}"

    @property
    def action(self) -> str:
        """``add``, ``change``, ``delete`` or ``view``; the whole codename of another one."""
        return self.codename.removesuffix(f"_{self.model}")


class DumpedUser(Struct, frozen=True):
    """Somebody who may do something."""

    login: str
    active: bool
    superuser: bool
    groups: tuple[str, ...]
    permissions: tuple[PermissionKey, ...]
    """Given to him directly."""


class Dump(Struct, frozen=True):
    """What there is to import."""

    permissions: dict[PermissionKey, str]
    """And its name in words; empty where only a reference was found."""
    groups: dict[str, tuple[PermissionKey, ...]]
    users: tuple[DumpedUser, ...]
    dangling: tuple[str, ...]
    """References to what the dump does not hold, as a phrase each."""
    others: dict[str, int]
    """Models that were not looked at, and how many objects there are of each."""


class _Object(Struct, frozen=True):
    model: str
    fields: dict[str, Any]
    pk: int | str | None = None


def parse_dump(content: bytes, *, user_model: str, login_field: str) -> Dump:
    """Return what the JSON of a dump says.

    Args:
        content: All of it.
        user_model: Whose objects are users, as ``app_label.model``.
        login_field: Which of their fields is the login name.

    Raises:
        InvalidDump: It is not what ``dumpdata`` writes, or refers to a content
            type that it does not hold.
    """
    try:
        objects = msgspec.json.decode(content, type=list[_Object])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidDump(str(error)) from error
    return _Reader(objects, user_model.lower(), login_field).read()


class _Reader:
    """Follows the references of one dump."""

    def __init__(self, objects: list[_Object], user_model: str, login_field: str) -> None:
        self._by_model: dict[str, list[_Object]] = {}
        for found in objects:
            self._by_model.setdefault(found.model.lower(), []).append(found)
        self._user_model = user_model
        self._login_field = login_field
        self._types: dict[object, tuple[str, str]] = {}
        self._permissions: dict[object, PermissionKey] = {}
        self._groups: dict[object, str] = {}
        self._group_names: set[str] = set()
        self._names: dict[PermissionKey, str] = {}
        self._dangling: Counter[str] = Counter()

    def read(self) -> Dump:
        for found in self._of(CONTENT_TYPE):
            self._types[found.pk] = (_text(found, "app_label"), _text(found, "model"))
        for found in self._of(PERMISSION):
            app, model = self._type_of(found)
            key = PermissionKey(app, model, _text(found, "codename"))
            self._permissions[found.pk] = key
            self._names[key] = _text(found, "name")
        groups: dict[str, tuple[PermissionKey, ...]] = {}
        for found in self._of(GROUP):
            name = _text(found, "name")
            self._groups[found.pk] = name
            self._group_names.add(name)
            groups[name] = self._permissions_of(found, "permissions", f"the group {name!r}")
        users = tuple(map(self._user, self._of(self._user_model)))
        known = {CONTENT_TYPE, PERMISSION, GROUP, self._user_model}
        return Dump(
            permissions=dict(sorted(self._names.items())),
            groups=dict(sorted(groups.items())),
            users=users,
            dangling=tuple(sorted(self._dangling)),
            others={
                model: len(found)
                for model, found in sorted(self._by_model.items())
                if model not in known
            },
        )

    def _of(self, model: str) -> list[_Object]:
        return self._by_model.get(model, [])

    def _type_of(self, permission: _Object) -> tuple[str, str]:
        match permission.fields.get("content_type"):
            case [str(app), str(model)]:
                return app, model
            case int() | str() as pk if pk in self._types:
                return self._types[pk]
            case other:
                raise InvalidDump(
                    f"{PERMISSION} {_text(permission, 'codename')!r}: content type {other!r} is not"
                    " in the dump; dump contenttypes, too, or with --natural-foreign"
                )

    def _user(self, found: _Object) -> DumpedUser:
        login = _text(found, self._login_field)
        return DumpedUser(
            login=login,
            active=_flag(found, "is_active", default=True),
            superuser=_flag(found, "is_superuser", default=False),
            groups=tuple(dict.fromkeys(self._groups_of(found, login))),
            permissions=self._permissions_of(found, "user_permissions", f"the user {login!r}"),
        )

    def _groups_of(self, user: _Object, login: str) -> Iterator[str]:
        for reference in _references(user, "groups"):
            match reference:
                case [str(name)] if name in self._group_names:
                    yield name
                case int() | str() if reference in self._groups:
                    yield self._groups[reference]
                case _:
                    self._dangling[f"the user {login!r} is in the group {reference!r}"] += 1

    def _permissions_of(self, found: _Object, field: str, who: str) -> tuple[PermissionKey, ...]:
        keys: dict[PermissionKey, None] = {}
        for reference in _references(found, field):
            match reference:
                case [str(codename), str(app), str(model)]:
                    key = PermissionKey(app, model, codename)
                    self._names.setdefault(key, "")
                    keys[key] = None
                case int() | str() if reference in self._permissions:
                    keys[self._permissions[reference]] = None
                case _:
                    self._dangling[f"{who} holds the permission {reference!r}"] += 1
        return tuple(keys)


def _text(found: _Object, field: str) -> str:
    value = found.fields.get(field)
    if not isinstance(value, str):
        raise InvalidDump(f"{found.model} {found.pk!r}: no {field!r}")
    return value


def _flag(found: _Object, field: str, *, default: bool) -> bool:
    return found.fields.get(field, default) is True


def _references(found: _Object, field: str) -> list[Any]:
    held: Mapping[str, Any] = found.fields
    value = held.get(field, [])
    if not isinstance(value, list):
        raise InvalidDump(f"{found.model} {found.pk!r}: {field!r} is no list")
    return value
