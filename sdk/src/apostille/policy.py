"""What a caller must hold: requirement objects, checked when they are written.

.. code-block:: python

    read = HasPermission("inventory.read")  # all that are named
    change = HasAnyPermission("inventory.write", "inventory.admin")  # at least one
    careful = read & ~HasPermission("inventory.frozen")  # &, | and ~ compose
    own = HasPermission("inventory.read", organization="organization_id")

A mistake (no name, a malformed name, a wildcard) raises
:class:`~apostille.errors.ConfigurationError` while the module is imported, not
while a request is answered. Requirements are immutable, hashable and equal
where they say the same, so they can be shared and used as keys.

Each framework's ``HasPermission`` is one of these with that framework's
calling convention; composing keeps the type of the left operand.

See: DESIGN section 4.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Never, Self

from apostille_contracts.permissions import InvalidPermission, parse_permission

from ._rules import AllOf, Case, Held, Holder, InOrganization, Not, OneOf, OrganizationOf, Rule
from .errors import ConfigurationError, PermissionDenied

__all__ = ["HasAnyPermission", "HasPermission", "Holder", "OrganizationOf", "Requirement"]

_NOTHING: Mapping[str, object] = MappingProxyType({})


class Requirement:
    """Something a caller must hold.

    Made by :class:`HasPermission` and :class:`HasAnyPermission`, and by
    composing them with ``&``, ``|`` and ``~``.
    """

    __slots__ = ("_hash", "_rule")

    _rule: Rule
    _hash: int

    def allows(
        self,
        principal: Holder,
        *,
        parameters: Mapping[str, object] = _NOTHING,
        request: object = None,
    ) -> bool:
        """Say whether *principal* meets the requirement.

        Args:
            principal: The verified caller.
            parameters: The route's path parameters, where ``organization=``
                is the name of one.
            request: What an ``organization=`` function is called with.

        Raises:
            ConfigurationError: ``organization=`` names a parameter that is
                not among *parameters*.
        """
        return self._rule.holds(Case(principal, parameters, request))

    def missing(
        self,
        principal: Holder,
        *,
        parameters: Mapping[str, object] = _NOTHING,
        request: object = None,
    ) -> tuple[str, ...]:
        """Return the permissions that would have helped.

        Empty if the requirement is met, and where no permission can help:
        another organization is active, or the caller holds what it must not.
        Of alternatives all are named.
        """
        case = Case(principal, parameters, request)
        return () if self._rule.holds(case) else self._rule.lacking(case)

    def check(
        self,
        principal: Holder,
        *,
        parameters: Mapping[str, object] = _NOTHING,
        request: object = None,
    ) -> None:
        """Return if *principal* meets the requirement, or raise.

        Raises:
            PermissionDenied: It does not; ``missing`` says what would help.
            ConfigurationError: As for :meth:`allows`.
        """
        case = Case(principal, parameters, request)
        if not self._rule.holds(case):
            raise PermissionDenied(self._rule.lacking(case))

    @property
    def permissions(self) -> tuple[str, ...]:
        """All permissions the requirement mentions, in the order they were written."""
        return self._rule.names()

    def describe(self) -> str:
        """Return the requirement in words: ``(a.b or c.d) and not e.f``."""
        return self._rule.describe()

    def __and__(self, other: Requirement) -> Self:
        """Require both."""
        if not isinstance(other, Requirement):
            return NotImplemented
        return self._made(AllOf.of((self._rule, other._rule)))

    def __or__(self, other: Requirement) -> Self:
        """Require at least one."""
        if not isinstance(other, Requirement):
            return NotImplemented
        return self._made(OneOf.of((self._rule, other._rule)))

    def __invert__(self) -> Self:
        """Require the opposite."""
        rule = self._rule
        return self._made(rule.rule if isinstance(rule, Not) else Not(rule))

    def _made(self, rule: Rule) -> Self:
        composed = object.__new__(type(self))
        composed._hold(rule)
        return composed

    def _hold(self, rule: Rule) -> None:
        # "x and x" is x: equal however it was written, and one call fewer.
        if isinstance(rule, AllOf | OneOf) and len(rule.rules) == 1:
            rule = rule.rules[0]
        object.__setattr__(self, "_rule", rule)  # once, past our own __setattr__
        object.__setattr__(self, "_hash", hash(rule))

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self  # frameworks copy the routes that hold requirements

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Requirement) and other._rule == self._rule

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"<requires {self.describe()}>"


class HasPermission(Requirement):
    """All the named permissions are held."""

    __slots__ = ()

    def __init__(self, *names: str, organization: OrganizationOf | None = None) -> None:
        """Require all of *names*.

        Args:
            *names: One permission or more, without wildcards.
            organization: Where the request names the organization it is
                about; it must then be the one the token speaks for. The name
                of a path parameter, or a plain function that takes the
                framework's request and returns an identifier or ``None``.

        Raises:
            ConfigurationError: No name, a malformed one, or a wildcard; or
                *organization* is neither a name nor a plain function.
        """
        self._hold(_scoped(AllOf.of(_held(names)), organization))


class HasAnyPermission(Requirement):
    """At least one of the named permissions is held."""

    __slots__ = ()

    def __init__(self, *names: str, organization: OrganizationOf | None = None) -> None:
        """Require one of *names*; arguments and errors as for :class:`HasPermission`."""
        self._hold(_scoped(OneOf.of(_held(names)), organization))


def _held(names: tuple[str, ...]) -> list[Held]:
    if not names:
        # "All of nothing" is true of everybody.
        raise ConfigurationError("a requirement names at least one permission")
    try:
        return [Held(parse_permission(name)) for name in names]
    except InvalidPermission as error:
        raise ConfigurationError(f"{', '.join(names)}: {error}") from error
    except TypeError as error:
        raise ConfigurationError(f"{names!r}: permissions are named by texts") from error


def _scoped(rule: Rule, organization: OrganizationOf | None) -> Rule:
    if organization is None:
        return rule
    if inspect.iscoroutinefunction(organization):
        # Its coroutine would equal no organization: everybody denied, nobody told why.
        raise ConfigurationError("organization= takes a plain function, not a coroutine function")
    if organization == "" or not (callable(organization) or isinstance(organization, str)):
        raise ConfigurationError("organization= is a path parameter's name or a function")
    return AllOf.of((rule, InOrganization(organization)))
