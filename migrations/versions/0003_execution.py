"""When pipelines run and what they wait for: schedules' windows, dependencies, backfills, overlaps.

Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.helpers import enable_tenant_rls

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_tables()
    add_columns()
    for table in ("backfills", "pipeline_dependencies"):
        enable_tenant_rls(table)


def create_tables() -> None:
    op.create_table(
        "backfills",
        *_row(),
        sa.Column("pipeline_id", sa.BigInteger(), nullable=False),
        sa.Column("interval_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("interval_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("chunk_seconds", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("overrides", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        _organization("backfills"),
        _pipeline("backfills", "pipeline_id"),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name="fk_backfills_created_by_users", ondelete="SET NULL"
        ),
        sa.CheckConstraint("interval_start < interval_end", name="ck_backfills_forward"),
        sa.PrimaryKeyConstraint("id", name="pk_backfills"),
        sa.UniqueConstraint("org_id", "id", name="uq_backfills_org_id_id"),
    )
    op.create_index("ix_backfills_org_id", "backfills", ["org_id"])
    op.create_index("ix_backfills_pipeline_id", "backfills", ["pipeline_id"])
    op.create_table(
        "pipeline_dependencies",
        *_row(),
        sa.Column("pipeline_id", sa.BigInteger(), nullable=False),
        sa.Column("upstream_id", sa.BigInteger(), nullable=False),
        sa.Column("starts_run", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("within_seconds", sa.BigInteger(), nullable=True),
        sa.Column("wait_seconds", sa.BigInteger(), server_default="3600", nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="1", nullable=False),
        _organization("pipeline_dependencies"),
        _pipeline("pipeline_dependencies", "pipeline_id"),
        _pipeline("pipeline_dependencies", "upstream_id"),
        sa.CheckConstraint(
            "pipeline_id <> upstream_id", name="ck_pipeline_dependencies_not_itself"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_pipeline_dependencies"),
    )
    for column in ("org_id", "pipeline_id", "upstream_id"):
        op.create_index(f"ix_pipeline_dependencies_{column}", "pipeline_dependencies", [column])
    op.create_index(
        "uq_pipeline_dependencies_live",
        "pipeline_dependencies",
        ["pipeline_id", "upstream_id"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def add_columns() -> None:
    for name in ("starts_at", "ends_at"):
        op.add_column("schedules", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    for name, default in (("catchup_seconds", "86400"), ("jitter_seconds", "0")):
        op.add_column(
            "schedules",
            sa.Column(name, sa.BigInteger(), server_default=default, nullable=False),
        )
    op.create_unique_constraint("uq_schedules_org_id_id", "schedules", ["org_id", "id"])
    op.add_column("pipelines", sa.Column("deployed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "pipelines",
        sa.Column("overlap_policy", sa.String(length=8), server_default="skip", nullable=False),
    )
    op.add_column(
        "pipelines",
        sa.Column("consecutive_failures", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.add_column("pipelines", sa.Column("pause_code", sa.String(length=100), nullable=True))
    op.add_column("pipelines", sa.Column("pause_reason", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("schedule_id", sa.BigInteger(), nullable=True))
    op.create_index("ix_runs_schedule_id", "runs", ["schedule_id"])
    for name in ("scheduled_for", "waits_until", "interval_start", "interval_end"):
        op.add_column("runs", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "runs",
        sa.Column("ignores_dependencies", sa.Boolean(), server_default="false", nullable=False),
    )
    op.add_column("runs", sa.Column("backfill_id", sa.BigInteger(), nullable=True))
    for column, parent in (("schedule_id", "schedules"), ("backfill_id", "backfills")):
        op.create_foreign_key(
            f"fk_runs_org_id_{column}_{parent}",
            "runs",
            parent,
            ["org_id", column],
            ["org_id", "id"],
            ondelete="CASCADE",
        )
    op.create_index("ix_runs_backfill_id", "runs", ["backfill_id"])
    op.add_column(
        "runs",
        sa.Column("overrides", postgresql.JSONB(), server_default="{}", nullable=False),
    )


def _row() -> tuple[sa.Column[object], ...]:
    now = sa.text("now()")
    zoned = sa.DateTime(timezone=True)
    return (
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("created_at", zoned, server_default=now, nullable=False),
        sa.Column("updated_at", zoned, server_default=now, nullable=False),
        sa.Column("deleted_at", zoned, nullable=True),
        sa.Column("org_id", sa.BigInteger(), nullable=False),
    )


def _organization(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["org_id"],
        ["organizations.id"],
        name=f"fk_{table}_org_id_organizations",
        ondelete="CASCADE",
    )


def _pipeline(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["org_id", column],
        ["pipelines.org_id", "pipelines.id"],
        name=f"fk_{table}_org_id_{column}_pipelines",
        ondelete="CASCADE",
    )


def downgrade() -> None:
    for name in (
        *("overrides", "backfill_id", "ignores_dependencies", "interval_end", "interval_start"),
        *("waits_until", "scheduled_for", "schedule_id"),
    ):
        op.drop_column("runs", name)
    for name in (
        *("pause_reason", "pause_code", "consecutive_failures", "overlap_policy", "deployed_at"),
    ):
        op.drop_column("pipelines", name)
    op.drop_constraint("uq_schedules_org_id_id", "schedules", type_="unique")
    for name in ("jitter_seconds", "catchup_seconds", "ends_at", "starts_at"):
        op.drop_column("schedules", name)
    op.drop_table("pipeline_dependencies")
    op.drop_table("backfills")
