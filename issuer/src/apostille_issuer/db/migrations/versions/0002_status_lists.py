"""Status lists: which sessions' access tokens are no longer good."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "status_lists",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_index", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_status_lists")),
    )
    op.create_table(
        "status_entries",
        sa.Column("list_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("idx", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("drop_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("list_id", "idx", name=op.f("pk_status_entries")),
    )
    op.create_index(
        op.f("ix_status_entries_list_id_revision"), "status_entries", ["list_id", "revision"]
    )
    op.create_index(op.f("ix_status_entries_drop_at"), "status_entries", ["drop_at"])
    op.add_column("sessions", sa.Column("status_list_id", sa.Integer(), nullable=True))
    op.add_column("sessions", sa.Column("status_index", sa.Integer(), nullable=True))
