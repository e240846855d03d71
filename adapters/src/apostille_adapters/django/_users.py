"""``request.user`` as Django, its decorators and REST framework expect it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from apostille import Principal
from apostille.errors import ConfigurationError
from apostille_contracts.permissions import InvalidPermission, parse_permission

__all__ = ["Anonymous", "PrincipalUser"]


class PrincipalUser(Principal):
    """The principal, with what Django asks of users. There is no row behind it.

    ``is_staff`` and ``is_superuser`` are always false: they would open doors
    by the name of a role, and this user has permissions instead.
    """

    __slots__ = ()

    is_authenticated: Final = True
    is_anonymous: Final = False
    is_active: Final = True
    is_staff: Final = False
    is_superuser: Final = False

    @property
    def pk(self) -> str:
        """The subject; Django calls the identity of anything ``pk``."""
        return self.subject

    id = pk
    username = pk

    def get_username(self) -> str:
        """Return the subject: the token carries no login name."""
        return self.subject

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Say whether the token grants *perm*.

        Names that no token can carry are not granted, nor is anything on a
        single object: tokens do not speak of objects.
        """
        if obj is not None:
            return False
        try:
            return self.has(parse_permission(perm))
        except InvalidPermission:
            return False

    def has_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        """Say whether the token grants everything in *perm_list*.

        Raises:
            ConfigurationError: The list is empty, or a text in place of one.
        """
        if isinstance(perm_list, str):
            raise ConfigurationError("has_perms takes a list of permissions, not a text")
        perms = list(perm_list)
        if not perms:
            raise ConfigurationError("has_perms needs at least one permission")
        return all(self.has_perm(perm, obj) for perm in perms)

    def has_module_perms(self, app_label: str) -> bool:
        """Say whether the token grants anything whose first segment is *app_label*."""
        return any(grant.split(".")[0] in (app_label, "*") for grant in self.permissions)

    async def ahas_perm(self, perm: str, obj: object = None) -> bool:
        """See :meth:`has_perm`; nothing is awaited."""
        return self.has_perm(perm, obj)

    async def ahas_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        """See :meth:`has_perms`; nothing is awaited."""
        return self.has_perms(perm_list, obj)

    async def ahas_module_perms(self, app_label: str) -> bool:
        """See :meth:`has_module_perms`; nothing is awaited."""
        return self.has_module_perms(app_label)

    def __str__(self) -> str:
        return self.subject


class Anonymous:
    """Nobody, without ``django.contrib.auth`` being installed."""

    is_authenticated: Final = False
    is_anonymous: Final = True
    is_active: Final = False
    is_staff: Final = False
    is_superuser: Final = False
    pk: Final = None
    id: Final = None
    username: Final = ""

    def get_username(self) -> str:
        """Return nothing."""
        return ""

    def has_perm(self, perm: str, obj: object = None) -> Literal[False]:  # noqa: ARG002 - Django's signature
        """Nobody has permissions."""
        return False

    def has_perms(self, perm_list: Iterable[str], obj: object = None) -> Literal[False]:  # noqa: ARG002 - the same
        """Nobody has permissions."""
        return False

    def has_module_perms(self, app_label: str) -> Literal[False]:  # noqa: ARG002 - the same
        """Nobody has permissions."""
        return False

    async def ahas_perm(self, *_: Any) -> Literal[False]:
        """Nobody has permissions."""
        return False

    ahas_perms = ahas_module_perms = ahas_perm

    def __str__(self) -> str:
        return "anonymous"
