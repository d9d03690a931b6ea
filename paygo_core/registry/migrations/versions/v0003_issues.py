"""Why, by whom and when tokens were issued moves to a row that many tokens can share, and that a reference can name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Each old token gets such a row of its own, with the token's number."""
    op.create_table(
        "issues",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("issued_by", sa.String(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reference", sa.String()),
        sa.CheckConstraint("reason IN ('payment', 'bonus', 'manual', 'test')", name="ck_issues_reason"),
        sa.PrimaryKeyConstraint("id", name="pk_issues"),
        sa.UniqueConstraint("reference", name="uq_issues_reference"),
    )
    op.execute(
        "INSERT INTO issues (id, reason, issued_by, issued_at) SELECT id, reason, issued_by, issued_at FROM tokens"
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SELECT setval(pg_get_serial_sequence('issues', 'id'), max(id)) FROM issues HAVING max(id) > 0")
    op.add_column("tokens", sa.Column("issue_id", sa.Integer()))
    op.execute("UPDATE tokens SET issue_id = id")
    old = sa.Table(
        "tokens",
        sa.MetaData(),
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
        sa.Column("issue_id", sa.Integer()),
        sa.CheckConstraint("count BETWEEN 1 AND 65535", name="ck_tokens_count"),
        sa.CheckConstraint("token_type BETWEEN 1 AND 4", name="ck_tokens_token_type"),
        sa.CheckConstraint("value BETWEEN 0 AND 999999", name="ck_tokens_value"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_tokens_device_id"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("device_id", "count", name="uq_tokens_device_id_count"),
    )
    with op.batch_alter_table("tokens", copy_from=old) as batch:
        batch.alter_column("issue_id", existing_type=sa.Integer(), nullable=False)
        for name in ("reason", "issued_by", "issued_at"):
            batch.drop_column(name)
        batch.create_foreign_key("fk_tokens_issue_id", "issues", ["issue_id"], ["id"])
