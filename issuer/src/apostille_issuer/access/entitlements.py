"""What a token may say about its bearer: roles, and permissions per audience."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from sqlalchemy import Uuid, bindparam, select, true

from apostille_contracts.permissions import PermissionSet, effective_permissions
from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.models import (
    Permission,
    PolicyRevision,
    Role,
    RoleGrant,
    Service,
    ServicePermission,
)
from apostille_issuer.access.rights import Rights
from apostille_issuer.access.schemas import Entitlements
from apostille_issuer.access.standings import Place, Standings, read_standings
from apostille_issuer.db.engine import Statements
from apostille_issuer.problems import IssuerProblem

__all__ = ["Ask", "EntitlementResolver"]

MAX_CACHED: Final = 10_000
"""Results kept: one per set of roles and audiences that logs in."""

ATTEMPTS: Final = 5
"""How often policy may change between two of our statements before we give up."""


MAX_DEFAULT_AUDIENCE_BYTES: Final = 1_000
"""Most that ``aud`` of a token takes for which no audience was named.

It leaves room for permissions in a cookie of 4,096 bytes, whoever registers
however many services.
"""


Ask = tuple[Place, Iterable[str] | None]
"""Whose entitlements, where, for which audiences; ``None`` for the default."""


class _Held(Struct, frozen=True):
    """What roles come to."""

    audience: tuple[str, ...]
    permissions: tuple[str, ...]


class _Snapshot:
    """Catalogue and services of one revision, and what was found out from them."""

    def __init__(self, revision: uuid.UUID, declared: dict[str, frozenset[str]], own: str) -> None:
        self.revision = revision
        self.declared = declared
        self.catalogue = frozenset[str]().union(*declared.values())
        self.all_audiences = (own, *sorted(declared.keys() - {own}))
        self._all_fit = _fit(self.all_audiences)
        self._keeping = threading.Lock()
        self.results: dict[tuple[tuple[uuid.UUID, ...], tuple[str, ...] | None], _Held] = {}

    def audience(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """Return the audiences *wanted*, each once.

        Raises:
            IssuerProblem: ``unknown_audience``, naming which.
        """
        audience = tuple(dict.fromkeys(wanted))
        unknown = [name for name in audience if name not in self.declared]
        if unknown or not audience:
            raise IssuerProblem(
                ProblemCode.UNKNOWN_AUDIENCE,
                errors=tuple(
                    FieldError("audience", f"{name[:255]!r} is not registered") for name in unknown
                )
                or (FieldError("audience", "name at least one"),),
            )
        return audience

    def default_audience(self, rights: Rights) -> tuple[str, ...]:
        """Return the audience of a token for which none was named.

        All there are, the issuer's own first. If they are more than
        :data:`MAX_DEFAULT_AUDIENCE_BYTES`, those in which *rights* come to
        anything; if they are still more, the issuer's own alone. So nobody's
        login fails because of the services that others register.
        """
        if self._all_fit:
            return self.all_audiences
        own, *others = self.all_audiences
        held = PermissionSet(
            effective_permissions(rights.allows, rights.denies, self.catalogue, self.catalogue)
        )
        touched = (name for name in others if any(map(held.covers, self.declared[name])))
        audience = (own, *touched)
        return audience if _fit(audience) else (own,)

    def effective(self, rights: Rights, audience: tuple[str, ...]) -> tuple[str, ...]:
        """Return what *rights* come to for *audience* (DESIGN section 4).

        The catalogue is what services declare today. A permission that no
        service declares is in no token by name, and a wildcard is not broken
        up for its sake: whoever holds the wildcard holds that permission too.
        """
        visible = frozenset[str]().union(*(self.declared[name] for name in audience))
        return effective_permissions(rights.allows, rights.denies, self.catalogue, visible)

    def remember(
        self, roles: tuple[uuid.UUID, ...], audience: tuple[str, ...] | None, result: _Held
    ) -> None:
        """Keep *result*; the oldest goes where :data:`MAX_CACHED` are kept."""
        with self._keeping:  # threads of connections come here, too
            if len(self.results) >= MAX_CACHED:
                self.results.pop(next(iter(self.results)))
            self.results[roles, audience] = result


class EntitlementResolver:
    """Answers at each login and refresh, with one statement where it can.

    The statement reads users' roles together with the policy revision. A set of
    roles seen before under that revision and audience needs no more: whatever
    replica changed a role, the catalogue or a service also changed the
    revision. Otherwise one more statement reads the grants of the roles, and,
    once per revision, another one the catalogue. Each reads the revision along;
    where it differs, policy changed in between and we start again, so a result
    is always of one moment.
    """

    def __init__(self, issuer_audience: str) -> None:
        """Take the audience of the issuer's own API, which comes first."""
        self._issuer_audience = issuer_audience
        self._snapshot: _Snapshot | None = None

    def resolve(self, statements: Statements, asks: Sequence[Ask]) -> list[Entitlements]:
        """Return roles and permissions for each of *asks*; see the service."""
        for _ in range(ATTEMPTS if asks else 0):
            standings = read_standings(statements, [place for place, _ in asks])
            found = self._resolve_at(statements, standings, asks)
            if found is not None:
                return found
        if asks:
            raise IssuerProblem(ProblemCode.OVERLOADED, retry_after=1)
        return []

    def _resolve_at(
        self, statements: Statements, standings: Standings, asks: Sequence[Ask]
    ) -> list[Entitlements] | None:
        """Return what *asks* ask for, or ``None`` if policy changed since *standings*.

        Raises:
            IssuerProblem: ``not_a_member``, ``unknown_audience``.
        """
        snapshot = self._snapshot_at(statements, standings.revision)
        if snapshot is None:
            return None
        found: list[Entitlements] = []
        for place, wanted in asks:
            standing = standings.at.get(place)
            if standing is None:
                raise IssuerProblem(ProblemCode.NOT_A_MEMBER)
            named = None if wanted is None else snapshot.audience(wanted)
            result = snapshot.results.get((standing.role_ids, named))
            if result is None:
                rights = _rights(statements, standings.revision, standing.role_ids)
                if rights is None:
                    return None
                audience = named or snapshot.default_audience(rights)
                result = _Held(audience, snapshot.effective(rights, audience))
                snapshot.remember(standing.role_ids, named, result)
            found.append(
                Entitlements(
                    standing.role_names,
                    result.permissions,
                    result.audience,
                    tenant_id=standing.tenant_id,
                    plan=standing.plan,
                    scopes=standing.scopes,
                )
            )
        return found

    def heaviest_role(
        self, statements: Statements, place: Place, audience: tuple[str, ...]
    ) -> tuple[str, int]:
        """Return the role that brings most into a token for *audience*; see the service."""
        standings = read_standings(statements, [place])
        roles = standings.at[place]
        snapshot = self._snapshot_at(statements, standings.revision)
        if snapshot is None:  # it is for an error message: the next attempt will do
            raise IssuerProblem(ProblemCode.OVERLOADED, retry_after=1)
        wanted = snapshot.audience(audience)
        held: dict[str, list[tuple[str, str]]] = {name: [] for name in roles.role_names}
        rows = statements.execute(
            select(Role.name, RoleGrant.grant, RoleGrant.effect)
            .join(Role, Role.id == RoleGrant.role_id)
            .where(Role.id.in_(roles.role_ids))
        )
        for name, grant, effect in rows:
            held[name].append((grant, effect))
        brought = {
            name: snapshot.effective(Rights.of(grants), wanted) for name, grants in held.items()
        }
        name = max(brought, key=lambda role: sum(map(len, brought[role])))
        return name, len(brought[name])

    def _snapshot_at(self, statements: Statements, revision: uuid.UUID) -> _Snapshot | None:
        """Return the catalogue of *revision*, or ``None`` if it is already another's."""
        snapshot = self._snapshot
        if snapshot is not None and snapshot.revision == revision:
            return snapshot
        rows = statements.execute(_CATALOGUE).all()
        if any(row.revision != revision for row in rows):
            return None
        names: dict[str, set[str]] = {row.audience: set() for row in rows}
        for row in rows:
            # A service that declares nothing has one row, without a permission.
            if row.name is not None:
                names[row.audience].add(row.name)
        declared = {audience: frozenset(held) for audience, held in names.items()}
        self._snapshot = _Snapshot(revision, declared, self._issuer_audience)
        return self._snapshot


def _fit(audience: Iterable[str]) -> bool:
    """Say whether *audience*, each in quotes and followed by a comma, stays within the limit."""
    return sum(len(name.encode()) + 3 for name in audience) <= MAX_DEFAULT_AUDIENCE_BYTES


# Built once: composing a statement takes as long as SQLite takes to answer it.
_GRANTS = (
    select(PolicyRevision.revision, RoleGrant.grant, RoleGrant.effect)
    .select_from(PolicyRevision)
    .outerjoin(RoleGrant, RoleGrant.role_id.in_(bindparam("roles", type_=Uuid(), expanding=True)))
)

_CATALOGUE = (
    select(PolicyRevision.revision, Service.audience, Permission.name)
    .select_from(PolicyRevision)
    .join(Service, true())
    .outerjoin(ServicePermission, ServicePermission.service_id == Service.id)
    .outerjoin(Permission, Permission.id == ServicePermission.permission_id)
)


def _rights(
    statements: Statements, revision: uuid.UUID, role_ids: tuple[uuid.UUID, ...]
) -> Rights | None:
    """Return what the roles grant, or ``None`` if the revision is another one by now."""
    rows = statements.execute(_GRANTS, {"roles": role_ids}).all()
    if rows[0].revision != revision:
        return None
    return Rights.of((row.grant, row.effect) for row in rows if row.grant is not None)
