"""An organisation at a glance: what is healthy, failed, late, and how it develops."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update

from datanika.contracts.api import OverviewOut
from datanika.contracts.enums import Role
from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.models import CatalogEntry, Pipeline, Run, Schedule
from datanika.services.actor import Actor, prove_membership
from datanika.services.overview_service import DAYS, MAX_RUNS, OverviewService
from tests.support.pipelines import MadePipeline, make_pipeline
from tests.support.tenants import make_tenant

pytestmark = pytest.mark.usefixtures("database")

HOUR = dt.timedelta(hours=1)


async def add_run(
    actor: Actor, made: MadePipeline, state: str, ago: dt.timedelta, **values: Any
) -> int:
    """A run of a minute that ended ``ago``, or began then and goes on."""
    async with get_session(SYSTEM) as session:
        version = (await session.get_one(Pipeline, made.id)).current_version_id
        begun = utcnow() - ago
        ended = state in ("succeeded", "failed", "cancelled")
        run = Run(
            org_id=actor.org_id,
            pipeline_id=made.id,
            pipeline_version_id=version,
            state=state,
            trigger="manual",
            idempotency_key=uuid4().hex,
            plan={},
            plan_hash="",
            created_at=begun - dt.timedelta(minutes=1 if ended else 0),
            started_at=None if state == "queued" else begun - dt.timedelta(minutes=ended),
            finished_at=begun if ended else None,
            **values,
        )
        session.add(run)
        await session.flush()
        return run.id


async def read(actor: Actor) -> OverviewOut:
    async with get_session(actor.scope) as session:
        return await OverviewService(session, actor).read()


async def test_an_empty_organisation_sees_what_it_has_to_do() -> None:
    owner = (await make_tenant()).owner
    shown = await read(owner)
    assert not any(shown.first_steps.model_dump().values())
    assert shown.health.total == 0 and shown.lanes == shown.failing == shown.late == []
    assert [day.runs for day in shown.days] == [0] * DAYS
    made = await make_pipeline(owner)
    steps = (await read(owner)).first_steps
    assert steps.has_connection and steps.has_pipeline and not steps.has_run
    await add_run(owner, made, "failed", HOUR)
    steps = (await read(owner)).first_steps
    assert steps.has_run and not steps.has_success


async def test_health_failures_lanes_and_days_are_of_this_organisation_only() -> None:
    owner, neighbour = (await make_tenant()).owner, (await make_tenant("Eve's")).owner
    good, bad, idle = [await make_pipeline(owner, name) for name in ("good", "bad", "idle")]
    theirs = await make_pipeline(neighbour, "theirs")
    await add_run(neighbour, theirs, "failed", HOUR, error_message="not yours", rows=10**6)
    await add_run(owner, good, "succeeded", 50 * HOUR, rows=5)
    await add_run(owner, good, "succeeded", 2 * HOUR, rows=7)
    live = await add_run(owner, good, "running", HOUR / 4)
    await add_run(owner, bad, "succeeded", 30 * HOUR, rows=3)
    failed = await add_run(
        owner,
        bad,
        "failed",
        HOUR,
        error_code="source_unreachable",
        error_message="The source does not answer.",
        error_hint="Open the firewall.",
    )
    # A cancelled run says nothing about the pipeline.
    await add_run(owner, bad, "cancelled", HOUR / 2)
    shown = await read(owner)
    assert shown.health.model_dump() == {
        "total": 3, "healthy": 1, "failing": 1, "running": 1, "paused": 0, "never_run": 1,
    }  # fmt: skip
    [one] = shown.failing
    assert (one.name, one.run_id, one.error_hint) == ("bad", failed, "Open the firewall.")
    assert one.last_success_at is not None
    # Failing first; only what ran or waits within a day.
    assert [(lane.name, len(lane.runs)) for lane in shown.lanes] == [("bad", 2), ("good", 2)]
    assert shown.lanes[1].runs[-1].id == live
    assert sum(day.runs for day in shown.days) == 5
    assert sum(day.rows for day in shown.days) == 15
    assert sum(day.failed for day in shown.days) == 1
    assert {day.median_seconds for day in shown.days if day.runs} == {60.0}
    assert shown.quota is not None and shown.quota.connections.used == 6
    assert "theirs" not in shown.model_dump_json() and "not yours" not in shown.model_dump_json()
    assert idle.id not in {lane.pipeline_id for lane in shown.lanes}


async def test_a_schedule_that_fired_without_a_success_since_is_late_with_its_tables() -> None:
    owner, neighbour = (await make_tenant()).owner, (await make_tenant("Eve's")).owner
    late, punctual, paused = [
        await make_pipeline(owner, name) for name in ("late", "punctual", "paused")
    ]
    foreign = await make_pipeline(neighbour, "foreign")
    last = await add_run(owner, late, "succeeded", 5 * HOUR)
    await add_run(owner, punctual, "succeeded", HOUR / 10)
    async with get_session(SYSTEM) as session:
        ours = [(owner, made) for made in (late, punctual, paused)]
        for actor, made in (*ours, (neighbour, foreign)):
            begun = utcnow() - dt.timedelta(days=9)
            session.add(
                Schedule(
                    org_id=actor.org_id,
                    pipeline_id=made.id,
                    interval_seconds=3600,
                    timezone="UTC",
                    created_at=begun,
                )
            )
        session.add(
            CatalogEntry(
                org_id=owner.org_id,
                connection_id=late.destination_id,
                schema_name="raw",
                name="orders",
                kind="table",
                columns=[],
                upstream=[],
                run_id=last,
            )
        )
        await session.execute(
            update(Pipeline).where(Pipeline.id == paused.id).values(is_paused=True)
        )
    shown = await read(owner)
    [one] = shown.late
    assert (one.name, one.tables, one.tables_total) == ("late", ["raw.orders"], 1)
    assert one.due_at > utcnow() - 5 * HOUR
    assert 3 * 3600 < one.late_seconds < 5 * 3600
    assert shown.health.paused == 1


async def test_a_busy_day_is_cut_and_says_so() -> None:
    owner = (await make_tenant()).owner
    made = await make_pipeline(owner)
    first = await add_run(owner, made, "succeeded", HOUR)
    async with get_session(SYSTEM) as session:
        run = await session.get_one(Run, first)
        copied = {
            column.key: getattr(run, column.key)
            for column in Run.__table__.columns
            if column.key not in ("id", "idempotency_key")
        }
        session.add_all([Run(**copied, idempotency_key=str(n)) for n in range(MAX_RUNS + 4)])
    shown = await read(owner)
    assert sum(len(lane.runs) for lane in shown.lanes) == MAX_RUNS
    assert shown.runs_left_out == 5
    assert first not in {run.id for run in shown.lanes[0].runs}


async def test_a_key_without_the_permissions_sees_less() -> None:
    owner = (await make_tenant()).owner
    async with get_session(SYSTEM) as session:
        narrow = await prove_membership(
            session, owner.user_id, owner.org_id, frozenset({"run:read"})
        )
    assert narrow.role is Role.OWNER
    assert (await read(narrow)).quota is None
