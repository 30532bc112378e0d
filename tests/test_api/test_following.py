"""``GET /runs/{id}/events``: in order, exactly once, holding nothing, for members only."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select

from datanika.api import following
from datanika.client.run_stream import read_fields
from datanika.contracts.api import ApiKeyIn
from datanika.contracts.enums import Role, RunState
from datanika.contracts.events import (
    LogLine,
    NodeProgress,
    NodeStarted,
    RunEvent,
    RunFinish,
    StepStarted,
    utcnow,
)
from datanika.db import SYSTEM, get_engine, get_session
from datanika.models import ApiKey, Membership
from datanika.services.actor import Actor
from datanika.services.login_sessions import LoginSessions
from datanika.services.run_recorder import RunRecorder, claim_run
from datanika.services.run_service import RunService
from datanika.services.run_stream import LINES
from tests.support.application import application
from tests.support.pipelines import make_pipeline
from tests.support.serving import serving
from tests.support.tenants import Tenant, access_token, add_member, make_tenant
from tests.test_api.conftest import Connect


@dataclass
class Running:
    """A run, and the worker that has it."""

    org_id: int
    actor: Actor
    id: int
    attempt: int

    @property
    def path(self) -> str:
        return f"/api/v1/runs/{self.id}/events"

    async def say(self, *events: RunEvent | str) -> None:
        told = [
            LogLine(step_key="load", message=event) if isinstance(event, str) else event
            for event in events
        ]
        async with get_session(self.actor.scope) as session:
            await RunRecorder(session, self.id, self.attempt).record(told)

    async def end(self, state: RunState = RunState.SUCCEEDED) -> None:
        async with get_session(self.actor.scope) as session:
            await RunRecorder(session, self.id, self.attempt).finish(RunFinish(state=state))


@pytest.fixture
async def running(tenant: Tenant) -> Running:
    pipeline = await make_pipeline(tenant.owner)
    async with get_session(tenant.owner.scope) as session:
        run = await RunService(session, tenant.owner).trigger(pipeline.id, "followed")
        claim = await claim_run(
            session,
            org_id=tenant.org_id,
            pipeline_id=pipeline.id,
            flow_run_id=str(uuid4()),
            run_id=run.id,
        )
    made = Running(tenant.org_id, tenant.owner, run.id, claim.attempt)
    await made.say(StepStarted(step_key="load", attempt=1))
    return made


@pytest.fixture
async def url(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(following, "IDLE_SECONDS", 0.05)
    async with serving(application()) as served:
        yield served
        # A server that stops waits for its streams.
        for reader in Reader.opened:
            await reader.hang_up()
        Reader.opened.clear()


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Reader:
    """Reads one stream to its end."""

    opened: ClassVar[list[Reader]] = []

    def __init__(self, url: str, actor: Actor | str, path: str, last: str | None = None) -> None:
        bearer = actor if isinstance(actor, str) else access_token(actor)
        headers = {"Authorization": f"Bearer {bearer}"}
        self.http = httpx.AsyncClient(base_url=url, timeout=20, headers=headers)
        self.path, self.last = path, last
        self.events: list[dict[str, str]] = []
        self.raw = b""
        self.task = asyncio.create_task(self._read())
        Reader.opened.append(self)

    async def _read(self) -> None:
        headers = {"Last-Event-ID": self.last} if self.last else {}
        async with self.http, self.http.stream("GET", self.path, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            async for chunk in answer.aiter_bytes():
                self.raw += chunk
                self.events = list(read_fields(iter([self.raw])))

    async def until(self, kind: str, count: int = 1) -> None:
        await eventually(lambda: len(self.of(kind)) >= count)

    def of(self, kind: str) -> list[Any]:
        return [json.loads(one["data"]) for one in self.events if one["event"] == kind]

    @property
    def lines(self) -> list[str]:
        return [line["message"] for line in self.of("log")]

    async def hang_up(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def events_of(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return list(read_fields(iter([answer.content])))


def kinds(events: list[dict[str, str]]) -> list[str]:
    return [one["event"] for one in events]


async def test_two_readers_see_the_same_lines_in_their_order_until_the_end(
    url: str, running: Running
) -> None:
    first = Reader(url, running.actor, running.path)
    await first.until("run")
    written = [f"line {number}" for number in range(60)]
    for number in range(0, 30, 3):
        await running.say(*written[number : number + 3])
    second = Reader(url, running.actor, running.path)
    await second.until("log", 30)
    for number in range(30, 60, 3):
        await running.say(*written[number : number + 3])
    await running.end()
    await asyncio.wait_for(asyncio.gather(first.task, second.task), 15)
    assert first.lines == second.lines == written
    for reader in (first, second):
        assert kinds(reader.events)[-1] == "end"
        assert [run["state"] for run in reader.of("run")] == ["running", "succeeded"]
        assert reader.of("end")[0]["state"] == "succeeded"
        # Said before it ended: nothing is open in what a reader has.
        last = {step["step_key"]: step["state"] for step in reader.of("step")}
        assert set(last.values()) == {"skipped", "failed"}


async def test_a_reader_that_comes_back_gets_every_line_exactly_once(
    url: str, running: Running
) -> None:
    got: list[str] = []
    last: str | None = None
    for part in range(4):
        reader = Reader(url, running.actor, running.path, last)
        await running.say(*(f"line {part}.{number}" for number in range(5)))
        await reader.until("log", 3)
        await reader.hang_up()
        got += reader.lines
        last = reader.events[-1]["id"]
    await running.say("line 4.0")
    await running.end()
    reader = Reader(url, running.actor, running.path, last)
    await asyncio.wait_for(reader.task, 15)
    expected = [f"line {part}.{number}" for part in range(4) for number in range(5)]
    assert got + reader.lines == [*expected, "line 4.0"]


async def test_going_on_from_any_event_leaves_nothing_out(
    api: httpx.AsyncClient, running: Running
) -> None:
    await running.say(*(f"line {number}" for number in range(5)))
    path = f"{running.path}?follow=false"
    whole = events_of(await api.get(path))
    assert kinds(whole) == ["log"] * 5 + ["step"] * 2 + ["run"]
    for place, event in enumerate(whole):
        rest = events_of(await api.get(path, headers={"Last-Event-ID": event["id"]}))
        assert [one["data"] for one in rest if one["event"] == "log"] == [
            one["data"] for one in whole[place + 1 :] if one["event"] == "log"
        ]
        missing = {one["data"] for one in whole[place + 1 :]}
        assert missing <= {one["data"] for one in rest}
    # Who has everything is told nothing, until a step changes.
    everything = {"after": whole[-1]["id"]}
    assert events_of(await api.get(path, params={**everything, "follow": False})) == []
    started = NodeStarted(step_key="load", node="raw.orders", name="orders", resource_type="table")
    await running.say(started)
    later = events_of(await api.get(path, params={**everything, "follow": False}))
    assert kinds(later) == ["step"] * 3 + ["run"]


async def test_a_log_longer_than_one_look_is_whole(
    api: httpx.AsyncClient, running: Running
) -> None:
    written = [f"line {number}" for number in range(LINES * 2 + 1)]
    await running.say(*written)
    events = events_of(await api.get(f"{running.path}?follow=false"))
    lines = [json.loads(one["data"])["message"] for one in events if one["event"] == "log"]
    assert lines == written
    assert kinds(events)[-3:] == ["step", "step", "run"]


async def test_progress_comes_with_rows_per_second(
    api: httpx.AsyncClient, running: Running
) -> None:
    started = utcnow() - dt.timedelta(seconds=10)
    table = {"step_key": "load", "node": "raw.orders"}
    await running.say(
        NodeStarted(**table, name="orders", resource_type="table", at=started),
        NodeProgress(**table, rows=500, total=2000),
    )
    events = events_of(await api.get(f"{running.path}?follow=false"))
    steps = [json.loads(one["data"]) for one in events if one["event"] == "step"]
    [step] = [step for step in steps if step["node"]]
    assert (step["state"], step["rows"], step["rows_total"]) == ("running", 500, 2000)
    assert 40 < step["rows_per_second"] <= 50


async def test_no_connection_is_held_while_a_stream_waits(url: str, running: Running) -> None:
    readers = [Reader(url, running.actor, running.path) for _ in range(8)]
    for reader in readers:
        await reader.until("run")
    pool = get_engine().pool
    held = []
    for _ in range(60):
        held.append(pool.checkedout())  # type: ignore[attr-defined]
        await asyncio.sleep(0.005)
    assert held.count(0) > len(held) / 4
    # Hanging up in the middle of a look gives its connection back, too.
    for reader in readers:
        await reader.hang_up()
    await eventually(lambda: not pool.checkedout() and not following._open)  # type: ignore[attr-defined]


async def test_a_quiet_stream_shows_that_it_lives(
    url: str, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "HEARTBEAT_SECONDS", 0.1)
    reader = Reader(url, running.actor, running.path)
    await eventually(lambda: reader.raw.count(b"\n\n: ping") >= 3)
    await reader.hang_up()


async def test_a_stream_ends_after_its_time(
    url: str, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LONGEST_SECONDS", 0.3)
    reader = Reader(url, running.actor, running.path)
    await asyncio.wait_for(reader.task, 10)
    assert "end" not in kinds(reader.events) and "error" not in kinds(reader.events)


async def test_a_removed_member_s_stream_ends(url: str, running: Running, tenant: Tenant) -> None:
    viewer = await add_member(tenant.org_id, Role.VIEWER)
    reader = Reader(url, viewer, running.path)
    await reader.until("run")
    async with get_session(SYSTEM) as session:
        query = select(Membership).where(Membership.user_id == viewer.user_id)
        membership = (await session.scalars(query)).one()
        membership.deleted_at = utcnow()
    await asyncio.wait_for(reader.task, 10)
    await running.say("not for them")
    assert kinds(reader.events)[-1] == "error"
    [problem] = reader.of("error")
    assert (problem["code"], problem["status"]) == ("not_a_member", 401)
    assert problem["request_id"]


async def test_a_login_that_ended_ends_its_streams(url: str, running: Running) -> None:
    reader = Reader(url, running.actor, running.path)
    await reader.until("run")
    async with get_session(SYSTEM) as session:
        await LoginSessions(session).revoke(running.actor.user_id)
    await asyncio.wait_for(reader.task, 10)
    assert reader.of("error")[0]["code"] == "session_revoked"


async def test_a_key_that_was_revoked_ends_its_streams(
    url: str, running: Running, api: httpx.AsyncClient
) -> None:
    body = ApiKeyIn(name="reader", scopes=["run:read"]).model_dump(mode="json")
    made = (await api.post("/api/v1/api-keys", json=body)).json()
    reader = Reader(url, made["key"], running.path)
    await reader.until("run")
    async with get_session(SYSTEM) as session:
        (await session.get_one(ApiKey, made["id"])).revoked_at = utcnow()
    await asyncio.wait_for(reader.task, 10)
    assert reader.of("error")[0]["code"] == "api_key_invalid"


async def test_a_member_of_another_organisation_finds_no_run(
    connect: Connect, running: Running
) -> None:
    other = await make_tenant()
    viewer = await add_member(other.org_id, Role.VIEWER)
    for actor in (other.owner, viewer):
        answer = await connect(actor).get(running.path)
        assert (answer.status_code, answer.json()["code"]) == (404, "run_not_found")
    assert not following._open


async def test_an_organisation_has_so_many_streams(
    url: str, running: Running, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "STREAMS", 2)
    readers = [Reader(url, running.actor, running.path) for _ in range(2)]
    for reader in readers:
        await reader.until("run")
    refused = await api.get(running.path)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
    assert refused.headers["retry-after"] == "2"
    await readers[0].hang_up()
    await eventually(lambda: following._open[running.org_id] == 1)
    assert (await api.get(f"{running.path}?follow=false")).status_code == 200
    await readers[1].hang_up()


async def test_a_stream_counts_as_one_request(url: str, running: Running) -> None:
    headers = {"Authorization": f"Bearer {access_token(running.actor)}"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as http:
        before = await http.get("/api/v1/runs")
        reader = Reader(url, running.actor, running.path)
        await reader.until("run")
        await asyncio.sleep(0.5)
        after = await http.get("/api/v1/runs")
    await reader.hang_up()
    spent = int(before.headers["ratelimit-remaining"]) - int(after.headers["ratelimit-remaining"])
    assert spent <= 2


@pytest.mark.parametrize("after", ["x", "-1", "7-", "1-0123456789ABCDEF", "9" * 30])
async def test_what_is_no_place_in_a_stream_is_refused(
    api: httpx.AsyncClient, running: Running, after: str
) -> None:
    for answer in (
        await api.get(running.path, params={"after": after}),
        await api.get(running.path, headers={"Last-Event-ID": after}),
    ):
        assert answer.status_code == 422
