"""How far a transaction reaches: over no tenant, one, or all of them.

On PostgreSQL row-level security holds a transaction to its reach, so that a
forgotten filter finds nothing: the reach is a setting of that transaction,
``apostille.tenant``, and every table with a ``tenant_id`` has policies that go
by it (DESIGN section 11). Rows that belong to no tenant are for transactions
over no tenant or all; those of roles can be read from everywhere.

On SQLite the reach is not enforced; queries name their tenant all the same.
"""

from __future__ import annotations

import uuid
from typing import Final, Literal, TypeAlias

from sqlalchemy import Dialect, Select, func, select

__all__ = ["EVERY_TENANT", "Reach", "reaching", "row_level_security"]

EVERY_TENANT: Final = "*"
"""The reach of what looks at all tenants: logins, refreshes, the platform's administrators."""

Reach: TypeAlias = uuid.UUID | Literal["*"] | None
"""A tenant; all of them; or ``None``, the default: rows that belong to no tenant, and no others."""


def reaching(dialect: Dialect, reach: Reach) -> Select[str] | None:
    """Return the statement that lets a transaction reach so far until it ends, if it takes one."""
    if reach is None or dialect.name != "postgresql":
        return None
    return select(func.set_config("apostille.tenant", str(reach), True))


def row_level_security(
    table: str, column: str = "tenant_id", *, shared: bool = False
) -> tuple[str, ...]:
    """Return the statements that hold *table* to the reach of whoever uses it, its owner too.

    Args:
        table: Its name.
        column: Whose value is the tenant.
        shared: Whether what belongs to no tenant is for all of them to read.
    """
    # In a subquery, so that it is evaluated once for a statement and not for each row.
    said = "(SELECT nullif(current_setting('apostille.tenant', true), ''))"
    tenant = "(SELECT nullif(nullif(current_setting('apostille.tenant', true), ''), '*')::uuid)"
    within = (
        f"{column} = {tenant} OR {said} = '{EVERY_TENANT}' OR ({column} IS NULL AND {said} IS NULL)"
    )
    everybody = f"CREATE POLICY of_no_tenant ON {table} FOR SELECT USING ({column} IS NULL)"
    return (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY within_reach ON {table} USING ({within}) WITH CHECK ({within})",
        *((everybody,) if shared else ()),
    )
