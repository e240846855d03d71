"""A customer of any size, written into the database of an issuer at once."""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, create_engine, insert, select

from apostille_issuer.access.models import MembershipRole, Role, RoleGrant
from apostille_issuer.accounts.models import User
from apostille_issuer.db.types import new_id
from apostille_issuer.tenancy.models import (
    MAX_DEPTH,
    Membership,
    Organization,
    OrganizationLineage,
    Tenant,
)

__all__ = ["Customer", "Size", "write_customer"]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHUNK = 10_000
PLACES = 10
"""Organizations that the one who switches is in."""


class Size(Struct, frozen=True):
    """How many there are."""

    organizations: int
    users: int
    roles: int

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.organizations:,} organizations, {self.users:,} users, {self.roles:,} roles"


class Customer(Struct, frozen=True):
    """What was written."""

    tenant_id: uuid.UUID
    root: uuid.UUID
    admin: uuid.UUID
    """Administers the root, and by that all below it."""
    traveller: uuid.UUID
    """Is a member of :attr:`places`, with a role in each."""
    places: tuple[uuid.UUID, ...]


def write_customer(database: Path, size: Size) -> Customer:
    """Write a customer of *size* into the migrated and seeded *database*; the same in every run."""
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        customer = _Writer(connection, size).write()
    # So that plans are made for what is there, as on a database in use.
    with engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE")
        connection.commit()
    engine.dispose()
    return customer


class _Writer:
    def __init__(self, connection: Connection, size: Size) -> None:
        self._connection = connection
        self._size = size
        self._random = random.Random(size.organizations)
        self._tenant_id = new_id()
        self._dated = {"created_at": NOW, "updated_at": NOW}

    def write(self) -> Customer:
        connection, tenant_id = self._connection, self._tenant_id
        connection.execute(
            insert(Tenant).values(
                id=tenant_id,
                name="Acme",
                name_key="acme",
                state="active",
                entitlements={},
                settings={},
                branding={},
                **self._dated,
            )
        )
        organizations = self._organizations()
        roles = self._roles(organizations)
        users = self._users()
        admin = connection.execute(select(Role.id).where(Role.name == "admin")).scalar_one()
        head, traveller, *others = users
        places = tuple(self._random.sample(organizations[1:], PLACES))
        wanted = itertools.chain(
            [(head, organizations[0], admin)],
            ((traveller, place, self._random.choice(roles)) for place in places),
            (
                (user, organizations[number % len(organizations)], roles[number % len(roles)])
                for number, user in enumerate(others)
            ),
        )
        self._memberships(wanted)
        return Customer(tenant_id, organizations[0], head, traveller, places)

    def _organizations(self) -> list[uuid.UUID]:
        """Write a tree as deep as may be, and as broad as it takes."""
        ids: list[uuid.UUID] = []
        chains: list[list[uuid.UUID]] = []
        rows: list[dict[str, Any]] = []
        lineage: list[dict[str, Any]] = []
        for number in range(self._size.organizations):
            ident = new_id()
            # The first are one below the other, the others wherever there is room.
            above = [] if not number else chains[number - 1 if number < MAX_DEPTH else -1]
            while number >= MAX_DEPTH and len(above := self._random.choice(chains)) >= MAX_DEPTH:
                pass
            chain = [ident, *above]
            key = f"{self._random.getrandbits(40):010x}"
            ids.append(ident)
            chains.append(chain)
            rows.append(
                {
                    "id": ident,
                    "tenant_id": self._tenant_id,
                    "parent_id": above[0] if above else None,
                    "name": key,
                    "name_key": key,
                    "state": "active",
                    "depth": len(chain),
                    "settings": {},
                    **self._dated,
                }
            )
            lineage += [
                {
                    "organization_id": ident,
                    "ancestor_id": ancestor,
                    "tenant_id": self._tenant_id,
                    "distance": distance,
                    "name_key": key,
                }
                for distance, ancestor in enumerate(chain)
            ]
        self._insert(Organization, rows)
        self._insert(OrganizationLineage, lineage)
        return ids

    def _roles(self, organizations: list[uuid.UUID]) -> list[uuid.UUID]:
        ids = [new_id() for _ in range(self._size.roles)]
        rows = (
            {
                "id": ident,
                "tenant_id": self._tenant_id,
                "name": f"role-{number}",
                "organization_id": organizations[0],
                "description": "",
                "system": False,
                "inherited": False,
                **self._dated,
            }
            for number, ident in enumerate(ids)
        )
        self._insert(Role, rows)
        grants = (
            {
                "role_id": ident,
                "tenant_id": self._tenant_id,
                "effect": "allow",
                "grant": "iam.users.read",
            }
            for ident in ids
        )
        self._insert(RoleGrant, grants)
        return ids

    def _users(self) -> list[uuid.UUID]:
        ids = [new_id() for _ in range(self._size.users)]
        rows = (
            {
                "id": ident,
                "login": f"user{number}",
                "login_key": f"user{number}",
                "state": "active",
                "kind": "person",
                **self._dated,
            }
            for number, ident in enumerate(ids)
        )
        self._insert(User, rows)
        return ids

    def _memberships(self, wanted: Iterable[tuple[uuid.UUID, uuid.UUID, uuid.UUID]]) -> None:
        made = [(new_id(), *each) for each in wanted]
        rows = (
            {
                "id": ident,
                "tenant_id": self._tenant_id,
                "organization_id": place,
                "user_id": user,
                "state": "active",
                "scopes": [],
                **self._dated,
            }
            for ident, user, place, _ in made
        )
        self._insert(Membership, rows)
        given = (
            {
                "membership_id": ident,
                "role_id": role,
                "tenant_id": self._tenant_id,
                "created_at": NOW,
            }
            for ident, _, _, role in made
        )
        self._insert(MembershipRole, given)

    def _insert(self, model: type[Any], rows: Iterable[dict[str, Any]]) -> None:
        remaining: Iterator[dict[str, Any]] = iter(rows)
        while chunk := list(itertools.islice(remaining, CHUNK)):
            self._connection.execute(insert(model), chunk)
