"""What Prefect has that nobody may own any more, and how it ends.

async with PrefectSweeper() as prefect:
    for found in await prefect.read_deployments(): ...
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

from datanika.config import settings
from datanika.contracts.base import Contract
from datanika.orchestration.gateway import PAGE, TENANT_FLOW, PrefectGateway

if TYPE_CHECKING:
    from prefect.client.schemas.filters import WorkPoolFilter
    from prefect.client.schemas.objects import FlowRun, State


class FlowRunFound(Contract):
    """A flow run of a tenant that Prefect does not think is over.

    ``run_id`` is empty where a schedule started it; ``since`` is when it came into its state.
    """

    id: str
    type: str
    run_id: int | None
    pipeline_id: int | None
    has_deployment: bool
    since: dt.datetime


class DeploymentFound(Contract):
    """A deployment of the tenants' flow. ``pipeline_id`` comes from its tag."""

    id: str
    pipeline_id: int | None
    created: dt.datetime


class PrefectSweeper(PrefectGateway):
    """The gateway of the reconciler. Its reads are complete: one request for every 200 found."""

    async def open_flow_runs(
        self, types: Sequence[str], due_before: dt.datetime
    ) -> list[FlowRunFound]:
        """Tenants' flow runs of our work pool in these states (Prefect's types) that were to start
        before ``due_before``."""
        from prefect.client.schemas.filters import (
            FlowFilter,
            FlowFilterName,
            FlowRunFilter,
            FlowRunFilterExpectedStartTime,
            FlowRunFilterState,
            FlowRunFilterStateType,
        )
        from prefect.client.schemas.objects import StateType
        from prefect.client.schemas.sorting import FlowRunSort

        state = FlowRunFilterState(
            type=FlowRunFilterStateType(any_=[StateType(one) for one in types])
        )
        due = FlowRunFilterExpectedStartTime(before_=due_before)
        found: list[FlowRunFound] = []
        async with self._call() as client:
            for offset in count(0, PAGE):
                page = await client.read_flow_runs(
                    flow_filter=FlowFilter(name=FlowFilterName(any_=[TENANT_FLOW])),
                    flow_run_filter=FlowRunFilter(state=state, expected_start_time=due),
                    work_pool_filter=_our_pool(),
                    sort=FlowRunSort.ID_DESC,
                    limit=PAGE,
                    offset=offset,
                )
                found += [_flow_run(one) for one in page if one.state is not None]
                if len(page) < PAGE:
                    break
        return found

    async def read_deployments(self) -> list[DeploymentFound]:
        """The pipelines' deployments to our work pool."""
        from prefect.client.schemas.filters import FlowFilter, FlowFilterName
        from prefect.client.schemas.sorting import DeploymentSort

        found: list[DeploymentFound] = []
        async with self._call() as client:
            for offset in count(0, PAGE):
                page = await client.read_deployments(
                    flow_filter=FlowFilter(name=FlowFilterName(any_=[TENANT_FLOW])),
                    work_pool_filter=_our_pool(),
                    sort=DeploymentSort.NAME_ASC,
                    limit=PAGE,
                    offset=offset,
                )
                found += [
                    DeploymentFound(
                        id=str(one.id),
                        pipeline_id=_pipeline_of(one.tags),
                        created=one.created or dt.datetime.now(dt.UTC),
                    )
                    for one in page
                ]
                if len(page) < PAGE:
                    break
        return found

    async def end_flow_run(self, flow_run_id: str, message: str) -> None:
        """Say that a flow run is over which nobody runs."""
        from prefect.exceptions import ObjectNotFound
        from prefect.states import Cancelled, Crashed

        async with self._call() as client:
            with contextlib.suppress(ObjectNotFound):
                flow_run = await client.read_flow_run(UUID(flow_run_id))
                if flow_run.state is None or flow_run.state.is_final():
                    return
                ran = flow_run.state.is_running()
                state: State[Any] = Crashed(message=message) if ran else Cancelled(message=message)
                await client.set_flow_run_state(flow_run.id, state, force=True)

    async def give_back(self, flow_run_id: str, message: str) -> None:
        """Have another worker take a pending flow run whose worker is gone."""
        from prefect.exceptions import ObjectNotFound
        from prefect.states import Scheduled

        async with self._call() as client:
            with contextlib.suppress(ObjectNotFound):
                flow_run = await client.read_flow_run(UUID(flow_run_id))
                if flow_run.state is not None and flow_run.state.is_pending():
                    state: State[Any] = Scheduled(message=message)
                    await client.set_flow_run_state(flow_run.id, state, force=True)


def _our_pool() -> WorkPoolFilter:
    """Another installation may use the same Prefect."""
    from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName

    return WorkPoolFilter(name=WorkPoolFilterName(any_=[settings.work_pool]))


def _flow_run(found: FlowRun) -> FlowRunFound:
    assert found.state is not None
    run_id, pipeline_id = (found.parameters.get(name) for name in ("run_id", "pipeline_id"))
    return FlowRunFound(
        id=str(found.id),
        type=found.state.type.value,
        run_id=run_id if isinstance(run_id, int) else None,
        pipeline_id=pipeline_id if isinstance(pipeline_id, int) else None,
        has_deployment=found.deployment_id is not None,
        since=found.state.timestamp,
    )


def _pipeline_of(tags: Sequence[str]) -> int | None:
    for tag in tags:
        kind, _, number = tag.partition(":")
        if kind == "pipeline" and number.isdecimal():
            return int(number)
    return None
