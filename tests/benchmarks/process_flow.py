"""The tenant flow as Prefect's own process worker runs it: the same flow and plan, nobody to report
to and no engine, so that all it measures is the way to the first task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from prefect import flow

from datanika.contracts.enums import StepState
from datanika.contracts.events import RunEvent, StepFinished
from datanika.contracts.plan import Plan
from datanika.execution.run_session import RunSession
from flows.steps import StepRuns
from flows.tenant_pipeline import run_plan


class Silence:
    """A run client that keeps nothing."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.stop_reason = None

    async def record(self, event: RunEvent) -> None:
        pass

    async def resolve(self, key: str) -> Any:
        return key


class NoEngine:
    async def run(self, step: Any, **options: Any) -> AsyncIterator[RunEvent]:
        yield StepFinished(step_key=step, state=StepState.SUCCEEDED, rows=0)


@flow(name="tenant-pipeline", persist_result=False, log_prints=False)
async def tenant_pipeline(plan: dict[str, Any]) -> None:
    session = RunSession(Silence(), NoEngine())  # type: ignore[arg-type]
    whole = Plan.model_validate(plan)
    await run_plan(whole, StepRuns(session, whole))
