"""Faults that need the whole platform: Prefect goes away (F2), and a short storm of all kinds.

The long storm: ``uv run python -m tests.faults.chaos --minutes 5 --seed 1``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.faults.chaos import Chaos, run_chaos
from tests.support.platform import RunningPlatform
from tests.support.platform_parts import heal, part_process, settings_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TRIGGERS = 20
PATIENCE_SECONDS = 180
STORM_SECONDS = 20
SEED = 20


@pytest.fixture
def healthy(platform: RunningPlatform) -> Iterator[RunningPlatform]:
    """The platform, which other tests use afterwards."""
    yield platform
    heal(platform, {}, PATIENCE_SECONDS)


async def test_f2_while_prefect_is_gone_triggers_are_accepted_and_start_later_once(
    healthy: RunningPlatform,
) -> None:
    """20 runs are on their way when it goes, and 20 are triggered while it is away."""
    chaos = Chaos(healthy, SEED)
    async with settings_of(healthy):
        await chaos.prepare(3, schedules=False)
        everything = [(shop, how) for shop in chaos.shops for how in shop.pipelines]
        wanted = [everything[number % len(everything)] for number in range(TRIGGERS)]
        before = [await asyncio.to_thread(chaos.trigger, *one) for one in wanted]
        victim = part_process(healthy, "prefect")
        victim.kill()
        killed_at = time.time()
        await asyncio.to_thread(psutil.wait_procs, [victim], 10)
        during = [await asyncio.to_thread(chaos.trigger, *one) for one in wanted]
        assert len({*before, *during}) == 2 * TRIGGERS
        await asyncio.to_thread(heal, healthy, {"prefect": killed_at}, PATIENCE_SECONDS)
        await chaos.heal(PATIENCE_SECONDS)
        await chaos.check()
        summary = await chaos.summary()
        assert summary["violated"] == []
        assert summary["runs"] == {"succeeded": 2 * TRIGGERS + len(everything)}


async def test_after_a_storm_every_promise_holds(healthy: RunningPlatform) -> None:
    summary = await run_chaos(
        healthy, SEED, STORM_SECONDS, organisations=2, heal_seconds=PATIENCE_SECONDS
    )
    assert summary["violated"] == [], summary
    assert summary["faults"]
