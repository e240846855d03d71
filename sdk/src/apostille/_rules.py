"""The expression inside a requirement: names joined by and, or, not.

Pure values. :mod:`apostille.policy` checks the names, these nodes answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

from .errors import ConfigurationError

OrganizationOf = str | Callable[[Any], object]
"""Where a request names its organization: a path parameter, or a function of the request."""


class Holder(Protocol):
    """What a requirement asks; :class:`apostille.Principal` answers it."""

    @property
    def organization(self) -> str | None:
        """The active organization."""

    def has(self, *names: str) -> bool:
        """Say whether all permissions *names* are held."""


@dataclass(frozen=True, slots=True)
class Case:
    """Who asks for what: one caller, and the request that selectors read."""

    holder: Holder
    parameters: Mapping[str, object]
    request: object


class Rule(Protocol):
    """One node of the expression."""

    def holds(self, case: Case) -> bool:
        """Say whether the rule is met."""

    def lacking(self, case: Case) -> tuple[str, ...]:
        """Return the permissions that would turn an unmet rule; none if none can."""

    def names(self) -> tuple[str, ...]:
        """Return the permissions asked for, in order."""

    def describe(self, *, inner: bool = False) -> str:
        """Return the rule in words; *inner* asks for parentheses where they matter."""


@dataclass(frozen=True, slots=True)
class Held:
    """A permission the caller must hold."""

    name: str

    def holds(self, case: Case) -> bool:
        return case.holder.has(self.name)

    def lacking(self, case: Case) -> tuple[str, ...]:  # noqa: ARG002 - one signature for all rules
        return (self.name,)

    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def describe(self, *, inner: bool = False) -> str:  # noqa: ARG002 - the same
        return self.name


@dataclass(frozen=True, slots=True)
class InOrganization:
    """The organization a request is about must be the one the token speaks for."""

    selector: OrganizationOf

    def holds(self, case: Case) -> bool:
        asked = self._asked(case)
        # An empty or absent identifier never matches, whatever the token says:
        # "no organization" equal to "no organization" would open every door.
        return bool(asked) and asked == case.holder.organization

    def _asked(self, case: Case) -> str | None:
        if callable(self.selector):
            value = self.selector(case.request)
        elif self.selector in case.parameters:
            value = case.parameters[self.selector]
        else:
            raise ConfigurationError(
                f"organization={self.selector!r} names no path parameter of this route"
            )
        return None if value is None else str(value)  # a path converter may yield a UUID

    def lacking(self, case: Case) -> tuple[str, ...]:  # noqa: ARG002 - one signature for all rules
        return ()

    def names(self) -> tuple[str, ...]:
        return ()

    def describe(self, *, inner: bool = False) -> str:  # noqa: ARG002 - the same
        if callable(self.selector):
            return f"organization is {getattr(self.selector, '__name__', 'given')}(request)"
        return f"organization is {{{self.selector}}}"


@dataclass(frozen=True, slots=True)
class Group(Rule):
    """Several rules under one word; equal to another one in any order."""

    word: ClassVar[str]

    rules: tuple[Rule, ...] = field(compare=False)
    members: frozenset[Rule]

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Self:
        """Return the group of *rules*, each once; nested groups of one word are one group."""
        flat: dict[Rule, None] = {}
        for rule in rules:
            flat.update(dict.fromkeys(rule.rules if isinstance(rule, cls) else (rule,)))
        return cls(tuple(flat), frozenset(flat))

    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.names()))

    def describe(self, *, inner: bool = False) -> str:
        text = f" {self.word} ".join(rule.describe(inner=True) for rule in self.rules)
        return f"({text})" if inner else text


class AllOf(Group):
    """Every rule must be met."""

    __slots__ = ()

    word = "and"

    def holds(self, case: Case) -> bool:
        return all(rule.holds(case) for rule in self.rules)

    def lacking(self, case: Case) -> tuple[str, ...]:
        gaps = [rule.lacking(case) for rule in self.rules if not rule.holds(case)]
        # One part that no permission can turn makes the others useless to name.
        return () if () in gaps else tuple(dict.fromkeys(name for gap in gaps for name in gap))


class OneOf(Group):
    """At least one rule must be met."""

    __slots__ = ()

    word = "or"

    def holds(self, case: Case) -> bool:
        return any(rule.holds(case) for rule in self.rules)

    def lacking(self, case: Case) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.lacking(case)))


@dataclass(frozen=True, slots=True)
class Not:
    """The rule must not be met."""

    rule: Rule

    def holds(self, case: Case) -> bool:
        return not self.rule.holds(case)

    def lacking(self, case: Case) -> tuple[str, ...]:  # noqa: ARG002 - one signature for all rules
        return ()  # somebody holds too much, not too little

    def names(self) -> tuple[str, ...]:
        return self.rule.names()

    def describe(self, *, inner: bool = False) -> str:  # noqa: ARG002 - the same
        return f"not {self.rule.describe(inner=True)}"
