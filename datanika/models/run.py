"""Runs, their steps, the tables and dbt nodes inside a step, and their log lines."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, Float, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TenantMixin, TimestampMixin, same_tenant


class Run(TimestampMixin, TenantMixin, Base):
    """One execution of a plan. ``plan`` is the compiled plan it runs, kept with the run.

    ``scheduled_for`` is the time that a schedule meant. ``waits_until`` is set while the run waits
    for what it depends on: the deadline. A run of a backfill loads what lies between
    ``interval_start`` (included) and ``interval_end`` (not).
    """

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        UniqueConstraint("org_id", "pipeline_id", "idempotency_key"),
        same_tenant("pipeline_id", "pipelines"),
        same_tenant("pipeline_version_id", "pipeline_versions"),
        Index("ix_runs_org_id_pipeline_id_id", "org_id", "pipeline_id", "id"),
        Index("ix_runs_state", "state"),
        same_tenant("schedule_id", "schedules"),
        same_tenant("backfill_id", "backfills"),
        Index("ix_runs_backfill_id", "backfill_id"),
    )

    id: Mapped[PrimaryKey]
    pipeline_id: Mapped[int] = mapped_column(index=True)
    pipeline_version_id: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    trigger: Mapped[str] = mapped_column(String(16))
    triggered_by: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="SET NULL")
    )
    retry_of: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("runs.id", ondelete="SET NULL"), index=True
    )
    schedule_id: Mapped[int | None] = mapped_column(index=True)
    scheduled_for: Mapped[dt.datetime | None]
    waits_until: Mapped[dt.datetime | None]
    ignores_dependencies: Mapped[bool] = mapped_column(default=False, server_default="false")
    backfill_id: Mapped[int | None]
    interval_start: Mapped[dt.datetime | None]
    interval_end: Mapped[dt.datetime | None]
    overrides: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    idempotency_key: Mapped[str] = mapped_column(String(255))
    plan: Mapped[dict[str, Any]]
    plan_hash: Mapped[str] = mapped_column(String(64))
    flow_run_id: Mapped[str | None] = mapped_column(String(36), unique=True)
    attempt: Mapped[int] = mapped_column(default=0, server_default="0")
    lease_expires_at: Mapped[dt.datetime | None]
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]
    rows: Mapped[int | None]
    error_code: Mapped[str | None] = mapped_column(String(100))
    error_message: Mapped[str | None] = mapped_column(Text)
    error_hint: Mapped[str | None] = mapped_column(Text)


class RunStep(TimestampMixin, TenantMixin, Base):
    """A plan step (``node`` empty) or a table / dbt node inside one (``node`` set)."""

    __tablename__ = "run_steps"
    __table_args__ = (
        UniqueConstraint("run_id", "step_key", "node"),
        same_tenant("run_id", "runs"),
    )

    id: Mapped[PrimaryKey]
    run_id: Mapped[int]
    step_key: Mapped[str] = mapped_column(String(63))
    node: Mapped[str] = mapped_column(String(400), default="", server_default="")
    name: Mapped[str] = mapped_column(String(400))
    kind: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(default=0, server_default="0")
    depends_on: Mapped[list[str]]
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]
    duration_seconds: Mapped[float | None] = mapped_column(Float)
    rows: Mapped[int | None]
    rows_total: Mapped[int | None]
    bytes: Mapped[int | None]
    relation: Mapped[str | None] = mapped_column(String(400))
    error_code: Mapped[str | None] = mapped_column(String(100))
    error_message: Mapped[str | None] = mapped_column(Text)
    error_hint: Mapped[str | None] = mapped_column(Text)
    details: Mapped[dict[str, Any]]


class RunLog(TenantMixin, Base):
    """One log line. ``id`` is the order and the cursor of a log stream."""

    __tablename__ = "run_logs"
    __table_args__ = (
        Index("ix_run_logs_run_id_id", "run_id", "id"),
        same_tenant("run_id", "runs"),
    )

    id: Mapped[PrimaryKey]
    run_id: Mapped[int]
    step_key: Mapped[str] = mapped_column(String(63))
    node: Mapped[str | None] = mapped_column(String(400))
    at: Mapped[dt.datetime]
    level: Mapped[str] = mapped_column(String(10))
    message: Mapped[str] = mapped_column(Text)
