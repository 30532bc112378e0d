"""The web process heals runs by itself, without Prefect's maintenance deployment."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
import uuid

import pytest

from datanika.api import background
from datanika.api.background import background_tasks
from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.db import SYSTEM, get_session
from datanika.models import Run
from datanika.services.actor import Actor
from datanika.services.run_recorder import claim_run
from datanika.services.run_service import RunService
from tests.support.channels import end_run, make_channel, receiving
from tests.support.pipelines import make_pipeline
from tests.support.tenants import Tenant


async def silent_run(actor: Actor) -> int:
    """A claimed run whose lease is over."""
    pipeline = await make_pipeline(actor)
    async with get_session(actor.scope) as session:
        run_id = (await RunService(session, actor).trigger(pipeline.id, "k")).id
        await claim_run(
            session,
            org_id=actor.org_id,
            pipeline_id=pipeline.id,
            flow_run_id=str(uuid.uuid4()),
            run_id=run_id,
        )
    async with get_session(SYSTEM) as session:
        run = await session.get_one(Run, run_id)
        run.lease_expires_at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    return run_id


async def state_of(run_id: int) -> str:
    async with get_session(SYSTEM) as session:
        return (await session.get_one(Run, run_id)).state


async def test_a_lost_run_is_found_and_a_failed_pass_is_not_the_last(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(background, "_last_pass", time.monotonic() + 600)
    passes, real = 0, background.reconcile

    async def fails_first() -> dict[str, int]:
        nonlocal passes
        passes += 1
        if passes == 1:
            raise ConnectionError("the database restarts")
        return await real()

    monkeypatch.setattr(background, "reconcile", fails_first)
    run_id = await silent_run(tenant.owner)
    async with background_tasks(), asyncio.timeout(60):
        while await state_of(run_id) != RunState.QUEUED:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert passes >= 2


async def test_a_web_process_that_was_away_first_listens(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "_last_pass", None)
    run_id = await silent_run(tenant.owner)
    assert (await background.run_reconciler())["lost"] == 0
    assert await state_of(run_id) == RunState.STARTING


async def test_notifications_are_delivered_and_a_failed_pass_is_not_the_last(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but PostgreSQL is there: no Redis, no Prefect."""
    monkeypatch.setattr(background, "DELIVERY_SECONDS", 0.05)
    monkeypatch.setattr(settings, "redis_url", None)
    passes, real = 0, background.deliver_due

    async def fails_first() -> dict[str, int]:
        nonlocal passes
        passes += 1
        if passes == 1:
            raise ConnectionError("the database restarts")
        return await real()

    monkeypatch.setattr(background, "deliver_due", fails_first)
    pipeline = await make_pipeline(tenant.owner)
    async with receiving() as receiver:
        await make_channel(tenant.owner, receiver.url)
        await end_run(tenant.owner, pipeline.id, RunState.FAILED)
        async with background_tasks(), asyncio.timeout(60):
            while not receiver.got:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert passes >= 2
