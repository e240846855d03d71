"""Who holds what, compared: nobody hands on more than he holds. Pure decisions."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from apostille_contracts.permissions import covers

__all__ = ["NO_RIGHTS", "Rights"]


class Rights(Struct, frozen=True):
    """The grants of one person over all of his roles."""

    allows: frozenset[str] = frozenset()
    denies: frozenset[str] = frozenset()

    @classmethod
    def of(cls, grants: Iterable[tuple[str, str]]) -> Rights:
        """Return the rights made of pairs of grant and effect."""
        pairs = frozenset(grants)
        return cls(
            frozenset(grant for grant, effect in pairs if effect == "allow"),
            frozenset(grant for grant, effect in pairs if effect == "deny"),
        )

    def cover(self, grant: str) -> bool:
        """Say whether whoever holds these rights holds all that *grant* means.

        A wildcard is held only by a wildcard that covers it: it speaks of
        permissions to come, which no list of names does. No deny may touch it.
        """
        if any(covers(deny, grant) or covers(grant, deny) for deny in self.denies):
            return False
        return any(covers(allow, grant) for allow in self.allows)

    def missing(self, grants: Iterable[str]) -> tuple[str, ...]:
        """Return those of *grants* that are not held, in alphabetical order."""
        return tuple(sorted(grant for grant in frozenset(grants) if not self.cover(grant)))


NO_RIGHTS = Rights()
"""Of somebody unknown, disabled, or without a role."""
