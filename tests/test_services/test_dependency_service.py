"""Dependencies are saved, changed and explained; two that save at once close no circle."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from sqlalchemy import select

from datanika.contracts.api import ReadinessOut
from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.errors import Conflict, InvalidInput, NotFound, PermissionDenied, PreconditionFailed
from datanika.models import AuditLog
from datanika.services.actor import Actor
from datanika.services.dependency_service import DependencyService
from datanika.services.pipeline_service import PipelineService
from tests.support.dependencies import age, depend, needs_fresh, succeed, trigger
from tests.support.pipelines import make_pipeline
from tests.support.tenants import add_member, make_tenant

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
async def ids(actor: Actor) -> list[int]:
    return [(await make_pipeline(actor, name)).id for name in ("orders", "customers", "report")]


async def edges(actor: Actor) -> list[tuple[str, str]]:
    async with get_session(actor.scope) as session:
        rows = (await DependencyService(session, actor).list()).rows
    return [(row.pipeline_name, row.upstream_name) for row in rows]


async def readiness(actor: Actor, pipeline_id: int) -> ReadinessOut:
    async with get_session(actor.scope) as session:
        return await DependencyService(session, actor).readiness(pipeline_id)


async def test_a_circle_is_refused_and_named(actor: Actor, ids: list[int]) -> None:
    orders, customers, report = ids
    await depend(actor, report, customers)
    await depend(actor, customers, orders)
    with pytest.raises(Conflict) as refused:
        await depend(actor, orders, report)
    assert refused.value.code == "dependency_cycle"
    assert "orders → report → customers → orders" in refused.value.message
    with pytest.raises(Conflict) as refused:
        await depend(actor, orders, orders)
    assert "orders → orders" in refused.value.message
    # The same again is no circle, and neither is a second way.
    with pytest.raises(Conflict) as refused:
        await depend(actor, report, customers)
    assert refused.value.code == "dependency_exists"
    await depend(actor, report, orders)
    assert len(await edges(actor)) == 3


@pytest.mark.parametrize("attempt", range(3))
async def test_of_two_that_would_close_a_circle_together_one_is_refused(
    actor: Actor, ids: list[int], attempt: int
) -> None:
    orders, customers, report = ids
    outcomes = await asyncio.gather(
        depend(actor, orders, customers),
        depend(actor, customers, report),
        depend(actor, report, orders),
        return_exceptions=True,
    )
    [refused] = [one for one in outcomes if isinstance(one, BaseException)]
    assert isinstance(refused, Conflict) and refused.code == "dependency_cycle"
    assert len(await edges(actor)) == 2


async def test_two_that_touch_different_pipelines_close_no_circle_together(
    actor: Actor, ids: list[int]
) -> None:
    a, b, c = ids
    d = (await make_pipeline(actor, "d")).id
    await depend(actor, b, c)
    await depend(actor, d, a)

    async def slowly() -> None:
        async with get_session(actor.scope) as session:
            await DependencyService(session, actor).create(a, b)
            await asyncio.sleep(2)

    first = asyncio.create_task(slowly())
    await asyncio.sleep(1)
    with pytest.raises(Conflict) as refused:
        await depend(actor, c, d)
    await first
    assert refused.value.code == "dependency_cycle"


async def test_twenty_identical_saves_make_one_dependency(actor: Actor, ids: list[int]) -> None:
    outcomes = await asyncio.gather(
        *(depend(actor, ids[2], ids[0]) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(one, int) for one in outcomes) == 1
    assert {one.code for one in outcomes if isinstance(one, Conflict)} == {"dependency_exists"}


async def test_what_was_deleted_closes_no_circle_and_may_come_back(
    actor: Actor, ids: list[int]
) -> None:
    orders, customers, report = ids
    first = await depend(actor, report, orders)
    async with get_session(actor.scope) as session:
        await DependencyService(session, actor).delete(report, first)
    await depend(actor, orders, report)
    await depend(actor, customers, orders)
    async with get_session(actor.scope) as session:
        await PipelineService(session, actor).delete(orders)
    await depend(actor, report, customers)
    assert await edges(actor) == [("report", "customers")]


async def test_a_pipeline_of_another_organisation_is_not_there(
    actor: Actor, ids: list[int]
) -> None:
    stranger = (await make_tenant("Other")).owner
    theirs = (await make_pipeline(stranger, "theirs")).id
    for pair in ((ids[0], theirs), (theirs, ids[0]), (ids[0], 2**62)):
        with pytest.raises(NotFound) as refused:
            await depend(actor, *pair)
        assert refused.value.code == "pipeline_not_found"
    mine = await depend(actor, ids[1], ids[0])
    async with get_session(stranger.scope) as session:
        service = DependencyService(session, stranger)
        for call in (
            service.get(ids[1], mine),
            service.update(ids[1], mine, {}),
            service.delete(ids[1], mine),
            service.readiness(ids[1]),
            service.list_of(ids[1]),
        ):
            with pytest.raises(NotFound):
                await call
        assert (await service.list()).rows == []


async def test_a_dependency_is_found_under_its_own_pipeline_only(
    actor: Actor, ids: list[int]
) -> None:
    one = await depend(actor, ids[1], ids[0])
    async with get_session(actor.scope) as session:
        with pytest.raises(NotFound) as refused:
            await DependencyService(session, actor).get(ids[2], one)
    assert refused.value.code == "dependency_not_found"


async def test_a_change_is_made_from_the_state_that_was_seen_and_audited(
    actor: Actor, ids: list[int]
) -> None:
    one = await depend(actor, ids[1], ids[0], within_seconds=60)
    async with get_session(actor.scope) as session:
        service = DependencyService(session, actor)
        row = await service.update(ids[1], one, {"wait_seconds": 5}, revision=1)
        assert (row.within_seconds, row.wait_seconds, row.revision) == (60, 5, 2)
        row = await service.update(ids[1], one, {"within_seconds": None})
        assert (row.within_seconds, row.wait_seconds, row.starts_run) == (None, 5, True)
        with pytest.raises(PreconditionFailed):
            await service.update(ids[1], one, {"wait_seconds": 6}, revision=1)
        with pytest.raises(InvalidInput) as refused:
            await service.update(ids[1], one, {"starts_run": False})
        assert refused.value.code == "dependency_without_effect"
    async with get_session(SYSTEM) as session:
        query = select(AuditLog).where(AuditLog.resource_type == "dependency").order_by(AuditLog.id)
        entries = list(await session.scalars(query))
    assert [entry.action for entry in entries][:2] == ["dependency.created", "dependency.updated"]
    assert entries[1].old is not None and entries[1].new is not None
    assert (entries[1].old["wait_seconds"], entries[1].new["wait_seconds"]) == (3600, 5)


async def test_roles_are_those_of_the_pipeline(actor: Actor, ids: list[int]) -> None:
    one = await depend(actor, ids[1], ids[0])
    viewer = await add_member(actor.org_id, Role.VIEWER)
    editor = await add_member(actor.org_id, Role.EDITOR)
    async with get_session(actor.scope) as session:
        reading = DependencyService(session, viewer)
        assert (await reading.get(ids[1], one)).id == one
        with pytest.raises(PermissionDenied):
            await reading.update(ids[1], one, {})
        writing = DependencyService(session, editor)
        await writing.update(ids[1], one, {"wait_seconds": 1})
        with pytest.raises(PermissionDenied):
            await writing.delete(ids[1], one)


async def test_readiness_says_what_a_run_would_wait_for(actor: Actor, ids: list[int]) -> None:
    orders, customers, report = ids
    alone = await readiness(actor, report)
    assert (alone.is_ready, alone.upstreams) == (True, [])
    await needs_fresh(actor, report, orders, within=3600, wait=600)
    await depend(actor, report, customers)
    before = await readiness(actor, report)
    assert not before.is_ready and before.waits_until is not None
    assert "waits for a success of orders, at most until" in before.text
    assert [one.is_fresh for one in before.upstreams] == [False, True]
    run_id = await succeed(actor, orders)
    await age(run_id, minutes=90)
    stale = await readiness(actor, report)
    assert stale.upstreams[0].last_success_run_id == run_id
    assert stale.upstreams[0].age_seconds == pytest.approx(5400, abs=60)
    assert "orders succeeded 1 h 30 min ago, which must not be longer than 1 h." in stale.text
    # It is a promise: the run does as it was told.
    run = await trigger(actor, report)
    assert run.waits_until is not None and stale.waits_until is not None
    assert abs(run.waits_until - stale.waits_until) < dt.timedelta(seconds=30)
    await succeed(actor, orders)
    fresh = await readiness(actor, report)
    assert (fresh.is_ready, fresh.waits_until) == (True, None)
    assert (await trigger(actor, report)).waits_until is None
