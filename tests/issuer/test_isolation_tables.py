"""Row-level security: of every table with a tenant nothing is seen or changed beyond the reach.

Each test asks every such table by raw SQL, as the issuer's own database role; a
table that comes later is asked, too, and has to be filled here.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, insert
from sqlalchemy.engine import Connection

from apostille_issuer.access.models import MembershipRole, Role, RoleGrant
from apostille_issuer.accounts.models import User
from apostille_issuer.audit.models import AuditEvent
from apostille_issuer.clients.models import ApiKey, ServiceAccount
from apostille_issuer.db.engine import Database, async_url
from apostille_issuer.db.metadata import METADATA
from apostille_issuer.db.reach import EVERY_TENANT, Reach
from apostille_issuer.db.types import new_id
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.tenancy.models import (
    Invitation,
    Membership,
    Organization,
    OrganizationLineage,
    Tenant,
    TenantDomain,
)
from support.postgresql import Server, connect_arguments

pytestmark = pytest.mark.postgresql

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OF_NO_TENANT = {
    *("alembic_version", "permissions", "policy_revision", "service_permissions", "services"),
    *("users", "user_roles", "notifications"),
    *("signing_keys", "secrets", "status_lists", "status_entries", "used_assertions"),
    "outgoing_mail",
}
"""Tables that hold nothing of a tenant's own: who people are, the catalogue, keys, bits."""


def column_of(table: str) -> str:
    return "id" if table == "tenants" else "tenant_id"


TABLES = sorted(
    name
    for name, table in METADATA.tables.items()
    if name == "tenants" or "tenant_id" in table.columns
)


def filled(tenant_id: uuid.UUID, user_id: uuid.UUID) -> Iterator[Any]:
    """Return a row of every table, for one tenant, in an order in which they can be written."""
    organization, role, membership, account = (new_id() for _ in range(4))
    dated = {"created_at": NOW, "updated_at": NOW}
    named = {"name": "Acme", "name_key": "acme", "state": "active"}
    here = {"tenant_id": tenant_id, "organization_id": organization}
    yield insert(Tenant).values(
        id=tenant_id, **named, **dated, entitlements={}, settings={}, branding={}
    )
    yield insert(TenantDomain).values(
        id=new_id(), tenant_id=tenant_id, host="a.example", challenge="x", created_at=NOW
    )
    yield insert(Organization).values(
        id=organization, tenant_id=tenant_id, **named, depth=1, settings={}, **dated
    )
    yield insert(OrganizationLineage).values(
        **here, ancestor_id=organization, distance=0, name_key="acme"
    )
    yield insert(Role).values(id=role, **here, name="clerk", description="", system=False, **dated)
    yield insert(RoleGrant).values(
        role_id=role, tenant_id=tenant_id, grant="inventory.read", effect="allow"
    )
    yield insert(Membership).values(
        id=membership, **here, user_id=user_id, state="active", scopes=[], **dated
    )
    yield insert(MembershipRole).values(
        membership_id=membership, role_id=role, tenant_id=tenant_id, created_at=NOW
    )
    yield insert(Invitation).values(
        **{"id": new_id(), **here, "email": "a@example.com", "email_key": "a@example.com"},
        generation=0,
        state="pending",
        roles=[],
        scopes=[],
        created_at=NOW,
        queued_at=NOW,
        delivery="sent",
        sent_at=NOW,
        expires_at=NOW + timedelta(days=7),
    )
    yield insert(User).values(
        id=account,
        login=account.hex,
        login_key=account.hex,
        state="active",
        kind="service",
        **dated,
    )
    yield insert(ServiceAccount).values(id=account, **here, name="job", description="", **dated)
    yield insert(ApiKey).values(
        id=new_id(),
        tenant_id=tenant_id,
        account_id=account,
        name="first",
        secret_hash="0" * 64,
        created_at=NOW,
        expires_at=NOW,
    )
    yield insert(LoginSession).values(
        **{"id": new_id(), **here, "user_id": user_id, "client_id": "apostille", "generation": 0},
        auth_time=NOW,
        amr=["pwd"],
        created_at=NOW,
        rotated_at=NOW,
        expires_at=NOW,
        idle_expires_at=NOW,
    )
    yield insert(AuditEvent).values(
        id=new_id(), at=NOW, tag="x", outcome="success", tenant_id=tenant_id
    )


@pytest.fixture
def dialect() -> str:
    return "postgresql"


@pytest.fixture
def tenants(database_url: str, postgresql: Server) -> tuple[uuid.UUID, uuid.UUID]:
    """Two tenants, each with a row in every table."""
    url = async_url(postgresql.superuser_url(database_url))
    engine = create_engine(url)
    found = new_id(), new_id()
    with engine.begin() as connection:
        for tenant_id in found:
            _fill(connection, tenant_id)
    engine.dispose()
    return found


def _fill(connection: Connection, tenant_id: uuid.UUID) -> None:
    user_id = new_id()
    connection.execute(
        insert(User).values(
            id=user_id,
            login=user_id.hex,
            login_key=user_id.hex,
            state="active",
            created_at=NOW,
            updated_at=NOW,
        )
    )
    for statement in filled(tenant_id, user_id):
        connection.execute(statement)


@contextmanager
def reaching(database_url: str, reach: Reach) -> Iterator[psycopg.Connection]:
    """Open a transaction as the issuer does, with that reach; undone at the end."""
    with psycopg.connect(**connect_arguments(database_url)) as connection:
        if reach is not None:
            connection.execute("SELECT set_config('apostille.tenant', %s, true)", [str(reach)])
        yield connection
        connection.rollback()


def seen(connection: psycopg.Connection, table: str) -> set[uuid.UUID]:
    found = connection.execute(f"SELECT {column_of(table)} FROM {table}".encode())
    return {ident for (ident,) in found}


def test_every_table_is_known_to_be_of_tenants_or_not() -> None:
    assert OF_NO_TENANT.isdisjoint(TABLES)
    unknown = set(METADATA.tables) - set(TABLES) - OF_NO_TENANT
    assert unknown == set(), "say in OF_NO_TENANT that it holds nothing of a tenant's own"


def test_every_table_of_tenants_is_held_and_filled(
    database_url: str, tenants: tuple[uuid.UUID, uuid.UUID]
) -> None:
    with reaching(database_url, EVERY_TENANT) as connection:
        for table in TABLES:
            row = connection.execute(
                "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class"
                " WHERE oid = %s::regclass",
                [table],
            ).fetchone()
            assert row == (True,), table
            assert set(tenants) <= seen(connection, table), f"{table}: add a row to filled()"


@pytest.mark.parametrize("reach", [None, "another"])
def test_nothing_is_seen_beyond_the_reach(
    reach: str | None, database_url: str, tenants: tuple[uuid.UUID, uuid.UUID]
) -> None:
    with reaching(database_url, tenants[1] if reach else None) as connection:
        for table in TABLES:
            found = seen(connection, table) - {None}
            assert found == ({tenants[1]} if reach else set()), table


@pytest.mark.parametrize("reach", [None, "another"])
def test_nothing_is_changed_beyond_the_reach(
    reach: str | None, database_url: str, tenants: tuple[uuid.UUID, uuid.UUID]
) -> None:
    mine, other = tenants
    with reaching(database_url, other if reach else None) as connection:
        for table in TABLES:
            column = column_of(table)
            for verb in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
                changed = connection.execute(f"{verb} WHERE {column} = %s".encode(), [mine])
                assert changed.rowcount == 0, f"{verb} {table}"


@pytest.mark.parametrize("reach", [None, "another"])
def test_nothing_is_written_beyond_the_reach(
    reach: str | None, database_url: str, tenants: tuple[uuid.UUID, uuid.UUID]
) -> None:
    mine, other = tenants
    with psycopg.connect(**connect_arguments(database_url), autocommit=True) as connection:
        for table in TABLES:
            with connection.transaction(force_rollback=True):
                connection.execute("SELECT set_config('apostille.tenant', '*', true)")
                copied = connection.execute(
                    f"SELECT to_jsonb(t) FROM {table} AS t WHERE {column_of(table)} = %s".encode(),
                    [mine],
                ).fetchone()
                assert copied
                wanted = str(other) if reach else ""
                connection.execute("SELECT set_config('apostille.tenant', %s, true)", [wanted])
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(
                        f"INSERT INTO {table} SELECT * FROM"
                        f" jsonb_populate_record(NULL::{table}, %s)".encode(),
                        [psycopg.types.json.Jsonb(copied[0])],
                    )


def test_rows_of_no_tenant_are_read_from_everywhere_and_changed_from_no_tenant(
    database_url: str, tenants: tuple[uuid.UUID, uuid.UUID]
) -> None:
    with reaching(database_url, None) as connection:
        connection.execute(
            "INSERT INTO roles (id, name, description, system, created_at, updated_at)"
            " VALUES (gen_random_uuid(), 'staff', '', true, now(), now())"
        )
        connection.execute(
            "INSERT INTO audit_events (id, at, tag, outcome)"
            " VALUES (gen_random_uuid(), now(), 'x', 'success')"
        )
        for reach in (*map(str, tenants), EVERY_TENANT, ""):
            connection.execute("SELECT set_config('apostille.tenant', %s, true)", [reach])
            found = connection.execute("SELECT name FROM roles WHERE tenant_id IS NULL").fetchall()
            assert found == [("staff",)]
            # Unlike roles, the platform's own trail is for the platform alone.
            trail = connection.execute("SELECT tag FROM audit_events WHERE tenant_id IS NULL")
            assert len(trail.fetchall()) == (0 if len(reach) > 1 else 1)
            changed = connection.execute("UPDATE roles SET name = name WHERE tenant_id IS NULL")
            assert changed.rowcount == (0 if len(reach) > 1 else 1)


def test_the_reach_of_a_transaction_ends_with_it(
    database_url: str, tenants: tuple[uuid.UUID, uuid.UUID]
) -> None:
    """A pooled connection carries nothing over, whether the transaction was kept or not."""

    async def ask() -> list[int]:
        database = Database(database_url, pool_size=1)
        counts = []
        for reach in (tenants[0], None, EVERY_TENANT, None):
            async with database.begin(reach) as session:
                counts.append(len((await session.execute(everything)).all()))
        with pytest.raises(ZeroDivisionError):
            async with database.begin(EVERY_TENANT) as session:
                raise ZeroDivisionError
        async with database.read() as session:
            counts.append(len((await session.execute(everything)).all()))
        await database.close()
        return counts

    everything = Tenant.__table__.select()
    assert asyncio.run(ask()) == [1, 0, 2, 0, 0]
