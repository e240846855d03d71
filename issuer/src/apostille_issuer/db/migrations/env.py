"""Alembic's entry point; ``apostille_issuer.db.schema`` hands it an open connection."""

from __future__ import annotations

from alembic import context

from apostille_issuer.db.metadata import METADATA

connection = context.config.attributes["connection"]

context.configure(
    connection=connection,
    target_metadata=METADATA,
    # SQLite changes a table by making it anew.
    render_as_batch=connection.dialect.name == "sqlite",
    # All or nothing, on SQLite too: the connection is in one transaction already.
    transactional_ddl=True,
)
context.run_migrations()
