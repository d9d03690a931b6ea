"""Devices and the tokens issued for them: the first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From an empty database."""
    op.create_table(
        "registry_meta",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_registry_meta"),
    )
    op.create_table(
        "devices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("key_format", sa.String(), nullable=False),
        sa.Column("key_blob", sa.LargeBinary()),
        sa.Column("starting_code", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("time_divider", sa.Integer(), nullable=False),
        sa.Column("restricted_digit_set", sa.Boolean(), nullable=False),
        sa.Column("max_jump", sa.Integer(), nullable=False),
        sa.Column("max_sync_jump", sa.Integer(), nullable=False),
        sa.Column("older_window", sa.Integer(), nullable=False),
        sa.Column("max_count", sa.Integer(), nullable=False),
        sa.Column("hardware_model", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("test_code", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "key_format <> 'plain' OR (key_blob IS NOT NULL AND length(key_blob) = 16)", name="ck_devices_key_blob"
        ),
        sa.CheckConstraint("starting_code BETWEEN 1 AND 999999999", name="ck_devices_starting_code"),
        sa.CheckConstraint("count BETWEEN 0 AND max_count", name="ck_devices_count"),
        sa.CheckConstraint("time_divider BETWEEN 1 AND 255", name="ck_devices_time_divider"),
        sa.CheckConstraint("max_jump BETWEEN 1 AND 65535", name="ck_devices_max_jump"),
        sa.CheckConstraint("max_sync_jump BETWEEN 1 AND 65535", name="ck_devices_max_sync_jump"),
        sa.CheckConstraint("older_window BETWEEN 0 AND 31", name="ck_devices_older_window"),
        sa.CheckConstraint("max_count BETWEEN 1 AND 65535", name="ck_devices_max_count"),
        sa.CheckConstraint(
            "state IN ('new', 'provisioned', 'active', 'unlocked', 'repair', 'retired')", name="ck_devices_state"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
        sa.UniqueConstraint("serial", name="uq_devices_serial"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("device_id", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("token_type", sa.Integer(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("extended", sa.Boolean(), nullable=False),
        sa.Column("digits", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("issued_by", sa.String(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("count BETWEEN 1 AND 65535", name="ck_tokens_count"),
        sa.CheckConstraint("token_type BETWEEN 1 AND 4", name="ck_tokens_token_type"),
        sa.CheckConstraint("value BETWEEN 0 AND 999999", name="ck_tokens_value"),
        sa.CheckConstraint("reason IN ('payment', 'bonus', 'manual', 'test')", name="ck_tokens_reason"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_tokens_device_id"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("device_id", "count", name="uq_tokens_device_id_count"),
    )
