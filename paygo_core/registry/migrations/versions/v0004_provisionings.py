"""Which serials a factory's stations have begun to write into units: each into one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds the table, and the index that lets a serial be begun once at a time."""
    op.create_table(
        "provisionings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("device_id", sa.Integer(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("outcome", sa.String()),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_provisionings_device_id"),
        sa.PrimaryKeyConstraint("id", name="pk_provisionings"),
    )
    unended = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_provisionings_begun",
        "provisionings",
        ["device_id"],
        unique=True,
        sqlite_where=unended,
        postgresql_where=unended,
    )
