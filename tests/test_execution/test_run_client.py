"""The run's line to the control plane: patient, ordered, fenced, and silent about secrets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from datanika.contracts.enums import RunState
from datanika.contracts.events import LogLine, RunClaim, RunFinish
from datanika.errors import Conflict, DatanikaError, NotFound, Unavailable
from datanika.execution import run_client
from datanika.execution.internal_api import InternalApi, WorkerApi
from datanika.execution.run_client import RunClient, StopReason

CLAIM = RunClaim(run_id=7, org_id=1, pipeline_id=3, attempt=1, token="t")
SUCCEEDED = RunFinish(state=RunState.SUCCEEDED)


class Recorded:
    """A transport that remembers requests; ``answer`` decides what they get."""

    def __init__(self, answer: Callable[[str], httpx.Response] | None = None) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.answer = answer or (lambda path: httpx.Response(200, json={}))

    def api(self, patience: float = 5.0) -> InternalApi:
        return InternalApi(
            "http://plane", "t", patience=patience, transport=httpx.MockTransport(self._handle)
        )

    def events(self) -> list[dict[str, Any]]:
        return [
            event
            for path, body in self.calls
            if path.endswith("/events")
            for event in body["events"]
        ]

    def _handle(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.calls.append((request.url.path.removeprefix("/internal/v1/"), body))
        return self.answer(self.calls[-1][0])


def line(text: str) -> LogLine:
    return LogLine(step_key="s", message=text)


async def test_every_event_is_sent_once_in_order_before_the_finish() -> None:
    plane = Recorded()
    async with plane.api() as api, RunClient(CLAIM, api) as client:
        for number in range(1200):
            await client.record(line(str(number)))
        await client.finish(SUCCEEDED)
        await client.finish(SUCCEEDED)

    assert [event["message"] for event in plane.events()] == [str(n) for n in range(1200)]
    batches = [path for path, _ in plane.calls if path.endswith("/events")]
    assert len(batches) == 3, "batches, not single events"
    assert [path for path, _ in plane.calls].count("runs/7/finish") == 1
    assert plane.calls[-1] == ("runs/7/finish", {"state": "succeeded", "failure": None})


async def test_an_outage_delays_events_and_loses_none() -> None:
    refusals = iter([httpx.ConnectError("refused"), 503, 502])

    def answer(path: str) -> httpx.Response:
        refusal = next(refusals, None)
        if isinstance(refusal, Exception):
            raise refusal
        return httpx.Response(refusal or 200, json={})

    plane = Recorded(answer)
    async with plane.api() as api, RunClient(CLAIM, api) as client:
        await client.record(line("only"))
        await client.finish(SUCCEEDED)

    assert client.finished
    assert len(plane.calls) == 5


async def test_patience_ends() -> None:
    plane = Recorded(lambda path: httpx.Response(503))
    async with plane.api(patience=0.5) as api:
        with pytest.raises(Unavailable):
            await RunClient(CLAIM, api).plan()


async def test_a_quiet_run_is_heard_and_learns_of_a_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_client, "HEARTBEAT_SECONDS", 0.05)
    plane = Recorded(lambda path: httpx.Response(200, json={"cancel_requested": True}))
    async with plane.api() as api, RunClient(CLAIM, api) as client:
        async with asyncio.timeout(5):
            await client.stopping.wait()

    assert client.stop_reason is StopReason.CANCELLED
    assert plane.calls[0] == ("runs/7/events", {"events": []})


async def test_a_stale_attempt_stops_and_finishes_nothing() -> None:
    plane = Recorded(lambda path: httpx.Response(409, json={"code": "stale_attempt"}))
    async with plane.api() as api, RunClient(CLAIM, api) as client:
        with pytest.raises(Conflict):
            await client.resolve("s")
        await client.finish(SUCCEEDED)

    assert client.stop_reason is StopReason.SUPERSEDED
    assert [path for path, _ in plane.calls if path.endswith("finish")] == []


async def test_refused_events_stop_the_run() -> None:
    plane = Recorded(lambda path: httpx.Response(404, json={"code": "run_not_found"}))
    async with plane.api() as api, RunClient(CLAIM, api) as client:
        await client.record(line("x"))
        async with asyncio.timeout(5):
            await client.stopping.wait()
        with pytest.raises(NotFound) as caught:
            await client.record(line("y"))

    assert client.stop_reason is StopReason.REFUSED
    assert caught.value.code == "run_not_found"


async def test_no_error_quotes_an_answer() -> None:
    secret = "p4ss-canary"
    answers = [
        {"kind": "load", "source": {"config": {"password": secret}}, "run_id": secret},
        {"code": "invalid_input", "detail": f"password {secret} is wrong"},
    ]
    for status, body in zip((200, 422), answers, strict=True):
        plane = Recorded(lambda path, s=status, b=body: httpx.Response(s, json=b))  # type: ignore[misc]
        async with plane.api() as api:
            with pytest.raises(DatanikaError) as caught:
                await RunClient(CLAIM, api).resolve("s")
        chain: BaseException | None = caught.value
        while chain is not None:
            assert secret not in f"{chain} {vars(chain)}"
            chain = None if chain.__suppress_context__ else chain.__context__


async def test_a_worker_claims_reports_and_maintains() -> None:
    claim = CLAIM.model_dump(mode="json")
    plane = Recorded(
        lambda path: httpx.Response(200, json=claim if path == "claims" else {"closed": 1})
    )
    async with plane.api() as api:
        worker = WorkerApi(api)
        assert await worker.claim("f-1", org_id=1, pipeline_id=3, run_id=None) == CLAIM
        await worker.crashed("f-1", "killed")
        assert await worker.maintenance("reconcile") == {"closed": 1}

    assert plane.calls == [
        (
            "claims",
            {
                "flow_run_id": "f-1",
                "org_id": 1,
                "pipeline_id": 3,
                "run_id": None,
                "scheduled_for": None,
            },
        ),
        ("runs/by-flow-run/f-1/crashed", {"message": "killed"}),
        ("maintenance/reconcile", None),
    ]
