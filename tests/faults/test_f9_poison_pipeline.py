"""F9: a pipeline that eats all its memory, run after run, beside ten healthy ones.

It is paused with its reason after the tenth failure, a person resumes it with one click, and
nobody else notices.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from datanika.client import DatanikaClient
from datanika.contracts.api import ConnectionIn, PipelineIn, RunOut
from datanika.contracts.enums import Materialization, RunState
from datanika.contracts.spec import PipelineSpec, RetryPolicy, TransformationSpec, TransformStep
from tests.faults.chaos import Chaos
from tests.support.platform import RunningPlatform
from tests.support.platform_parts import settings_of
from tests.support.tenants import access_token, make_tenant

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PATIENCE_SECONDS = 240
PAUSED_AFTER = 10
BOMB = "select list(repeat('x', 100000000) || i) as a from range(100) t(i)"
"""Ten gigabytes, where a step may have two."""


def make_poison(api: DatanikaClient) -> int:
    warehouse = api.connections.create(ConnectionIn(name="local", kind="duckdb", config={})).id
    api.transformations.create(
        TransformationSpec(
            name="bomb",
            destination_id=warehouse,
            sql=BOMB,
            materialization=Materialization.TABLE,
        )
    )
    step = TransformStep(key="build", destination_id=warehouse, retry=RetryPolicy(retries=0))
    return api.pipelines.create(PipelineIn(name="poison", spec=PipelineSpec(steps=(step,)))).id


def run_to_end(api: DatanikaClient, pipeline_id: int) -> RunOut:
    run = api.pipelines.run(pipeline_id)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not run.state.is_final:
        assert time.monotonic() < deadline, run
        time.sleep(0.3)
        run = api.runs.get(run.id)
    return run


async def test_f9_a_pipeline_that_eats_its_memory_is_paused_and_ten_others_go_on(
    platform: RunningPlatform,
) -> None:
    async with settings_of(platform):
        chaos = Chaos(platform, 9)
        await chaos.prepare(4, schedules=False)
        healthy = [(shop, how) for shop in chaos.shops for how in shop.pipelines][:10]
        sick = await make_tenant("Poison")
        with DatanikaClient(platform.url, access_token(sick.owner)) as api:
            poison = await asyncio.to_thread(make_poison, api)
            ends = []
            for number in range(PAUSED_AFTER):
                await asyncio.to_thread(chaos.trigger, *healthy[number])
                ends.append(await asyncio.to_thread(run_to_end, api, poison))
                assert ends[-1].error_code == "out_of_memory", ends[-1]
                assert api.pipelines.get(poison).is_paused == (number + 1 == PAUSED_AFTER)
            assert {run.state for run in ends} == {RunState.FAILED}
            paused = api.pipelines.get(poison)
            assert (paused.pause_code, paused.consecutive_failures) == ("too_many_failures", 10)
            assert paused.pause_reason is not None and "10 runs failed" in paused.pause_reason
            assert not api.pipelines.resume(poison).is_paused
            assert api.pipelines.get(poison).consecutive_failures == 0
        await chaos.heal(PATIENCE_SECONDS)
        await chaos.check()
        summary = await chaos.summary()
        assert summary["violated"] == []
        assert summary["runs"] == {"succeeded": PAUSED_AFTER + len(chaos.shops) * 3}
