"""The states that a worker gives to flow runs whose process could not."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from datanika.contracts.enums import RunState
from datanika.contracts.events import RunClaim
from datanika.execution import flow_process
from datanika.execution.flow_process import (
    BROKEN,
    CANCELLED,
    PREFECT_AWAY,
    TENANT_FLOW,
    FlowJob,
    _is_prefect_away,
)
from datanika.execution.launcher import LaunchEnd, LaunchResult, settle
from tests.test_execution.fake_control_plane import (
    RUN_TOKEN,
    FakeControlPlane,
    load_step,
    serve,
)


@pytest.mark.parametrize("state", [BROKEN, PREFECT_AWAY])
async def test_a_flow_that_prefect_heard_no_end_of_is_crashed(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maintenance flows have no run that the control plane would try again."""
    proposed: list[Any] = []

    async def propose(client: object, state: Any, *, flow_run_id: object) -> None:
        proposed.append(state.type.value)

    monkeypatch.setattr("prefect.utilities.engine.propose_state", propose)
    prefect: Any = object()
    await settle(prefect, uuid4(), LaunchResult(end=LaunchEnd.CLOSED, message=state, pid=1))
    assert proposed == ["CRASHED"]


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (httpx.ConnectError("refused"), True),
        (httpx.RemoteProtocolError("cut off"), True),
        (RuntimeError("Failed to reach API at http://127.0.0.1/api/"), True),
        (RuntimeError("something else"), False),
        (ValueError("a mistake of ours"), False),
        *(
            (
                httpx.HTTPStatusError(
                    "", request=httpx.Request("GET", "http://x"), response=httpx.Response(status)
                ),
                status >= 500,
            )
            for status in (404, 422, 500, 503)
        ),
    ],
)
def test_only_a_prefect_that_does_not_answer_is_away(error: Exception, away: bool) -> None:
    assert _is_prefect_away(error) is away


@pytest.mark.parametrize(
    ("state", "closed", "finished"),
    [
        ("failed", False, []),
        ("crashed", False, []),
        (BROKEN, False, []),
        (PREFECT_AWAY, False, []),
        (CANCELLED, True, [RunState.CANCELLED]),
    ],
)
async def test_a_flow_that_says_nothing_loses_its_attempt_and_not_the_run(
    state: str, closed: bool, finished: list[RunState], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was, it was not the tenant's: the control plane tries it again."""

    async def ended(job: FlowJob) -> str:
        return state

    async def for_ever(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(flow_process, "_run_flow", ended)
    for watcher in ("_watch_worker", "_watch_prefect"):
        monkeypatch.setattr(flow_process, watcher, for_ever)
    async with serve(FakeControlPlane([load_step("ok")])) as plane:
        claim = RunClaim(
            run_id=1, org_id=1, pipeline_id=1, attempt=1, token=RUN_TOKEN, proceed=True
        )
        job = FlowJob(
            flow_name=TENANT_FLOW,
            flow_run={"id": str(uuid4())},
            prefect_api_url="",
            prefect_auth_string=None,
            internal_url=plane.url,
            claim=claim,
        )
        channel: Any = None
        host: Any = object()
        report = await flow_process._run_pipeline(job, channel, host)
    assert (report.closed, [end.state for end in plane.finished]) == (closed, finished)
    assert closed or report.message
