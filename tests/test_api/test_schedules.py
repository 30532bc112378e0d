"""Schedules over HTTP: what they take, when they fire, overlapping runs."""

from __future__ import annotations

import datetime as dt
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from datanika.compiler import fires
from datanika.contracts.schedule import ScheduleSpec
from datanika.db import SYSTEM, get_session
from datanika.models import AuditLog
from tests.support.pipelines import MadePipeline, make_pipeline
from tests.support.tenants import Tenant
from tests.test_api.conftest import ANY

SCHEDULES = "/api/v1/schedules"
NIGHT = {"cron": "30 2 * * *", "timezone": "America/New_York"}


@pytest.fixture
async def made(tenant: Tenant) -> MadePipeline:
    return await make_pipeline(tenant.owner)


async def create(api: httpx.AsyncClient, made: MadePipeline, **given: Any) -> dict[str, Any]:
    answer = await api.post(SCHEDULES, json={"pipeline_id": made.id, **(given or NIGHT)})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_schedule_shows_the_next_five_times_at_which_it_fires(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    schedule = await create(api, made)
    expected = fires(ScheduleSpec(**NIGHT), dt.datetime.now(dt.UTC), limit=5)
    shown = [dt.datetime.fromisoformat(one) for one in schedule["next_fires"]]
    assert shown == list(expected)
    assert {one[-6:] for one in schedule["next_fires"]} <= {"-04:00", "-05:00"}
    listed = (await api.get(SCHEDULES)).json()["items"]
    read = (await api.get(f"{SCHEDULES}/{schedule['id']}")).json()
    assert listed == [read] == [schedule]


async def test_nothing_fires_while_the_schedule_or_its_pipeline_is_off(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    schedule = await create(api, made)
    path = f"{SCHEDULES}/{schedule['id']}"
    await api.post(f"/api/v1/pipelines/{made.id}/pause")
    assert (await api.get(path)).json()["next_fires"] == []
    assert (await api.get(SCHEDULES)).json()["items"][0]["next_fires"] == []
    await api.post(f"/api/v1/pipelines/{made.id}/resume")
    assert len((await api.get(path)).json()["next_fires"]) == 5
    off = await api.patch(path, json={"is_active": False}, headers=ANY)
    assert off.json()["next_fires"] == []


async def test_the_times_from_any_moment_on_can_be_asked_for(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    schedule = await create(api, made)
    path = f"{SCHEDULES}/{schedule['id']}/fires"
    found = await api.get(path, params={"after": "2026-03-07T12:00:00Z", "count": 2})
    assert found.json() == {"fires": ["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"]}
    for edge in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"):
        assert (await api.get(path, params={"after": edge})).status_code == 200
    assert (await api.get(path, params={"count": 101})).status_code == 422


async def test_a_schedule_can_be_tried_before_it_is_saved(api: httpx.AsyncClient) -> None:
    after = {"after": "2026-03-07T12:00:00Z", "count": 1}
    found = await api.post(f"{SCHEDULES}/preview", json={**NIGHT, **after})
    assert found.json() == {"fires": ["2026-03-08T03:00:00-04:00"]}
    every = {"interval_seconds": 7200, "starts_at": "2026-03-08T00:00:00Z", **after}
    found = await api.post(f"{SCHEDULES}/preview", json=every)
    assert found.json() == {"fires": ["2026-03-08T00:00:00Z"]}
    wrong = await api.post(f"{SCHEDULES}/preview", json={"cron": "0 0 31 2 *"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "cron_never_fires")
    assert (await api.get(SCHEDULES)).json()["items"] == []


async def test_window_catch_up_and_jitter_are_kept_changed_and_taken_away(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    given = {
        "starts_at": "2026-01-01T00:00:00Z",
        "ends_at": "2036-01-01T00:00:00Z",
        "catchup_seconds": 600,
        "jitter_seconds": 30,
    }
    schedule = await create(api, made, **NIGHT, **given)
    assert {name: schedule[name] for name in given} == given
    path = f"{SCHEDULES}/{schedule['id']}"
    kept = (await api.patch(path, json={"timezone": "UTC"}, headers=ANY)).json()
    assert {name: kept[name] for name in given} == given
    change = {"starts_at": None, "jitter_seconds": 0}
    changed = await api.patch(path, json=change, headers=ANY)
    assert (changed.json()["starts_at"], changed.json()["jitter_seconds"]) == (None, 0)
    assert changed.json()["ends_at"] == given["ends_at"]
    async with get_session(SYSTEM) as session:
        query = select(AuditLog.new).where(AuditLog.action == "schedule.updated")
        logged = (await session.scalars(query.order_by(AuditLog.id.desc()).limit(1))).one()
    assert logged is not None
    assert (logged["starts_at"], logged["jitter_seconds"]) == (None, 0)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (
            {"starts_at": "2027-01-01T00:00:00Z", "ends_at": "2027-01-01T00:00:00Z"},
            "schedule_window_empty",
        ),
        ({"catchup_seconds": 59}, "invalid_input"),
        ({"jitter_seconds": -1}, "invalid_input"),
        ({"starts_at": "2027-01-01T00:00:00"}, "invalid_input"),
    ],
)
async def test_a_schedule_that_makes_no_sense_is_refused(
    api: httpx.AsyncClient, made: MadePipeline, given: dict[str, Any], code: str
) -> None:
    answer = await api.post(SCHEDULES, json={"pipeline_id": made.id, **NIGHT, **given})
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_the_overlap_policy_of_a_pipeline_is_shown_changed_and_audited(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    path = f"/api/v1/pipelines/{made.id}"
    assert (await api.get(path)).json()["overlap_policy"] == "skip"
    changed = await api.patch(path, json={"overlap_policy": "queue"}, headers=ANY)
    assert changed.status_code == 200, changed.text
    assert changed.json()["overlap_policy"] == "queue"
    wrong = await api.patch(path, json={"overlap_policy": "drop"}, headers=ANY)
    assert wrong.status_code == 422
    async with get_session(SYSTEM) as session:
        query = select(AuditLog).where(AuditLog.action == "pipeline.updated")
        entry = (await session.scalars(query)).one()
    assert entry.old is not None and entry.new is not None
    assert (entry.old["overlap_policy"], entry.new["overlap_policy"]) == (
        "skip",
        "queue",
    )
